using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text.Json;
using SandLabX.Cli.Transfer;
using SandLabX.Contract;

namespace SandLabX.Integration.Runner;

/// <summary>The sending end against a real runner: the faster way where there is one, and the other one where that leads nowhere.</summary>
public sealed class UploadClientTests : IAsyncLifetime
{
    private const int Length = 40 << 20;

    private readonly string _folder = Directory.CreateTempSubdirectory("sandlabx-client-").FullName;
    private readonly byte[] _bytes = RandomNumberGenerator.GetBytes(Length);

    private string Source => Path.Combine(_folder, "source");

    public async ValueTask InitializeAsync()
    {
        Directory.CreateDirectory(Path.Combine(_folder, "claim"));
        await File.WriteAllBytesAsync(Source, _bytes);
    }

    public ValueTask DisposeAsync()
    {
        Directory.Delete(_folder, recursive: true);
        return ValueTask.CompletedTask;
    }

    [Fact]
    public async Task All_pieces_go_the_faster_way_where_it_works()
    {
        await using RunnerProcess runner = Start();
        using var slow = new Relay(await PortAsync(runner, "upload-port"));
        using var fast = new Relay(await PortAsync(runner, "sealed-port"));
        await SendAsync(slow, fast.PutAsync);
        fast.Passed.ShouldBeInRange(UploadSeal.SealedLength(Length), UploadSeal.SealedLength(Length) + 2000);
        slow.Passed.ShouldBeLessThan(5000, "requests without a body");
    }

    public static TheoryData<string> DeadEnds => ["refused", "forbidden", "silent", "nonsense", "lies"];

    [Theory]
    [MemberData(nameof(DeadEnds))]
    public async Task A_faster_way_that_leads_nowhere_is_given_up_at_once(string how)
    {
        await using RunnerProcess runner = Start();
        using var slow = new Relay(await PortAsync(runner, "upload-port"));
        int tries = 0;
        await SendAsync(slow, async (_, body, stop) =>
        {
            tries++;
            switch (how)
            {
                case "refused":
                    throw new HttpRequestException("Connection refused");
                case "silent":
                    await Task.Delay(Timeout.Infinite, stop);
                    throw new InvalidOperationException();
                default:
                    await body.CopyToAsync(Stream.Null, stop);
                    return how switch
                    {
                        "forbidden" => new HttpResponseMessage(HttpStatusCode.Forbidden) { Content = new StringContent("""{"kind": "Status", "reason": "Forbidden"}""") },
                        "lies" => new HttpResponseMessage(HttpStatusCode.BadGateway) { Content = new StringContent("""{"received": 41943040, "state": "Done"}""") },
                        _ => new HttpResponseMessage(HttpStatusCode.OK) { Content = new StringContent("<html>a login page</html>") },
                    };
            }
        });
        tries.ShouldBe(1);
        slow.Passed.ShouldBeInRange(Length, Length + 5000);
    }

    /// <summary>Cut in the middle, and again: it asks what came, goes on from there, and the runner has every byte once.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_connection_that_is_lost_in_the_middle_costs_no_more_than_what_was_under_way(bool isFast)
    {
        await using RunnerProcess runner = Start();
        using var slow = new Relay(await PortAsync(runner, "upload-port")) { CutEvery = isFast ? null : 10 << 20 };
        using var fast = new Relay(await PortAsync(runner, "sealed-port")) { CutEvery = 10 << 20 };
        await SendAsync(slow, isFast ? fast.PutAsync : null);
        Relay cut = isFast ? fast : slow;
        cut.Cuts.ShouldBeGreaterThanOrEqualTo(3);

        // All that passed before a cut was taken, but for a chunk that was not whole.
        cut.Passed.ShouldBeInRange(Length, Length + (cut.Cuts * (UploadSeal.Chunk + 5000L)) + UploadSeal.SealedLength(Length) - Length + 50_000);
    }

    private async Task SendAsync(Relay slow, SealedWay? fast)
    {
        using var client = new UploadClient(new HttpClient { BaseAddress = slow.Address }, fast, TimeProvider.System);
        await using var file = new FileStream(Source, FileMode.Open, FileAccess.Read);
        using var limit = new CancellationTokenSource(RunnerProcess.Patience);
        UploadRefusedException refused = await Should.ThrowAsync<UploadRefusedException>(() => client.SendAsync(file, _ => { }, _ => Task.FromResult(true), limit.Token));

        // It is no disk image; that it is refused as such says that its digest was right.
        refused.Reason.ShouldBe(TerminationReasons.UnknownFormat, refused.Message);
    }

    private RunnerProcess Start()
    {
        var config = new ImportConfig
        {
            Image = "labs/i1",
            Sha256 = Convert.ToHexStringLower(SHA256.HashData(_bytes)),
            TargetPath = Path.Combine(_folder, "claim", "disk.qcow2"),
            MaxVirtualSizeBytes = 1L << 30,
        };
        return RunnerProcess.Start(Path.Combine(_folder, "pod"), "import", JsonSerializer.Serialize(config, ContractJson.Default.ImportConfig));
    }

    private static async Task<int> PortAsync(RunnerProcess runner, string file)
    {
        await runner.UntilPhaseAsync(RunnerPhases.Receiving);
        return int.Parse(await File.ReadAllTextAsync(Path.Combine(runner.RunDirectory, file)), System.Globalization.CultureInfo.InvariantCulture);
    }

    /// <summary>Passes connections on, counts what goes to the runner, and cuts them as told.</summary>
    private sealed class Relay : IDisposable
    {
        private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
        private readonly int _port;
        private readonly HttpClient _http;
        private long _passed;

        public Relay(int port)
        {
            _port = port;
            _listener.Start();
            _http = new HttpClient { BaseAddress = Address };
            _ = AcceptAsync();
        }

        public Uri Address => new($"http://{_listener.LocalEndpoint}");

        /// <summary>Each time when so many more bytes have passed, their connection is cut.</summary>
        public long? CutEvery { get; init; }

        public int Cuts { get; private set; }

        public long Passed => Interlocked.Read(ref _passed);

        public async Task<HttpResponseMessage> PutAsync(string path, HttpContent body, CancellationToken stop) => await _http.PutAsync(path, body, stop);

        public void Dispose()
        {
            _listener.Dispose();
            _http.Dispose();
        }

        private async Task AcceptAsync()
        {
            try
            {
                while (true)
                {
                    _ = ServeAsync(await _listener.AcceptTcpClientAsync());
                }
            }
            catch (Exception e) when (e is ObjectDisposedException or SocketException)
            {
            }
        }

        private async Task ServeAsync(TcpClient client)
        {
            using TcpClient near = client;
            using var far = new TcpClient();
            try
            {
                await far.ConnectAsync(IPAddress.Loopback, _port);
                Task back = far.GetStream().CopyToAsync(near.GetStream());
                byte[] buffer = new byte[64 << 10];
                while (await near.GetStream().ReadAsync(buffer) is > 0 and int count)
                {
                    await far.GetStream().WriteAsync(buffer.AsMemory(0, count));
                    long passed = Interlocked.Add(ref _passed, count);
                    if (CutEvery is { } each && passed / each > (passed - count) / each)
                    {
                        Cuts++;
                        near.Client.LingerState = new LingerOption(true, 0);
                        return;
                    }
                }

                far.Client.Shutdown(SocketShutdown.Send);
                await back;
            }
            catch (Exception e) when (e is IOException or SocketException)
            {
            }
        }
    }
}
