using System.Net.Http.Headers;
using SandLabX.Runtime;

namespace SandLabX.Cli.Connection;

/// <summary>
/// Requests to a pod that the API server passes on by itself (<c>pods/proxy</c>): many times as fast as a port-forward, which goes through kubelet and
/// container runtime. It needs a right of its own, and an API server that reaches the pods' network; and from there on the bytes are in the open.
/// </summary>
internal static class PodProxy
{
    /// <summary>Sends a body to a port of a pod.</summary>
    /// <param name="cluster">The cluster.</param>
    /// <param name="pod">The pod.</param>
    /// <param name="port">The port on its address.</param>
    /// <param name="path">Path and query.</param>
    /// <param name="body">What is sent; it belongs to the request from then on.</param>
    /// <param name="stop">Ends it early.</param>
    /// <returns>The answer, be it the pod's or the API server's.</returns>
    internal static async Task<HttpResponseMessage> PutAsync(Cluster cluster, ObjectKey pod, int port, string path, HttpContent body, CancellationToken stop)
    {
        // HTTP/1.1: in the other one all streams of a connection share a window of what is under way.
        using var request = new HttpRequestMessage(HttpMethod.Put, new Uri(cluster.Client.BaseUri, $"api/v1/namespaces/{pod.Namespace}/pods/{pod.Name}:{port}/proxy{path}")) { Content = body };
        request.Headers.UserAgent.Add(new ProductInfoHeaderValue(Cluster.FieldManager, null));
        if (cluster.Client.Credentials is { } credentials)
        {
            await credentials.ProcessHttpRequestAsync(request, stop).ConfigureAwait(false);
        }

        return await cluster.Client.HttpClient.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, stop).ConfigureAwait(false);
    }
}
