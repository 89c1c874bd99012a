namespace SandLabX.EndToEnd.Support;

/// <summary>
/// A second node of the local cluster, and volumes that both nodes reach: folders of this machine, which stand for a network's file system. There while a
/// test needs it; all of it goes when the test ends, however it does.
/// </summary>
internal sealed class SecondNode : IAsyncDisposable
{
    /// <summary>The node's name.</summary>
    public const string Name = "sandlabx-second";

    private readonly Space _space;
    private readonly string _test;
    private readonly List<string> _volumes = [];

    private SecondNode(Space space, string test)
    {
        _space = space;
        _test = test;
    }

    /// <summary>The node that the cluster has otherwise.</summary>
    public string First { get; private set; } = "";

    /// <summary>The tiny guest's LabImage, readable on both nodes.</summary>
    public string Image => _test;

    /// <summary>The class of the volumes.</summary>
    private string Class => $"{_space.Name}-{_test}";

    // One path on both nodes: see eng/cluster/second-node.
    private string Folder => $"/state/shared/{Class}";

    /// <summary>Adds it to the cluster, with volumes for so many LabNodes.</summary>
    /// <param name="space">Where the LabNodes are to be.</param>
    /// <param name="test">Tells what tests have in one namespace apart.</param>
    /// <param name="guests">How many LabNodes.</param>
    public static async Task<SecondNode> AddAsync(Space space, string test, int guests)
    {
        var second = new SecondNode(space, test);
        try
        {
            second.First = await Lab.KubectlOkAsync("get", "nodes", "-o", "jsonpath={.items[*].metadata.name}");
            await Lab.ClusterAsync("node-add", Name);
            await second.VolumesAsync(guests + 1);

            // The importer asks a Service for the image, and the second node knows no Services.
            await Lab.KubectlOkAsync("cordon", Name);
            await space.ImageAsync(second.Image, Lab.TinyUrl, Lab.TinySha256, storage: $"storageClassName: {second.Class}, accessMode: ReadOnlyMany");
            await space.AwaitImageAsync(second.Image, i => i.Status?.Phase == Entities.ImagePhases.Ready, "is ready on a volume of both nodes");
            await Lab.KubectlOkAsync("uncordon", Name);
            return second;
        }
        catch
        {
            await second.DisposeAsync();
            throw;
        }
    }

    /// <summary>Guests that run on the second node, which the first one could take as well from now on.</summary>
    public async Task<Guest[]> StartThereAsync(params string[] names)
    {
        await Lab.KubectlOkAsync("cordon", First);
        try
        {
            await Task.WhenAll(names.Select(n => _space.NodeAsync(n, disk: $"storageClassName: {Class}", image: Image)));
            Guest[] guests = await Task.WhenAll(names.Select(n => _space.RunningGuestAsync(n)));
            foreach (string name in names)
            {
                (await _space.PodNowAsync(name))!.Spec.NodeName.ShouldBe(Name);
            }

            return guests;
        }
        finally
        {
            await Lab.KubectlOkAsync("uncordon", First);
        }
    }

    /// <summary>Tidies up, whatever there is.</summary>
    public async ValueTask DisposeAsync()
    {
        try
        {
            await Lab.ClusterAsync("node-remove", Name);
        }
        finally
        {
            await Lab.KubectlAsync("-n", _space.Name, "delete", "labnodes", "--all", "--timeout=45s");
            await Lab.KubectlAsync(["delete", "pv", "--wait=false", "--ignore-not-found", .. _volumes]);
            await Lab.KubectlAsync("delete", "storageclass", Class, "--ignore-not-found");
            await Shell.RunAsync(Lab.InNode("rm", "-rf", Folder));
        }
    }

    private async Task VolumesAsync(int count)
    {
        await Lab.ApplyAsync($$"""
            {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "{{Class}}"},
             "provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": "WaitForFirstConsumer"}
            """);
        for (int i = 0; i < count; i++)
        {
            string name = $"{Class}-{i}";
            _volumes.Add(name);
            (await Shell.RunAsync(Lab.InNode("mkdir", "-p", $"{Folder}/{name}"))).Code.ShouldBe(0);
            await Lab.ApplyAsync($$"""
                {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "{{name}}"},
                 "spec": {"capacity": {"storage": "20Gi"}, "accessModes": ["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany"], "persistentVolumeReclaimPolicy": "Retain",
                  "storageClassName": "{{Class}}", "local": {"path": "{{Folder}}/{{name}}"},
                  "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
                    {"key": "kubernetes.io/hostname", "operator": "In", "values": ["{{First}}", "{{Name}}"]}]}]} } } }
                """);
        }
    }
}
