using k8s.Models;
using SandLabX.Cli.Shell;
using SandLabX.Entities;
using SandLabX.Runtime;

namespace SandLabX.Cli.Transfer;

/// <summary>What the installation chose and a pod or claim that is made here must have as well.</summary>
/// <param name="Runner">The runner's image.</param>
/// <param name="DiskAccessMode">Access mode of disks' claims.</param>
internal sealed record RunnerSettings(RunnerImage Runner, string DiskAccessMode)
{
    private const string Deployment = "sandlabx-operator";

    /// <summary>Reads them from the operator's deployment; an image that the user names needs no such look.</summary>
    /// <exception cref="CliException">They can't be found.</exception>
    internal static async Task<RunnerSettings> FindAsync(KubeApi api, string space, string? image, CancellationToken stop)
    {
        IDictionary<string, string> told = new Dictionary<string, string>();
        try
        {
            V1Deployment? found = await api.GetAsync<V1Deployment>(new ObjectKey(space, Deployment), stop).ConfigureAwait(false);
            told = found?.Spec.Template.Spec.Containers[0].Env?.Where(e => e.Value is not null).ToDictionary(e => e.Name, e => e.Value) ?? told;
        }
        catch (KubeException e) when (e.Kind == KubeError.Forbidden && image is not null)
        {
            // Who may not look may still say.
        }

        string Told(string name, string otherwise) => told.TryGetValue("SANDLABX__" + name, out string? value) && value.Length > 0 ? value : otherwise;
        image ??= Told("RUNNERIMAGE", "");
        return image.Length == 0
            ? throw new CliException(ExitCodes.NotFound, $"Deployment {Deployment} of namespace {space} does not tell the runner's image. Name the operator's namespace with --operator-namespace, or the image with --runner-image.")
            : new RunnerSettings(new RunnerImage(image, Told("RUNNERIMAGEPULLPOLICY", "IfNotPresent"), Told("RUNNERIMAGEPULLSECRET", "")), Told("DISKACCESSMODE", "ReadWriteOnce"));
    }
}
