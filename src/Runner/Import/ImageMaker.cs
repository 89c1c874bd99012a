using SandLabX.Contract;
using SandLabX.Runner.Disk;
using SandLabX.Runner.Posix;

namespace SandLabX.Runner.Import;

/// <summary>
/// Makes a qcow2 image of a file whose digest is right and which is not trusted for that (law 8): decompresses it, judges its header
/// before any tool opens it, lets qemu-img open it as that very format and nothing else, converts it, and judges the result.
/// </summary>
/// <param name="config">What is wished.</param>
/// <param name="states">Where it is told what is being done.</param>
/// <param name="stop">Ends it early.</param>
internal sealed class ImageMaker(ImportConfig config, Http.StateHub states, CancellationToken stop)
{
    // qemu-img reads bytes here that nobody vouches for. A sound image of 1 TiB needs 32 MiB of tables and some seconds.
    private const long ToolMemory = 1024L * 1024 * 1024;
    private const int ToolCpuSeconds = 300;
    private static readonly TimeSpan s_toolLimit = TimeSpan.FromMinutes(10);

    // Slower than any disk and processor that a cluster has.
    private const long SlowestBytesPerSecond = 2 * 1024 * 1024;

    private string Unpacked => config.TargetPath + ".unpacked";

    private string Converted => config.TargetPath + ".converted";

    /// <summary>Forgets what an import that was cut off left of its own making.</summary>
    internal void Clean()
    {
        File.Delete(Unpacked);
        File.Delete(Converted);
    }

    /// <summary>Makes the image.</summary>
    /// <param name="delivered">The file; it stays.</param>
    /// <returns>The path of the image, the file itself where nothing had to be done; and what it is.</returns>
    /// <exception cref="RunnerEndException">It is refused.</exception>
    internal async Task<(string Path, ImageReport Report)> MakeAsync(string delivered)
    {
        using var children = new Children();
        try
        {
            string path = delivered;
            string word = "";
            (ImageKind kind, string name) = Recognise(path);
            if (ImageKinds.IsCompressed(kind))
            {
                await UnpackAsync(kind, path, children).ConfigureAwait(false);
                path = Unpacked;
                word = "." + ImageKinds.Word(kind);
                (kind, name) = Recognise(path);
            }

            if (kind == ImageKind.Unknown || ImageKinds.IsCompressed(kind))
            {
                throw new RunnerEndException(TerminationReasons.UnknownFormat, $"{(word.Length > 0 ? "What is compressed in the file" : "The file")} is no disk image but seems to be {name}. {ImageKinds.WayOut(name)}");
            }

            word = ImageKinds.Word(kind) + word;
            var tool = new Tool(children);
            if (kind != ImageKind.Qcow2 || config.Compress)
            {
                await ConvertAsync(kind, path, delivered, tool).ConfigureAwait(false);
                path = Converted;
            }

            return (path, (await VerifyAsync(path, tool).ConfigureAwait(false)) with { SourceFormat = word });
        }
        catch
        {
            Clean();
            throw;
        }
    }

    /// <summary>Judges a qcow2 image that was delivered as it is.</summary>
    /// <exception cref="RunnerEndException">It is refused.</exception>
    internal async Task<ImageReport> VerifyAsync(string path)
    {
        using var children = new Children();
        return (await VerifyAsync(path, new Tool(children)).ConfigureAwait(false)) with { SourceFormat = ImageKinds.Word(ImageKind.Qcow2) };
    }

    private async Task<ImageReport> VerifyAsync(string path, Tool tool)
    {
        Is(RunnerPhases.Verifying);
        byte[] start = Qcow2Header.ReadStart(path);
        Refuse(ImageVerdicts.JudgeHeader(start, config.MaxVirtualSizeBytes));
        long size = new FileInfo(path).Length;
        long virtualSize = await InfoAsync(ImageKind.Qcow2, path, tool).ConfigureAwait(false);
        Refuse(ImageVerdicts.JudgeCheck(await RunAsync(tool, QemuImg.Check(path)).ConfigureAwait(false), size, Qcow2Header.Parse(start)!.ClusterBytes));
        return new ImageReport(config.Sha256.ToLowerInvariant(), "qcow2", virtualSize, size);
    }

    private async Task UnpackAsync(ImageKind kind, string path, Children children)
    {
        Is(RunnerPhases.Converting);
        await using var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 0);
        using Filter filter = await Decompressor.StartAsync(kind, file, children).ConfigureAwait(false);
        await SparseFile.WriteAsync(filter.Output, Unpacked, new UnpackLimits(config.MaxVirtualSizeBytes, Room(path)), null, stop).ConfigureAwait(false);
        await Decompressor.EndAsync(kind, filter, stop).ConfigureAwait(false);
    }

    private async Task ConvertAsync(ImageKind kind, string path, string delivered, Tool tool)
    {
        Is(RunnerPhases.Converting);
        if (kind == ImageKind.Qcow2)
        {
            Refuse(ImageVerdicts.JudgeHeader(Qcow2Header.ReadStart(path), config.MaxVirtualSizeBytes));
        }
        else
        {
            using var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 0);
            Refuse(ForeignVerdicts.Judge(kind, file));
        }

        long virtualSize = await InfoAsync(kind, path, tool).ConfigureAwait(false);
        long room = Room(delivered, path);
        int seconds = (int)(s_toolLimit.TotalSeconds + (Math.Min(virtualSize, room) / SlowestBytesPerSecond));
        ToolResult result = await tool.RunAsync(
            QemuImg.Limited(QemuImg.Convert(ImageKinds.Word(kind), path, Converted, config.Compress), ToolMemory, seconds, room), TimeSpan.FromSeconds(seconds), stop).ConfigureAwait(false);
        Refuse(ImageVerdicts.JudgeConvert(result));
    }

    private async Task<long> InfoAsync(ImageKind kind, string path, Tool tool)
    {
        ToolResult info = await RunAsync(tool, QemuImg.Info(ImageKinds.Word(kind), path)).ConfigureAwait(false);
        Refuse(ImageVerdicts.JudgeInfo(info, ImageKinds.Word(kind), config.MaxVirtualSizeBytes, out long virtualSize));
        return virtualSize;
    }

    private Task<ToolResult> RunAsync(Tool tool, IReadOnlyList<string> command) =>
        tool.RunAsync(QemuImg.Limited(command, ToolMemory, ToolCpuSeconds), s_toolLimit, stop);

    /// <summary>What may still be written: what the claim was asked to hold, less what these files take.</summary>
    private long Room(params string[] files) =>
        Math.Max(1, (config.ClaimBytes ?? long.MaxValue) - files.Distinct().Sum(Files.AllocatedBytes));

    private static (ImageKind Kind, string Name) Recognise(string path) => ImageKinds.Of(Qcow2Header.ReadStart(path));

    private void Is(string phase) => states.Change(state => state with { Phase = phase });

    private static void Refuse(DiskFault? fault)
    {
        if (fault is not null)
        {
            throw new RunnerEndException(fault.Reason, fault.Message);
        }
    }
}
