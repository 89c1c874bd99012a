namespace SandLabX.Cli.Transfer;

/// <summary>
/// How far a disk is that is read here for its digest and brought there at the same time: what its pod has of it, from the first byte to the last; before that,
/// and when the pod has to wait for the digest, how much was read.
/// </summary>
/// <param name="told">Told what is being done, and of how many bytes.</param>
/// <param name="length">Bytes of its file.</param>
internal sealed class DiskProgress(Action<string, long> told, long length)
{
    private readonly Lock _lock = new();
    private long _read;
    private long _brought;

    /// <summary>So much was read here.</summary>
    internal void Read(long bytes)
    {
        lock (_lock)
        {
            _read = bytes;
            if (bytes < length && (_brought == 0 || _brought >= length))
            {
                told("read", bytes);
            }
            else if (_brought == 0)
            {
                told("waiting for its pod", 0);
            }
        }
    }

    /// <summary>Something happens to it there, and so many bytes of it are there.</summary>
    internal void Brought(string what, long bytes)
    {
        lock (_lock)
        {
            _brought = bytes;
            if (bytes < length || _read >= length)
            {
                told(what, bytes);
            }
        }
    }
}
