using k8s;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Logging;

namespace SandLabX.Runtime;

/// <summary>Adds an operator to a host.</summary>
public static class OperatorExtensions
{
    /// <summary>
    /// Adds an operator to a host, once a host. Server and credentials are those of the pod, or of the kubeconfig outside of a cluster, unless a
    /// <see cref="KubernetesClientConfiguration"/> is registered. When the lease is lost the host is stopped and <see cref="Environment.ExitCode"/> is 1.
    /// </summary>
    /// <exception cref="ArgumentException">The lease's times do not fit each other.</exception>
    public static IOperatorBuilder AddKubernetesOperator(this IServiceCollection services, Action<OperatorSettings>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(services);
        var settings = new OperatorSettings();
        configure?.Invoke(settings);
        settings.Validate();
        var caches = new CacheSet();
        services.TryAddSingleton(TimeProvider.System);
        services.TryAddSingleton(_ => KubernetesClientConfiguration.BuildDefaultConfig());
        services.TryAddSingleton(new InformerTimes());
        services.AddSingleton(settings);
        services.AddSingleton(p => new KubeTransport(p.GetRequiredService<KubernetesClientConfiguration>(), settings, p.GetRequiredService<TimeProvider>()));
        services.AddSingleton(p => new KubeApi(
            p.GetRequiredService<KubeTransport>(), caches, settings, p.GetRequiredService<TimeProvider>(), p.GetRequiredService<ILogger<KubeApi>>()));
        services.TryAddSingleton<ILeaseLock>(p => new KubeLease(p.GetRequiredService<KubeTransport>(), settings));
        services.AddSingleton<LeaderElector>();
        services.AddSingleton(p => new OperatorHealth(p.GetServices<Informer>(), p.GetServices<ControllerLoop>(), settings));
        services.AddSingleton<OperatorEnd>();
        services.AddHostedService<OperatorService>();
        return new OperatorBuilder(services, caches, settings);
    }
}
