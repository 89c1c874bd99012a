using System.Runtime.CompilerServices;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Threading.Channels;
using k8s;
using k8s.Models;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace SandLabX.Runtime;

/// <summary>
/// The typed edge to the API server, for custom resources and the client's own models alike. Every failure is a <see cref="KubeException"/>, but for
/// cancellation. Nothing is retried here: the queue does that, with an ever longer wait. What a write returns is put into the kind's
/// <see cref="Cache{T}"/>, where there is one. There is no replacing of whole objects: it drops fields that the C# type does not know.
/// </summary>
public sealed class KubeApi : IDisposable
{
    private const int MaxEventMessage = 1024;
    private const int MaxName = 253;

    private readonly KubeTransport _transport;
    private readonly CacheSet _caches;
    private readonly OperatorSettings _settings;
    private readonly TimeProvider _clock;
    private readonly ILogger<KubeApi> _log;

    internal KubeApi(KubeTransport transport, CacheSet caches, OperatorSettings settings, TimeProvider clock, ILogger<KubeApi> log)
    {
        _transport = transport;
        _caches = caches;
        _settings = settings;
        _clock = clock;
        _log = log;
    }

    /// <summary>An edge without caches, for programs that are no operators and for tests.</summary>
    /// <param name="config">Server and credentials.</param>
    /// <param name="name">Who writes: the field manager, and the name in the server's audit log; null for <c>operator</c>.</param>
    public static KubeApi Connect(KubernetesClientConfiguration config, string? name = null)
    {
        ArgumentNullException.ThrowIfNull(config);
        // No lease hangs on it: a person would rather wait for a machine that does too much than be told so.
        var settings = new OperatorSettings { ConnectTimeout = TimeSpan.FromSeconds(30) };
        settings.Name = name ?? settings.Name;
        return new KubeApi(
            new KubeTransport(config, settings, TimeProvider.System), new CacheSet(), settings, TimeProvider.System, NullLogger<KubeApi>.Instance);
    }

    /// <summary>Reads an object from the server; null when it is not there.</summary>
    public async Task<T?> GetAsync<T>(ObjectKey key, CancellationToken cancellationToken)
        where T : class, IKubernetesObject<V1ObjectMeta>
    {
        try
        {
            return Read<T>(await _transport.GetAsync(Path<T>(key), null, cancellationToken).ConfigureAwait(false));
        }
        catch (KubeException e) when (e.Kind == KubeError.NotFound)
        {
            return null;
        }
    }

    /// <summary>Reads all objects of a kind from the server, in one answer.</summary>
    /// <param name="space">The namespace; empty for all.</param>
    /// <param name="labelSelector">As <c>kubectl -l</c> takes it; null for all.</param>
    /// <param name="cancellationToken">Ends it.</param>
    public async Task<IReadOnlyList<T>> ListAsync<T>(string space, string? labelSelector, CancellationToken cancellationToken)
        where T : class, IKubernetesObject<V1ObjectMeta>
    {
        string query = labelSelector is null ? "" : "?labelSelector=" + Uri.EscapeDataString(labelSelector);
        JsonElement list = await _transport.GetAsync(ResourceType.Of<T>().Path(space) + query, null, cancellationToken).ConfigureAwait(false);
        return [.. list.GetProperty("items").EnumerateArray().Select(Read<T>)];
    }

