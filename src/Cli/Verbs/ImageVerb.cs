using System.CommandLine;
using k8s.Models;
using SandLabX.Cli.Images;
using SandLabX.Cli.Shell;
using SandLabX.Cli.Transfer;
using SandLabX.Entities;
using SandLabX.Runtime;

namespace SandLabX.Cli.Verbs;

/// <summary><c>image upload</c>.</summary>
internal static class ImageVerb
{
    private const int Failures = 8;
    private static readonly TimeSpan s_verifying = TimeSpan.FromMinutes(30);

    internal static Command Create() => new("image", "Base images.") { Upload() };

    private static Command Upload()
    {
        var file = new Argument<FileInfo>("FILE") { Description = "The image's file." };
        var name = new Argument<string>("NAME") { Description = "The LabImage." };
        var sha256 = new Option<string?>("--sha256") { Description = "The file's SHA-256, when it is known; otherwise it is computed first.", HelpName = "DIGITS" };
        var create = new Option<bool>("--create") { Description = "Makes the LabImage when it is missing." };
        var size = new Option<string?>("--size") { Description = "With --create: size of its claim; otherwise a tenth and 128 MiB more than the file.", HelpName = "QUANTITY" };
        var storageClass = new Option<string?>("--storage-class") { Description = "With --create: storage class of its claim.", HelpName = "NAME" };
        var accessMode = new Option<string?>("--access-mode") { Description = "With --create: ReadWriteOnce or ReadWriteMany.", HelpName = "MODE" };
        TimeoutOption timeout = Globals.Timeout(300);
        timeout.Description = "How long the import's pod is waited for. Default: 5m.";
        Option<Format> output = Globals.Output();
        var command = new Command("upload", "Sends a file of this machine into the cluster as a LabImage; goes on where an earlier try ended.")
        {
            file, name, sha256, create, size, storageClass, accessMode, timeout, output,
        };
        command.Runs(async call =>
        {
            FileInfo path = call.Get(file)!;
            await using FileStream bytes = Open(path);
            string digest = await DigestAsync(call, bytes, call.Get(sha256)).ConfigureAwait(false);
            var target = new ImageTarget(call, call.Get(name)!);
            await target.PrepareAsync(digest, call.Get(create) ? Storage(bytes.Length, call.Get(size), call.Get(storageClass), call.Get(accessMode)) : null).ConfigureAwait(false);
            var budget = new RetryBudget(Failures);
            while (await target.PodAsync(call.Get(timeout)).ConfigureAwait(false) is { } pod
                && !await SendAsync(call, bytes, path.Name, pod, budget).ConfigureAwait(false))
            {
                // That pod is over; the next one has what it received.
                Broken(call, budget);
            }

            V1Alpha1LabImage ready = await target.ReadyAsync(s_verifying).ConfigureAwait(false);
            call.Out.Result(call.Get(output), Output.Data(ready), () => call.Out.Line($"labimage/{ready.Metadata.Name} Ready, {Sizes.Write(ready.Status?.VirtualSizeBytes)} as guests see it"));
        });
        return command;
    }

    private static FileStream Open(FileInfo path)
    {
        if (!path.Exists)
        {
            throw new CliException(ExitCodes.Usage, $"There is no file {path.FullName}.");
        }

        var bytes = new FileStream(path.FullName, FileMode.Open, FileAccess.Read, FileShare.Read, 1, FileOptions.Asynchronous);
        return bytes.Length > 0 ? bytes : throw new CliException(ExitCodes.Usage, $"{path.FullName} is empty.");
    }

    private static async Task<string> DigestAsync(Call call, FileStream bytes, string? given)
    {
        if (given is not null)
        {
            return given.Length == 64 && given.All(char.IsAsciiHexDigit)
                ? given.ToLowerInvariant()
                : throw new CliException(ExitCodes.Usage, $"--sha256 is {given}: it has 64 hexadecimal digits.");
        }

        string digest = await TransferProgress.RunAsync(call.Out, "SHA-256", bytes.Length, told => Digest.Sha256Async(bytes, told, call.Stop)).ConfigureAwait(false);
        call.Out.Note($"sha256 {digest}");
        return digest;
    }

    private static LabImageStorage Storage(long length, string? size, string? storageClass, string? accessMode)
    {
        if (size is not null && !Quantities.TryParse(size, out _))
        {
            throw new CliException(ExitCodes.Usage, $"--size is {size}: give a quantity such as 20Gi.");
        }

        long enough = (length + (length / 10) + (128 * Quantities.MiB) + Quantities.MiB - 1) / Quantities.MiB * Quantities.MiB;
        var storage = new LabImageStorage { Size = size ?? Quantities.Format(enough), StorageClassName = storageClass };
        storage.AccessMode = accessMode ?? storage.AccessMode;
        return storage;
    }

    private static async Task<bool> SendAsync(Call call, FileStream bytes, string title, V1Pod pod, RetryBudget budget)
    {
        using var client = UploadClient.To(call.Cluster, ObjectKey.Of(pod), TimeProvider.System);
        async Task<bool> IsThere(CancellationToken stop)
        {
            Broken(call, budget);
            return await RunnerPod.LookAsync(call.Cluster, pod, stop).ConfigureAwait(false) is { } now && RunnerPod.End(now) is null;
        }

        try
        {
            return await TransferProgress.RunAsync(call.Out, title, bytes.Length, told => client.SendAsync(
                bytes,
                across =>
                {
                    budget.At(across);
                    told(across);
                },
                IsThere,
                call.Stop)).ConfigureAwait(false);
        }
        catch (UploadRefusedException e)
        {
            throw new CliException(ExitCodes.Usage, $"The file was refused: {e.Reason}: {e.Message}", e);
        }
    }

    private static void Broken(Call call, RetryBudget budget)
    {
        if (!budget.Again())
        {
            throw new CliException(ExitCodes.Failed,
                $"Given up after {Failures} failures in a row, at {Sizes.Write(Math.Max(0, budget.Best))}. What is across is kept: the same command goes on from there.");
        }

        call.Out.Warning("the connection broke; it goes on from what is across");
    }
}
