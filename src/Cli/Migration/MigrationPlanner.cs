using System.Globalization;
using SandLabX.Entities;

namespace SandLabX.Cli.Migration;

/// <summary>Decides what is moved, under which names, and what is left behind and why. Pure: the same findings give the same plan.</summary>
internal static class MigrationPlanner
{
    /// <summary>The plan.</summary>
    /// <param name="state">What the old state says.</param>
    /// <param name="survey">What lies on its disks.</param>
    /// <param name="cluster">What the target has.</param>
    /// <param name="wishes">What the user wishes.</param>
    internal static MigrationPlan Plan(OldState state, Survey survey, ClusterFacts cluster, MigrationWishes wishes)
    {
        var overlays = survey.Overlays.ToDictionary(o => o.File, StringComparer.Ordinal);
        var images = new ImageNames(cluster);
        var names = Names(state, cluster);
        var nodes = new List<PlannedNode>();
        var present = new List<(OldNode, string)>();
        var skipped = new List<SkippedNode>();
        var seen = new HashSet<string>(StringComparer.Ordinal);
        var named = new HashSet<string>(StringComparer.Ordinal);
        var moved = cluster.Nodes.Select(MigratedId).OfType<string>().ToHashSet(StringComparer.Ordinal);
        foreach (OldNode node in state.Nodes)
        {
            if (!seen.Add(node.Id))
            {
                skipped.Add(new SkippedNode(node, SkipReasons.DuplicateId, $"Another record before it has the id {Shown(node.Id)} as well. The first is taken; compare the two in the state file."));
                continue;
            }

            OverlayFacts? overlay = overlays.GetValueOrDefault(OldBases.OverlayFile(node)) ?? overlays.GetValueOrDefault($"node_{node.Id}.qcow2");
            if (overlay is not null)
            {
                named.Add(overlay.File);
            }

            string name = names[node.Id];
            if (moved.Contains(node.Id))
            {
                present.Add((node, name));
            }
            else if (wishes.Only.Count > 0 && !wishes.Only.Contains(node.Name) && !wishes.Only.Contains(node.Id) && !wishes.Only.Contains(name))
            {
                skipped.Add(new SkippedNode(node, SkipReasons.NotSelected, "--only names others."));
            }
            else if (Verdict(node, overlay, survey, wishes) is var (fault, found) && fault is not null)
            {
                skipped.Add(new SkippedNode(node, fault.Value.Reason, fault.Value.Message));
            }
            else
            {
                nodes.Add(new PlannedNode(node, name, SafeNames.DiskId(node.Id), images.For(found!), found!.File, overlay, Notes(node, overlay, found!)));
            }
        }

        return new MigrationPlan(
            images.Planned,
            nodes,
            present,
            skipped,
            [.. survey.Overlays.Where(o => !named.Contains(o.File)).Select(o => Orphan(o, state))],
            state.Losses,
            state.Notes);
    }

    /// <summary>The old id of a LabNode that was moved here; null for any other.</summary>
    internal static string? MigratedId(V1Alpha1LabNode node) => node.Metadata.Annotations?.TryGetValue(Annotations.MigratedId, out string? id) == true ? id : null;

    /// <summary>
    /// A name for every node, whether it is moved this time or not: so a later run gives the same ones. What an earlier run created is found again by
    /// its old id, or by its disk's.
    /// </summary>
    private static Dictionary<string, string> Names(OldState state, ClusterFacts cluster)
    {
        var known = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (V1Alpha1LabNode node in cluster.Nodes)
        {
            if (MigratedId(node) is { } id)
            {
                known.TryAdd(id, node.Metadata.Name);
            }
        }

        const string prefix = "labnode-";
        var claims = cluster.Claims.Where(c => c.DiskId is not null && c.Name.StartsWith(prefix, StringComparison.Ordinal)).ToLookup(c => c.DiskId!, c => c.Name[prefix.Length..]);
        var free = new SafeNames(cluster.Nodes.Select(n => n.Metadata.Name).Concat(cluster.Claims.Select(c => c.Name.StartsWith(prefix, StringComparison.Ordinal) ? c.Name[prefix.Length..] : "")));
        foreach (OldNode node in state.Nodes)
        {
            if (!known.ContainsKey(node.Id))
            {
                string disk = SafeNames.DiskId(node.Id);
                known.Add(node.Id, claims[disk].FirstOrDefault() ?? free.Give(node.Name, $"node-{disk[..Math.Min(8, disk.Length)]}"));
            }
        }

        return known;
    }

