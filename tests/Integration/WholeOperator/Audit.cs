using System.Collections.Concurrent;
using System.Text.Json;
using k8s;
using k8s.Models;
using SandLabX.Runtime;

namespace SandLabX.Integration.WholeOperator;

/// <summary>Hears from the API server itself, past the proxy, of all pods and claims of a namespace that ever were.</summary>
internal sealed class Audit : IAsyncDisposable
{
    private readonly CancellationTokenSource _stop = new();
    private readonly KubeTransport _transport;
    private readonly string _space;
    private readonly ConcurrentDictionary<string, byte> _known = new();
    private readonly ConcurrentDictionary<string, ConcurrentDictionary<string, byte>> _living = new();
    private readonly Task _watching;

    public Audit(KubernetesClientConfiguration config, string space)
    {
        _transport = new KubeTransport(config, new OperatorSettings(), TimeProvider.System);
        _space = space;
        _watching = Task.WhenAll(FollowAsync<V1Pod>(OnPod), FollowAsync<V1PersistentVolumeClaim>(OnClaim));
    }

    /// <summary>How many pods were ever made, by name.</summary>
    public ConcurrentDictionary<string, int> PodsMade { get; } = new();

    /// <summary>How many claims were ever made, by name.</summary>
    public ConcurrentDictionary<string, int> ClaimsMade { get; } = new();

    /// <summary>Claims whose deletion was ever asked for.</summary>
    public ConcurrentDictionary<string, byte> ClaimsDeleted { get; } = new();

    /// <summary>Moments in which one LabNode or LabImage had two pods that had not ended.</summary>
    public ConcurrentQueue<string> Doubles { get; } = new();

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _watching;
        _transport.Dispose();
        _stop.Dispose();
    }

    // The namespace is new, so all that ever was there comes as an event.
    private async Task FollowAsync<T>(Action<string, T> take)
        where T : class, IKubernetesObject<V1ObjectMeta>
    {
        string version = "0";
        while (!_stop.IsCancellationRequested)
        {
            try
            {
                using HttpResponseMessage answer = await _transport.OpenAsync($"{ResourceType.Of<T>().Path(_space)}?watch=true&resourceVersion={version}", _stop.Token);
                await using Stream stream = await answer.Content.ReadAsStreamAsync(_stop.Token);
                await foreach (WatchEvent line in WatchStream.ReadAsync(stream, _stop.Token))
                {
                    T item = KubeJson.Read<T>(line.Object, out _);
                    version = item.Metadata.ResourceVersion;
                    take(line.Type, item);
                }
            }
            catch (OperationCanceledException) when (_stop.IsCancellationRequested)
            {
                return;
            }
        }
    }

    private void OnPod(string type, V1Pod pod)
    {
        if (_known.TryAdd(pod.Metadata.Uid, 0))
        {
            PodsMade.AddOrUpdate(pod.Metadata.Name, 1, (_, n) => n + 1);
        }

        string owner = pod.Metadata.OwnerReferences?.FirstOrDefault()?.Uid ?? pod.Metadata.Name;
        ConcurrentDictionary<string, byte> living = _living.GetOrAdd(owner, _ => new());
        if (type == "DELETED" || pod.Status?.Phase is "Succeeded" or "Failed")
        {
            living.TryRemove(pod.Metadata.Uid, out _);
        }
        else if (living.TryAdd(pod.Metadata.Uid, 0) && living.Count > 1)
        {
            Doubles.Enqueue($"{pod.Metadata.Name}: {string.Join(" and ", living.Keys)}");
        }
    }

    private void OnClaim(string type, V1PersistentVolumeClaim claim)
    {
        if (_known.TryAdd(claim.Metadata.Uid, 0))
        {
            ClaimsMade.AddOrUpdate(claim.Metadata.Name, 1, (_, n) => n + 1);
        }

        if (type == "DELETED" || claim.Metadata.DeletionTimestamp is not null)
        {
            ClaimsDeleted[claim.Metadata.Name] = 0;
        }
    }
}
