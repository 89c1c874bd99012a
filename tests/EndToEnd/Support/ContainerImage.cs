using System.Formats.Tar;
using System.Security.Cryptography;
using System.Text;

namespace SandLabX.EndToEnd.Support;

/// <summary>A container image of one file, brought to the local cluster's node under the name that its digest gives it: no registry is asked for it then.</summary>
internal static class ContainerImage
{
    private static readonly DateTimeOffset s_made = DateTimeOffset.UnixEpoch;

    /// <summary>Makes and loads it; gives its reference, name@sha256:digest.</summary>
    /// <param name="name">Registry and repository.</param>
    /// <param name="path">The file within it.</param>
    /// <param name="file">The file here.</param>
    /// <param name="mode">Who may read it there.</param>
    internal static async Task<string> LoadAsync(string name, string path, string file, UnixFileMode mode = UnixFileMode.UserRead | UnixFileMode.GroupRead | UnixFileMode.OtherRead)
    {
        byte[] layer = await LayerAsync(path, await File.ReadAllBytesAsync(file), mode);
        byte[] config = Json($$$"""{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["{{{Digest(layer)}}}"]},"config":{}}""");
        byte[] manifest = Json($$$"""
            {"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",
             "config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{{{Digest(config)}}}","size":{{{config.Length}}}},
             "layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"{{{Digest(layer)}}}","size":{{{layer.Length}}}}]}
            """);
        string reference = $"{name}@{Digest(manifest)}";
        byte[] index = Json($$$"""
            {"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{{{Digest(manifest)}}}","size":{{{manifest.Length}}},
             "annotations":{"io.containerd.image.name":"{{{reference}}}"} }]}
            """);
        string archive = Path.GetTempFileName();
        try
        {
            await using (var tar = new TarWriter(File.Create(archive), TarEntryFormat.Ustar))
            {
                await WriteAsync(tar, "oci-layout", Json("""{"imageLayoutVersion":"1.0.0"}"""));
                await WriteAsync(tar, "index.json", index);
                foreach (byte[] blob in (byte[][])[layer, config, manifest])
                {
                    await WriteAsync(tar, "blobs/" + Digest(blob).Replace(':', '/'), blob);
                }
            }

            await Lab.ClusterAsync("load", archive);
        }
        finally
        {
            File.Delete(archive);
        }

        return reference;
    }

    private static async Task<byte[]> LayerAsync(string path, byte[] content, UnixFileMode mode)
    {
        var bytes = new MemoryStream();
        await using (var tar = new TarWriter(bytes, TarEntryFormat.Ustar, leaveOpen: true))
        {
            await tar.WriteEntryAsync(new UstarTarEntry(TarEntryType.Directory, Path.GetDirectoryName(path) + "/") { ModificationTime = s_made, Mode = (UnixFileMode)0x1ED /* 0755 */ });
            await WriteAsync(tar, path, content, mode);
        }

        return bytes.ToArray();
    }

    private static Task WriteAsync(TarWriter tar, string path, byte[] content, UnixFileMode mode = UnixFileMode.UserRead) => tar.WriteEntryAsync(
        new UstarTarEntry(TarEntryType.RegularFile, path) { ModificationTime = s_made, Mode = mode, DataStream = new MemoryStream(content) });

    private static byte[] Json(string text) => Encoding.UTF8.GetBytes(text);

    private static string Digest(byte[] bytes) => "sha256:" + Convert.ToHexStringLower(SHA256.HashData(bytes));
}
