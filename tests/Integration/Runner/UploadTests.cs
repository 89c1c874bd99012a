using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using SandLabX.Contract;

namespace SandLabX.Integration.Runner;

/// <summary>Uploads to a real runner, over connections that break.</summary>
public sealed class UploadTests : IAsyncLifetime
{
    private static readonly HttpClient s_http = new();

    private readonly string _folder = Directory.CreateTempSubdirectory("sandlabx-upload-").FullName;
    private byte[] _image = [];

    private string Claim => Path.Combine(_folder, "claim");

    private string Target => Path.Combine(Claim, "disk.qcow2");

    private string Digest => Convert.ToHexStringLower(SHA256.HashData(_image));

    public async ValueTask InitializeAsync()
    {
        Machine.NeedsQemu();
        Directory.CreateDirectory(Claim);
        string raw = Path.Combine(_folder, "raw"), made = Path.Combine(_folder, "made");
        byte[] disk = new byte[8 << 20];
        new Random(1).NextBytes(disk.AsSpan(0, 3 << 20));
        await File.WriteAllBytesAsync(raw, disk);
        await Machine.RunAsync("qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, made);
        _image = await File.ReadAllBytesAsync(made);
    }

    public ValueTask DisposeAsync()
    {
        Directory.Delete(_folder, recursive: true);
        return ValueTask.CompletedTask;
    }

    [Fact]
    public async Task What_is_uploaded_in_pieces_is_verified_and_imported()
    {
        await using RunnerProcess runner = Start();
        Uri url = await UrlAsync(runner);
        (await GetAsync(url)).ShouldBe(new UploadReport(0, UploadStates.Receiving));
        int half = _image.Length / 2;
        (await PutAsync(url, 0, _image.AsMemory(0, half))).ShouldBe((HttpStatusCode.OK, new UploadReport(half, UploadStates.Receiving)));
        RunnerState state = await runner.UntilAsync(s => s.ReceivedBytes == half);
        state.Phase.ShouldBe(RunnerPhases.Receiving);
        (await PutAsync(url, half, _image.AsMemory(half))).Status.ShouldBe(HttpStatusCode.OK);
        (await FinishAsync(url)).ShouldBe((HttpStatusCode.OK, new UploadReport(_image.Length, UploadStates.Done)));

        (TerminationReport report, int exitCode) = await runner.EndAsync();
        report.Reason.ShouldBe(TerminationReasons.Imported, report.Message);
        exitCode.ShouldBe(0);
        report.Image.ShouldBe(new ImageReport(Digest, "qcow2", 8 << 20, _image.Length) { SourceFormat = "qcow2" });
        (await File.ReadAllBytesAsync(Target)).SequenceEqual(_image).ShouldBeTrue();
        Directory.GetFiles(Claim).Select(Path.GetFileName).Order().ShouldBe([".import.lock", "disk.json", "disk.qcow2"]);
    }

    [Fact]
    public async Task A_piece_that_does_not_begin_where_the_last_ended_is_refused_and_changes_nothing()
    {
        await using RunnerProcess runner = Start();
        Uri url = await UrlAsync(runner);
        await PutAsync(url, 0, _image.AsMemory(0, 1000));
        var here = new UploadReport(1000, UploadStates.Receiving);
        (await PutAsync(url, 0, _image.AsMemory(0, 1000))).ShouldBe((HttpStatusCode.Conflict, here));
        (await PutAsync(url, 2000, _image.AsMemory(2000))).ShouldBe((HttpStatusCode.Conflict, here));
        (await PutAsync(url, 1000, _image.AsMemory(1000))).Status.ShouldBe(HttpStatusCode.OK);
        (await FinishAsync(url)).Status.ShouldBe(HttpStatusCode.OK);
    }

    [Fact]
    public async Task A_connection_that_breaks_loses_nothing_of_what_came()
    {
        await using RunnerProcess runner = Start();
        Uri url = await UrlAsync(runner);
        using (Socket broken = await BeginAsync(url, _image.Length))
        {
            await broken.SendAsync(_image.AsMemory(0, 1_000_000));
            await runner.UntilAsync(s => s.TotalBytes == _image.Length);
        }

        UploadReport report = await ReceivesAsync(url, 1_000_000);
        (await PutAsync(url, report.Received, _image.AsMemory((int)report.Received))).Status.ShouldBe(HttpStatusCode.OK);
        (await FinishAsync(url)).Status.ShouldBe(HttpStatusCode.OK);
    }

    [Fact]
    public async Task A_sender_that_comes_again_displaces_its_own_dead_connection()
    {
        await using RunnerProcess runner = Start();
        Uri url = await UrlAsync(runner);
        using Socket silent = await BeginAsync(url, _image.Length);
        await silent.SendAsync(_image.AsMemory(0, 4096));
        await ReceivesAsync(url, 4096);

        (await PutAsync(url, 4096, _image.AsMemory(4096))).Status.ShouldBe(HttpStatusCode.OK);
        (await FinishAsync(url)).Status.ShouldBe(HttpStatusCode.OK);
    }

    [Fact]
    public async Task Another_pod_goes_on_where_the_first_was_killed()
    {
        await using (RunnerProcess first = Start())
        {
            await PutAsync(await UrlAsync(first), 0, _image.AsMemory(0, 1_500_000));
            first.Signal(9);
        }

        await using RunnerProcess second = Start();
        Uri url = await UrlAsync(second);
        (await GetAsync(url)).Received.ShouldBe(1_500_000);
        (await PutAsync(url, 1_500_000, _image.AsMemory(1_500_000))).Status.ShouldBe(HttpStatusCode.OK);
        (await FinishAsync(url)).Status.ShouldBe(HttpStatusCode.OK);
        await second.EndsForAsync(TerminationReasons.Imported);
    }

    [Fact]
    public async Task A_file_that_was_whole_when_its_pod_was_killed_needs_no_sender_any_more()
    {
        await using (RunnerProcess first = Start())
        {
            await PutAsync(await UrlAsync(first), 0, _image);
            first.Signal(9);
        }

        await using RunnerProcess second = Start();
        await second.EndsForAsync(TerminationReasons.Imported);
    }

    [Fact]
    public async Task A_pod_that_is_told_to_stop_keeps_what_came()
    {
        await using RunnerProcess runner = Start();
        await PutAsync(await UrlAsync(runner), 0, _image.AsMemory(0, 5000));
        runner.Signal(15);
        await runner.EndsForAsync(TerminationReasons.ImportInterrupted);
        new FileInfo(Target + ".upload").Length.ShouldBe(5000);
    }

    [Fact]
    public async Task Wrong_bytes_are_refused_with_both_digests_and_leave_nothing()
    {
        string wished = new('0', 64);
        await using RunnerProcess runner = Start(wished);
        Uri url = await UrlAsync(runner);
        await PutAsync(url, 0, _image);
        (HttpStatusCode status, UploadReport report) = await FinishAsync(url);

        status.ShouldBe(HttpStatusCode.UnprocessableEntity);
        report.State.ShouldBe(UploadStates.Refused);
        report.Reason.ShouldBe(TerminationReasons.DigestMismatch);
        string message = report.Message.ShouldNotBeNull();
        message.ShouldContain(wished);
        message.ShouldContain(Digest);
        (await runner.EndsForAsync(TerminationReasons.DigestMismatch)).ShouldBe(report.Message);
        Directory.GetFiles(Claim).Select(Path.GetFileName).ShouldBe([".import.lock"]);
    }

    [Fact]
    public async Task More_than_the_claim_was_asked_to_hold_is_refused_before_it_comes()
    {
        await using RunnerProcess runner = Start(claimBytes: 1 << 20);
        Uri url = await UrlAsync(runner);
        (HttpStatusCode status, UploadReport report) = await PutAsync(url, 0, _image);

        status.ShouldBe(HttpStatusCode.UnprocessableEntity);
        report.Reason.ShouldBe(TerminationReasons.NoSpace);
        (await runner.EndsForAsync(TerminationReasons.NoSpace)).ShouldContain($"{_image.Length}");
    }

    [Fact]
    public async Task It_is_served_on_loopback_alone_and_understands_nothing_else()
    {
        await using RunnerProcess runner = Start();
        Uri url = await UrlAsync(runner);
        string port = $":{url.Port:X4} ";
        string[] listeners = [.. (await File.ReadAllLinesAsync("/proc/net/tcp")).Concat(await File.ReadAllLinesAsync("/proc/net/tcp6")).Where(l => l.Contains(port, StringComparison.Ordinal) && l.Contains(" 0A ", StringComparison.Ordinal))];
        listeners.ShouldHaveSingleItem().ShouldContain($"0100007F{port}");

        (await SaysAsync(url, "GET /etc/passwd HTTP/1.1\r\n\r\n")).ShouldStartWith("HTTP/1.1 404");
        (await SaysAsync(url, "DELETE /v1/upload HTTP/1.1\r\n\r\n")).ShouldStartWith("HTTP/1.1 405");
        (await SaysAsync(url, "PUT /v1/upload?offset=0 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")).ShouldStartWith("HTTP/1.1 400");
        (await SaysAsync(url, "PUT /v1/upload?offset=0 HTTP/1.1\r\n\r\n")).ShouldStartWith("HTTP/1.1 411");
        (await SaysAsync(url, "PUT /v1/upload?offset=-1 HTTP/1.1\r\nContent-Length: 1\r\n\r\n")).ShouldStartWith("HTTP/1.1 400");
        (await SaysAsync(url, "nonsense\r\n\r\n")).ShouldStartWith("HTTP/1.1 400");
        (await FinishAsync(url)).Status.ShouldBe(HttpStatusCode.Conflict, "nothing was sent");
        (await GetAsync(url)).ShouldBe(new UploadReport(0, UploadStates.Receiving));
    }

    [Fact]
    public async Task A_sender_that_asks_first_is_told_to_go_on()
    {
        await using RunnerProcess runner = Start();
        Uri url = await UrlAsync(runner);
        using var request = new HttpRequestMessage(HttpMethod.Put, new Uri(url, "?offset=0")) { Content = new ByteArrayContent(_image) };
        request.Headers.ExpectContinue = true;
        using HttpResponseMessage answer = await s_http.SendAsync(request);
        answer.StatusCode.ShouldBe(HttpStatusCode.OK);
        (await FinishAsync(url)).Status.ShouldBe(HttpStatusCode.OK);
    }

    [Fact]
    public async Task A_sealed_piece_comes_to_the_pods_address_with_a_ticket_that_is_good_once()
    {
        await using RunnerProcess runner = Start();
        Uri url = await UrlAsync(runner);
        Uri open = SealedUrl(runner);
        int half = (2 * UploadSeal.Chunk) + 777;
        UploadTicket ticket = await TicketAsync(url);
        (await PutSealedAsync(open, 0, ticket, Seal(ticket, _image.AsSpan(0, half)))).ShouldBe(HttpStatusCode.OK);
        (await GetAsync(url)).Received.ShouldBe(half);
        (await PutSealedAsync(open, half, ticket, Seal(ticket, _image.AsSpan(half)))).ShouldBe(HttpStatusCode.Forbidden, "it was used");

        UploadTicket former = await TicketAsync(url);
        UploadTicket fresh = await TicketAsync(url);
        (await PutSealedAsync(open, half, former, Seal(former, _image.AsSpan(half)))).ShouldBe(HttpStatusCode.Forbidden, "there is a later one");
        (await PutSealedAsync(open, half, fresh, Seal(fresh, _image.AsSpan(half)))).ShouldBe(HttpStatusCode.OK);
        (await FinishAsync(url)).Status.ShouldBe(HttpStatusCode.OK);
        await runner.EndsForAsync(TerminationReasons.Imported);
    }

    [Fact]
    public async Task What_was_changed_on_the_way_is_not_taken_and_what_came_before_it_is()
    {
        await using RunnerProcess runner = Start();
        Uri url = await UrlAsync(runner);
        UploadTicket ticket = await TicketAsync(url);
        byte[] sealedPiece = Seal(ticket, _image);
        sealedPiece[UploadSeal.Chunk + UploadSeal.Overhead + 5] ^= 1;
        (await PutSealedAsync(SealedUrl(runner), 0, ticket, sealedPiece)).ShouldBe(HttpStatusCode.Forbidden);
        (await GetAsync(url)).ShouldBe(new UploadReport(UploadSeal.Chunk, UploadStates.Receiving));

        // Nor are chunks in another order, or those of another ticket.
        UploadTicket other = await TicketAsync(url);
        (await PutSealedAsync(SealedUrl(runner), UploadSeal.Chunk, other, Seal(ticket, _image.AsSpan(UploadSeal.Chunk)))).ShouldBe(HttpStatusCode.Forbidden);
        (await GetAsync(url)).Received.ShouldBe(UploadSeal.Chunk);
        (await PutAsync(url, UploadSeal.Chunk, _image.AsMemory(UploadSeal.Chunk))).Status.ShouldBe(HttpStatusCode.OK);
        (await FinishAsync(url)).Status.ShouldBe(HttpStatusCode.OK);
    }

    [Fact]
    public async Task Who_has_no_ticket_learns_nothing_and_changes_nothing()
    {
        await using RunnerProcess runner = Start();
        Uri url = await UrlAsync(runner);
        Uri open = SealedUrl(runner);
        using Socket sending = await BeginAsync(url, _image.Length);
        await sending.SendAsync(_image.AsMemory(0, 4096));
        await ReceivesAsync(url, 4096);
        foreach (string request in (string[])
            ["GET /v1/upload", "POST /v1/upload/ticket", "POST /v1/upload/finish", "PUT /v1/upload?offset=4096", "PUT /v1/upload?offset=4096&ticket=", $"PUT /v1/upload?offset=4096&ticket={new string('0', 32)}"])
        {
            (await SaysAsync(open, $"{request} HTTP/1.1\r\nContent-Length: 10\r\n\r\n0123456789")).ShouldMatch("^HTTP/1.1 403 [^{]*{}$", request);
        }

        // The one who is sending was not disturbed.
        await sending.SendAsync(_image.AsMemory(4096));
        await ReceivesAsync(url, _image.Length);
        (await FinishAsync(url)).Status.ShouldBe(HttpStatusCode.OK);
    }

    private RunnerProcess Start(string? sha256 = null, long? claimBytes = null)
    {
        var config = new ImportConfig { Image = "labs/i1", Sha256 = sha256 ?? Digest, TargetPath = Target, MaxVirtualSizeBytes = 1L << 30, ClaimBytes = claimBytes };
        return RunnerProcess.Start(Path.Combine(_folder, "pod"), "import", JsonSerializer.Serialize(config, ContractJson.Default.ImportConfig));
    }

    private static async Task<Uri> UrlAsync(RunnerProcess runner)
    {
        await runner.UntilPhaseAsync(RunnerPhases.Receiving);
        string port = (await File.ReadAllTextAsync(Path.Combine(runner.RunDirectory, "upload-port"))).Trim();
        return new Uri($"http://127.0.0.1:{port}{ContractNames.UploadPath}");
    }

    private static Uri SealedUrl(RunnerProcess runner) =>
        new($"http://127.0.0.1:{File.ReadAllText(Path.Combine(runner.RunDirectory, "sealed-port")).Trim()}{ContractNames.UploadPath}");

    private static async Task<UploadTicket> TicketAsync(Uri url)
    {
        using HttpResponseMessage answer = await s_http.PostAsync(new Uri(url, ContractNames.UploadTicketPath), null);
        return JsonSerializer.Deserialize(await answer.Content.ReadAsStringAsync(), ContractJson.Default.UploadTicket)!;
    }

    private static byte[] Seal(UploadTicket ticket, ReadOnlySpan<byte> plain)
    {
        using var seal = new UploadSeal(ticket);
        byte[] piece = new byte[UploadSeal.SealedLength(plain.Length)];
        for (int at = 0, to = 0; at < plain.Length; at += UploadSeal.Chunk, to += UploadSeal.Chunk + UploadSeal.Overhead)
        {
            int count = Math.Min(plain.Length - at, UploadSeal.Chunk);
            seal.Seal(plain.Slice(at, count), piece.AsSpan(to, count + UploadSeal.Overhead));
        }

        return piece;
    }

    private static async Task<HttpStatusCode> PutSealedAsync(Uri url, long offset, UploadTicket ticket, byte[] piece)
    {
        using HttpResponseMessage answer = await s_http.PutAsync(new Uri(url, $"?offset={offset}&ticket={ticket.Id}"), new ByteArrayContent(piece));
        return answer.StatusCode;
    }

    private static async Task<UploadReport> GetAsync(Uri url) => Read(await s_http.GetStringAsync(url));

    /// <summary>Asks until so much has come; what a connection carries is not there the moment it was sent.</summary>
    private static async Task<UploadReport> ReceivesAsync(Uri url, long bytes)
    {
        using var limit = new CancellationTokenSource(RunnerProcess.Patience);
        UploadReport report;
        do
        {
            limit.Token.ThrowIfCancellationRequested();
            report = await GetAsync(url);
        }
        while (report.Received < bytes);
        return report;
    }

    private static async Task<(HttpStatusCode Status, UploadReport Report)> PutAsync(Uri url, long offset, ReadOnlyMemory<byte> bytes)
    {
        using HttpResponseMessage answer = await s_http.PutAsync(new Uri(url, $"?offset={offset}"), new ReadOnlyMemoryContent(bytes));
        return (answer.StatusCode, Read(await answer.Content.ReadAsStringAsync()));
    }

    private static async Task<(HttpStatusCode Status, UploadReport Report)> FinishAsync(Uri url)
    {
        using HttpResponseMessage answer = await s_http.PostAsync(new Uri(url, ContractNames.UploadFinishPath), null);
        return (answer.StatusCode, Read(await answer.Content.ReadAsStringAsync()));
    }

    private static async Task<Socket> BeginAsync(Uri url, long length)
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(IPAddress.Loopback, url.Port);
        await socket.SendAsync(Encoding.ASCII.GetBytes($"PUT {url.AbsolutePath}?offset=0 HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n"));
        return socket;
    }

    private static async Task<string> SaysAsync(Uri url, string request)
    {
        using var client = new TcpClient();
        await client.ConnectAsync(IPAddress.Loopback, url.Port);
        NetworkStream stream = client.GetStream();
        await stream.WriteAsync(Encoding.ASCII.GetBytes(request));
        client.Client.Shutdown(SocketShutdown.Send);
        return await new StreamReader(stream).ReadToEndAsync();
    }

    private static UploadReport Read(string json) => JsonSerializer.Deserialize(json, ContractJson.Default.UploadReport)!;
}