    /// <summary>What speaks against moving the node; or the base that it stands on.</summary>
    private static ((string Reason, string Message)? Fault, BaseFacts? Base) Verdict(OldNode node, OverlayFacts? overlay, Survey survey, MigrationWishes wishes)
    {
        if (overlay is null)
        {
            string file = OldBases.FileFor(node);
            return survey.Bases.GetValueOrDefault(file) is not { } only
                ? ((SkipReasons.BaseMissing, $"It was never started, so it has no disk, and {file}, the image that it would have got, is not in the images' folder. Put it there, or create a LabNode on another image by hand."), null)
                : (JudgeBase(only), only);
        }

        if (JudgeOverlay(overlay) is { } fault)
        {
            return (fault, null);
        }

        string? name = overlay.Header!.BackingName;
        if (OldBases.FileOf(name) is not { } wanted)
        {
            return ((SkipReasons.BackingUnexpected, name is null
                ? "Its disk has no backing file: it is a whole disk. Import it as a LabImage (kubectl sandlabx image upload) and create a LabNode on that."
                : $"Its disk names the backing file {Shown(name)}, which is no file of an images' folder. Nothing was opened."), null);
        }

        if (survey.Bases.GetValueOrDefault(wanted) is not { } found)
        {
            return ((SkipReasons.BaseMissing, $"Its disk stands on {Shown(name!)}, and there is no {wanted} in the images' folder. Bring back that very file; one that was downloaded anew is another, whatever its name."), null);
        }

        return (JudgeBase(found) ?? JudgePair(overlay, found, wishes), found);
    }

    private static (string Reason, string Message)? JudgeOverlay(OverlayFacts overlay) => overlay switch
    {
        { Trouble: { } trouble } => (SkipReasons.OverlayUnreadable, $"Its disk can't be read: {trouble}."),
        { InUse: true } => (SkipReasons.OverlayInUse, $"A QEMU has {overlay.File} open. Stop the node in the old platform and run this again; a copy of a disk in use is worth nothing."),
        { Header: null } => (SkipReasons.OverlayUnusable, $"{overlay.File} has no readable qcow2 header."),
        { Header.MarkedCorrupt: true } => (SkipReasons.OverlayUnusable, $"{overlay.File} is marked corrupt by QEMU. Try qemu-img check -r all on a copy, put the copy in its place and run this again."),
        { Header: { HasDataFile: true } or { Encrypted: true } or { UnknownFeatures: true } } =>
            (SkipReasons.OverlayUnusable, $"{overlay.File} has a data file, encryption or features that no disk of the platform had. Nothing was opened."),
        { Header.BackingName: not null, Header.BackingFormat: not (null or "qcow2") } =>
            (SkipReasons.BackingUnexpected, $"{overlay.File} takes its backing file for {Shown(overlay.Header.BackingFormat)}, not qcow2."),
        _ => null,
    };

    private static (string Reason, string Message)? JudgeBase(BaseFacts found) => found switch
    {
        { Trouble: { } trouble } => (SkipReasons.BaseUnusable, $"The base image {found.File} can't be read: {trouble}."),
        { Header: null } => (SkipReasons.BaseUnusable, $"The base image {found.File} is no qcow2 file, whatever its name; a disk of the platform can't have run on it as it is now."),
        { Header: { BackingName: not null } or { HasDataFile: true } or { Encrypted: true } or { UnknownFeatures: true } or { MarkedCorrupt: true } or { VirtualSizeBytes: 0 } } =>
            (SkipReasons.BaseUnusable, $"The base image {found.File} names a further file, is encrypted or is damaged; a base must stand alone."),
        _ => null,
    };