    /// <summary>Follows all objects of a kind by one list and watch: gives them whole at first, and again after changes, as often as the reader comes for them. Ends only by cancellation.</summary>
    /// <param name="space">The namespace; empty for all.</param>
    /// <param name="labelSelector">As <c>kubectl -l</c> takes it; null for all.</param>
    /// <param name="trouble">Told what went wrong, such as a server that is away; it is tried again, and what is given meanwhile is old.</param>
    /// <param name="cancellationToken">Ends it.</param>
    /// <exception cref="KubeException">The first list failed.</exception>
    public async IAsyncEnumerable<IReadOnlyList<T>> FollowAsync<T>(
        string space, string? labelSelector, Action<string>? trouble, [EnumeratorCancellation] CancellationToken cancellationToken)
        where T : class, IKubernetesObject<V1ObjectMeta>
    {
        // What a retry does not mend is told at once, not tried for ever.
        _ = await ListAsync<T>(space, labelSelector, cancellationToken).ConfigureAwait(false);
        var cache = new Cache<T>(labelSelector, space);
        var changed = Channel.CreateBounded<bool>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite });
        cache.Subscribe(_ => changed.Writer.TryWrite(true));
        using var end = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        var informer = new Informer<T>(cache, _transport, new InformerTimes(), _clock, new TroubleLog<T>(trouble));
        Task following = informer.RunAsync(end.Token);
        try
        {
            await cache.Synced.WaitAsync(cancellationToken).ConfigureAwait(false);
            while (true)
            {
                yield return cache.List();
                await changed.Reader.ReadAsync(cancellationToken).ConfigureAwait(false);
            }
        }
        finally
        {
            await end.CancelAsync().ConfigureAwait(false);
            await following.ConfigureAwait(false);
        }
    }

    /// <summary>Makes an object, in the namespace that its metadata names.</summary>
    /// <returns>The object as the server keeps it.</returns>
    /// <exception cref="KubeException"><see cref="KubeError.AlreadyExists"/> among others.</exception>
    public async Task<T> CreateAsync<T>(T entity, CancellationToken cancellationToken)
        where T : class, IKubernetesObject<V1ObjectMeta>
    {
        ArgumentNullException.ThrowIfNull(entity);
        JsonObject body = KubeJson.Write(entity);
        ResourceType type = ResourceType.Of<T>();
        body["apiVersion"] = type.ApiVersion;
        body["kind"] = type.Kind;
        string path = type.Path(entity.Metadata.NamespaceProperty) + Manager;
        return Written<T>(await _transport.PostAsync(path, body, null, cancellationToken).ConfigureAwait(false));
    }

    /// <summary>Deletes this very object, and none that has its name by now. That it is gone already, or another one, counts as done.</summary>
    /// <param name="key">Its key.</param>
    /// <param name="uid">Its UID.</param>
    /// <param name="resourceVersion">When given, one that changed since is left alone too; null for whatever state it is in.</param>
    /// <param name="cancellationToken">Ends it.</param>
    public async Task DeleteAsync<T>(ObjectKey key, string uid, string? resourceVersion, CancellationToken cancellationToken)
        where T : class, IKubernetesObject<V1ObjectMeta>
    {
        ArgumentException.ThrowIfNullOrEmpty(uid);
        var options = new JsonObject { ["apiVersion"] = "v1", ["kind"] = "DeleteOptions", ["preconditions"] = new JsonObject { ["uid"] = uid } };
        if (resourceVersion is not null)
        {
            options["preconditions"]!["resourceVersion"] = resourceVersion;
        }

        JsonElement answer;
        try
        {
            answer = await _transport.DeleteAsync(Path<T>(key), options, cancellationToken).ConfigureAwait(false);
        }
        catch (KubeException e) when (e.Kind is KubeError.NotFound or KubeError.Conflict)
        {
            return;
        }

        ObserveDeletion<T>(key, uid, answer);
    }

    /// <summary>Changes parts of an object by a JSON merge patch (RFC 7386).</summary>
    /// <param name="key">Its key.</param>
    /// <param name="body">The patch; with <c>metadata.resourceVersion</c> in it, it fails with <see cref="KubeError.Conflict"/> when the object changed meanwhile.</param>
    /// <param name="cancellationToken">Ends it.</param>
    /// <returns>The object as the server keeps it.</returns>
    public async Task<T> PatchAsync<T>(ObjectKey key, JsonObject body, CancellationToken cancellationToken)
        where T : class, IKubernetesObject<V1ObjectMeta> =>
        Written<T>(await _transport.PatchAsync(Path<T>(key) + Manager, body, null, cancellationToken).ConfigureAwait(false));

    /// <summary>Writes annotations of the very object that was seen; what else it has stays.</summary>
    /// <param name="key">Its key.</param>
    /// <param name="uid">Its UID; another object of that name is left alone, with <see cref="KubeError.Conflict"/>.</param>
    /// <param name="annotations">The annotations; null takes one away.</param>
    /// <param name="resourceVersion">The version that it must still have; null for any.</param>
    /// <param name="cancellationToken">Ends it.</param>
    /// <returns>The object as the server keeps it.</returns>
    public Task<T> AnnotateAsync<T>(ObjectKey key, string uid, IReadOnlyDictionary<string, string?> annotations, string? resourceVersion, CancellationToken cancellationToken)
        where T : class, IKubernetesObject<V1ObjectMeta>
    {
        var metadata = new JsonObject
        {
            ["uid"] = uid,
            ["annotations"] = new JsonObject(annotations.Select(a => KeyValuePair.Create(a.Key, (JsonNode?)a.Value))),
        };
        if (resourceVersion is not null)
        {
            metadata["resourceVersion"] = resourceVersion;
        }

        return PatchAsync<T>(key, new JsonObject { ["metadata"] = metadata }, cancellationToken);
    }

    /// <summary>
    /// Writes a status: only what changed, only when something did, and only when nobody wrote the object since <paramref name="original"/> was read.
    /// Members that the C# type does not know stay as they are.
    /// </summary>
    /// <param name="original">The object as it was read.</param>
    /// <param name="newStatus">What its status should be.</param>
    /// <param name="cancellationToken">Ends it.</param>
    /// <returns>The object as the server keeps it now; <paramref name="original"/> itself when the status is as it should be and nothing was sent.</returns>
    /// <exception cref="KubeException"><see cref="KubeError.Conflict"/> when the object changed meanwhile, among others.</exception>
    public async Task<T> PatchStatusAsync<T, TStatus>(T original, TStatus newStatus, CancellationToken cancellationToken)
        where T : class, IKubernetesObject<V1ObjectMeta>, IStatus<TStatus?>
        where TStatus : class
    {
        ArgumentNullException.ThrowIfNull(original);
        ArgumentNullException.ThrowIfNull(newStatus);
        JsonObject before = original.Status is { } status ? KubeJson.Write(status) : [];
        if (MergePatch.Diff(before, KubeJson.Write(newStatus)) is not { } changed)
        {
            return original;
        }

        var body = new JsonObject
        {
            ["metadata"] = new JsonObject { ["resourceVersion"] = original.Metadata.ResourceVersion },
            ["status"] = changed,
        };
        string path = ResourceType.Of<T>().Path(original.Metadata.NamespaceProperty, original.Metadata.Name, "status") + Manager;
        return Written<T>(await _transport.PatchAsync(path, body, null, cancellationToken).ConfigureAwait(false));
    }

    /// <summary>Tells people something about an object: one Event, one write. Best effort: a failure is logged and counted, and nothing else; in a namespace that is being deleted it is none.</summary>
    /// <param name="regarding">The object.</param>
    /// <param name="type"><c>Normal</c> or <c>Warning</c>.</param>
    /// <param name="reason">One word in CamelCase.</param>
    /// <param name="message">For people; cut after 1024 characters.</param>
    /// <param name="cancellationToken">Ends it.</param>
    public async Task PublishEventAsync(
        IKubernetesObject<V1ObjectMeta> regarding, string type, string reason, string message, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(regarding);
        ArgumentNullException.ThrowIfNull(message);
        DateTimeOffset now = _clock.GetUtcNow();
        string space = string.IsNullOrEmpty(regarding.Metadata.NamespaceProperty) ? "default" : regarding.Metadata.NamespaceProperty;
        string suffix = $".{now.UtcTicks:x}{Random.Shared.Next(0x1000):x3}";
        string name = regarding.Metadata.Name;
        string at = now.ToString("yyyy-MM-ddTHH:mm:ssZ", System.Globalization.CultureInfo.InvariantCulture);
        var body = new JsonObject
        {
            ["apiVersion"] = "v1",
            ["kind"] = "Event",
            ["metadata"] = new JsonObject { ["namespace"] = space, ["name"] = (name.Length > MaxName - suffix.Length ? name[..(MaxName - suffix.Length)] : name) + suffix },
            ["involvedObject"] = new JsonObject
            {
                ["apiVersion"] = regarding.ApiVersion,
                ["kind"] = regarding.Kind,
                ["namespace"] = regarding.Metadata.NamespaceProperty,
                ["name"] = name,
                ["uid"] = regarding.Metadata.Uid,
                ["resourceVersion"] = regarding.Metadata.ResourceVersion,
            },
            ["type"] = type,
            ["reason"] = reason,
            ["message"] = message.Length > MaxEventMessage ? message[..MaxEventMessage] : message,
            ["source"] = new JsonObject { ["component"] = _settings.Name },
            ["reportingComponent"] = _settings.Name,
            ["reportingInstance"] = _settings.Identity.Length > 128 ? _settings.Identity[..128] : _settings.Identity,
            ["firstTimestamp"] = at,
            ["lastTimestamp"] = at,
            ["count"] = 1,
        };
        try
        {
            await _transport.PostAsync(ResourceType.Of<Corev1Event>().Path(space), body, null, cancellationToken).ConfigureAwait(false);
        }
        catch (KubeException e) when (e.IsNamespaceEnding)
        {
            // With the namespace its events go too; nobody misses one.
            _log.LogDebug("Event {Reason} about {Kind} {Key} was not written: its namespace is being deleted", reason, regarding.Kind, ObjectKey.Of(regarding));
        }
        catch (KubeException e)
        {
            RuntimeMetrics.EventsLost.Inc();
            _log.LogWarning("Event {Reason} about {Kind} {Key} was lost: {Error}", reason, regarding.Kind, ObjectKey.Of(regarding), e.Message);
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _transport.Dispose();

    /// <summary>An informer's warnings, for a program that keeps no log.</summary>
    private sealed class TroubleLog<T>(Action<string>? trouble) : ILogger<Informer<T>>
        where T : class, IKubernetesObject<V1ObjectMeta>
    {
        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => logLevel >= LogLevel.Warning;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            if (IsEnabled(logLevel))
            {
                trouble?.Invoke(formatter(state, exception));
            }
        }
    }

    private string Manager => "?fieldManager=" + Uri.EscapeDataString(_settings.Name);

    private static string Path<T>(ObjectKey key) => ResourceType.Of<T>().Path(key.Namespace, key.Name);

    private static T Read<T>(JsonElement json)
        where T : class, IKubernetesObject<V1ObjectMeta> => KubeJson.Read<T>(json, out _);

    private T Written<T>(JsonElement json)
        where T : class, IKubernetesObject<V1ObjectMeta>
    {
        // Read twice: the caller may change its own, the cache's is shared.
        _caches.Find<T>()?.Observe(Read<T>(json));
        return Read<T>(json);
    }

    private void ObserveDeletion<T>(ObjectKey key, string uid, JsonElement answer)
        where T : class, IKubernetesObject<V1ObjectMeta>
    {
        if (_caches.Find<T>() is not { } cache || answer.ValueKind != JsonValueKind.Object)
        {
            return;
        }

        if (answer.TryGetProperty("kind", out JsonElement kind) && kind.ValueEquals("Status"))
        {
            cache.ObserveDeleted(key, uid);
            return;
        }

        // An object that waits for finalizers or its grace period is still there, now with a deletion timestamp. Otherwise the server answers
        // with the last state of something it may have removed: the watch will say.
        T last = Read<T>(answer);
        if (last.Metadata.Uid == uid && last.Metadata.DeletionTimestamp is not null
            && (last.Metadata.Finalizers is { Count: > 0 } || last.Metadata.DeletionGracePeriodSeconds > 0))
        {
            cache.Observe(last);
        }
    }
}
