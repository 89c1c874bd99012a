namespace SandLabX.Integration.Runner;

/// <summary>A file system that is soon full. Needs the right to mount one.</summary>
internal sealed class SmallClaim : IAsyncDisposable
{
    private SmallClaim(string folder) => Folder = folder;

    public string Folder { get; }

    public static async Task<SmallClaim> MountAsync(int megabytes)
    {
        Machine.NeedsQemu();
        Machine.NeedsRoot("mount the small file system that this test fills");
        string folder = Directory.CreateTempSubdirectory("sandlabx-claim-").FullName;
        await Machine.RunAsync("mount", "-t", "tmpfs", "-o", $"size={megabytes}m", "tmpfs", folder);
        return new SmallClaim(folder);
    }

    public Task GrowAsync(int megabytes) => Machine.RunAsync("mount", "-o", $"remount,size={megabytes}m", Folder);

    public async ValueTask DisposeAsync()
    {
        // Lazily: a QEMU that was just killed may still have its files open.
        await Machine.RunAsync("umount", "-l", Folder);
        Directory.Delete(Folder);
    }
}