    /// <summary>
    /// Whether the base is what the overlay was made on can't be proved: no version of the platform noted a digest. What speaks against it stops the move, as a
    /// wrong base makes garbage of a file system without a word.
    /// </summary>
    private static (string Reason, string Message)? JudgePair(OverlayFacts overlay, BaseFacts found, MigrationWishes wishes)
    {
        if (wishes.AcceptedBases.Contains(found.File))
        {
            return null;
        }

        string wayOut = $"Bring back the file as it was; or, if you know that it is the right one, say so with --accept-base {found.File}.";
        long disk = overlay.Header!.VirtualSizeBytes;
        long image = found.Header!.VirtualSizeBytes;
        return disk != image
            ? (SkipReasons.BaseDoubtful, string.Create(CultureInfo.InvariantCulture, $"Its disk has {disk} bytes and the base image {found.File} has {image}; the platform made disks of just their image's size. {wayOut}"))
            : found.WrittenAt > overlay.MadeBefore
            ? (SkipReasons.BaseDoubtful, string.Create(CultureInfo.InvariantCulture, $"The base image {found.File} was written at {found.WrittenAt:u}, after its disk was made (before {overlay.MadeBefore:u}): it was perhaps downloaded anew. {wayOut}"))
            : null;
    }

    private static List<string> Notes(OldNode node, OverlayFacts? overlay, BaseFacts found)
    {
        List<string> notes = [.. node.Notes];
        if (!OldBases.Knows(node.OsType) && node.ImagePath is null)
        {
            notes.Add($"its osType is {Shown(node.OsType)}; the platform ran it on ubuntu's image");
        }

        if (overlay?.Header!.Dirty == true)
        {
            notes.Add("its disk was not closed well; it is repaired in the copy");
        }

        if (SafeNames.DiskId(node.Id) is var disk && disk != node.Id)
        {
            notes.Add($"its id {Shown(node.Id)} can't be part of a file's name; its disk's id is {disk}");
        }

        if (overlay is null && found.Header!.BackingName is null)
        {
            notes.Add("it was never started, so there is no disk; it gets a fresh one at its first start");
        }

        return notes;
    }

    private static OrphanOverlay Orphan(OverlayFacts overlay, OldState state)
    {
        Loss? loss = state.Losses.FirstOrDefault(l => l.Ids.Any(id => overlay.File == $"node_{id}.qcow2"));
        return new OrphanOverlay(overlay, loss is not null
            ? $"Its node's record is in a part of the state that can't be read ({loss.What}) Mend the state file, in a copy, and run this again with --state."
            : overlay.Trouble ?? "No node names it. It stays where it is; add a record to a copy of the state file and run this again with --state if you want it.");
    }

    private static string Shown(string text) => '"' + Printable.Line(text, 60) + '"';

    /// <summary>Finds or names the LabImage of each base.</summary>
    private sealed class ImageNames(ClusterFacts cluster)
    {
        private readonly Dictionary<string, PlannedImage> _byDigest = new(StringComparer.Ordinal);
        private readonly SafeNames _names = new(cluster.Images.Select(i => i.Metadata.Name));

        internal IReadOnlyList<PlannedImage> Planned => [.. _byDigest.Values.OrderBy(i => i.Name, StringComparer.Ordinal)];

        internal string For(BaseFacts found)
        {
            if (!_byDigest.TryGetValue(found.Sha256, out PlannedImage? image))
            {
                // By digest alone: a LabImage of the same name and other bytes is another image.
                V1Alpha1LabImage? there = cluster.Images.FirstOrDefault(i => i.Metadata.DeletionTimestamp is null && i.Spec.Sha256 == found.Sha256);
                string stem = Path.GetFileNameWithoutExtension(found.File);
                image = new PlannedImage(there?.Metadata.Name ?? _names.Give(stem, "base"), found, there is not null);
                _byDigest.Add(found.Sha256, image);
            }

            return image.Name;
        }
    }
}
