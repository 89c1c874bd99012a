using SandLabX.Contract;

namespace SandLabX.Integration.Runner;

/// <summary>What a guest finds beside its disk: cloud-init's data, a CD, another firmware.</summary>
public sealed class BootTests
{
    private static readonly SeedConfig s_seed = new() { HostName = "web-1", User = "alice", NetworkData = "version: 2\n" };

    [Fact]
    public async Task Cloud_init_finds_its_data_and_a_guest_that_is_resumed_has_it_still()
    {
        using Lab lab = await Lab.MakeAsync();
        string secrets = Secrets(lab);
        SeedConfig seed = s_seed with { PasswordSecret = new SeedSecret("pw", secrets, "password"), SshKeysSecret = new SeedSecret("keys", Path.Combine(secrets, "keys"), null) };
        lab.Wish(PowerWishes.Running);
        await using (RunnerProcess runner = Run(lab, config => config with { Seed = seed }, "first"))
        {
            await runner.SeesAsync(BootSector.Greeting);
            string files = await UnpackAsync(lab);
            string userData = await File.ReadAllTextAsync(Path.Combine(files, "user-data"));
            userData.ShouldStartWith("#cloud-config\n");
            userData.ShouldContain("s3cret");
            string metaData = await File.ReadAllTextAsync(Path.Combine(files, "meta-data"));
            metaData.ShouldContain("ssh-ed25519 AAAA one");
            metaData.ShouldContain("ssh-rsa BBBB two");
            metaData.ShouldContain("\"local-hostname\": \"web-1\"");
            (await File.ReadAllTextAsync(Path.Combine(files, "network-config"))).ShouldBe("version: 2\n");
            (await Machine.RunAsync("blkid", "-o", "value", "-s", "LABEL", Seed(lab))).Trim().ShouldBe("CIDATA");
            Directory.GetFileSystemEntries(Path.GetDirectoryName(Seed(lab))!).ShouldBe([Seed(lab)], "what is secret is in one place");
            lab.Wish(PowerWishes.Suspended);
            await runner.EndsForAsync(TerminationReasons.Suspended);
        }

        // The LabNode says nothing of it any more, and the machine is still the one that it was.
        lab.Wish(PowerWishes.Running);
        await using RunnerProcess resumed = Run(lab, config => config, "second");
        await ConsoleTypesAsync(resumed, "hello");
        lab.Wish(PowerWishes.Suspended);
        (await resumed.EndAsync()).Report.SavedState!.Seed.ShouldBeTrue();
    }

    [Theory]
    [InlineData("gone", "has no key password")]
    [InlineData("large", "larger than 512 KiB")]
    [InlineData("folder", "it is not there, or empty")]
    public async Task A_secret_that_can_not_be_used_is_named_and_its_words_are_not(string trouble, string words)
    {
        using Lab lab = await Lab.MakeAsync();
        string secrets = Secrets(lab);
        if (trouble == "gone")
        {
            File.Delete(Path.Combine(secrets, "password"));
        }
        else if (trouble == "large")
        {
            await File.WriteAllTextAsync(Path.Combine(secrets, "password"), string.Concat(Enumerable.Repeat("s3cret", 100_000)));
        }

        SeedConfig seed = trouble == "folder"
            ? s_seed with { SshKeysSecret = new SeedSecret("keys", "/nowhere", null) }
            : s_seed with { PasswordSecret = new SeedSecret("pw", secrets, "password") };
        await using RunnerProcess runner = Run(lab, config => config with { Seed = seed }, "pod");
        string message = await runner.EndsForAsync(TerminationReasons.SecretUnusable);
        message.ShouldContain(words);
        message.ShouldNotContain("s3cret");
    }

    [Fact]
    public async Task A_disc_boots_once_nothing_on_the_disk_does_and_before_it_when_that_is_asked_for()
    {
        using Lab lab = await Lab.MakeAsync();
        string disc = await DiscAsync(lab);

        // Its own disk boots: the disc waits.
        await using (RunnerProcess runner = Run(lab, config => config with { CdromPath = disc }, "disk"))
        {
            await runner.SeesAsync(BootSector.Greeting);
            runner.Output.ShouldNotContain(DiscGreeting);
            await ConsoleClient.TypeAsync(runner, "p");
            await runner.EndsForAsync(TerminationReasons.GuestShutdown);
        }

        await using (RunnerProcess runner = Run(lab, config => config with { CdromPath = disc, CdromFirst = true }, "disc"))
        {
            await runner.SeesAsync(DiscGreeting);
            await ConsoleClient.TypeAsync(runner, "p");
            await runner.EndsForAsync(TerminationReasons.GuestShutdown);
        }

        // A disk with nothing on it.
        using Lab blank = await Lab.MakeAsync();
        await Machine.RunAsync("qemu-img", "create", "-q", "-f", "qcow2", blank.Base, "1M");
        string digest = Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(await File.ReadAllBytesAsync(blank.Base)));
        blank.WriteReport(digest);
        await using RunnerProcess installs = Run(blank, config => config with { CdromPath = disc, BackingSha256 = digest }, "blank");
        await installs.SeesAsync(DiscGreeting);
        await ConsoleClient.TypeAsync(installs, "p");
        await installs.EndsForAsync(TerminationReasons.GuestShutdown);
    }

    [Fact]
    public async Task A_uefi_keeps_its_variables_beside_the_disk()
    {
        using Lab lab = await Lab.MakeAsync();
        string variables = Path.Combine(lab.Claim, "node_t1.vars.fd");
        Func<RunnerConfig, RunnerConfig> uefi = config => config with { Uefi = true, MemoryBytes = 256L << 20, GracePeriodSeconds = 0 };
        await using (RunnerProcess runner = Run(lab, uefi, "first"))
        {
            // The boot sector means nothing to it, and it says so after it has looked at all that could boot.
            await runner.SeesAsync("BdsDxe");
            runner.Output.ShouldNotContain(BootSector.Greeting);
            await Lab.StopAsync(runner);
        }

        byte[] written = await File.ReadAllBytesAsync(variables);
        written.ShouldNotBe(await File.ReadAllBytesAsync("/usr/share/OVMF/OVMF_VARS_4M.fd"), "the firmware notes what it found");
        File.WriteAllText(Path.Combine(lab.Claim, ".node_t1.vars.fd.new"), "an interrupted start's");
        await using RunnerProcess second = Run(lab, config => uefi(config) with { Cpus = 2 }, "second");
        await second.SeesAsync("BdsDxe");
        await Lab.StopAsync(second);
        new FileInfo(variables).Length.ShouldBe(written.Length);
    }

    private const string DiscGreeting = "SANDLABX DISC";

    /// <summary>A CD with the same boot sector under another greeting, as an image's claim holds it.</summary>
    private static async Task<string> DiscAsync(Lab lab)
    {
        string tree = Directory.CreateDirectory(Path.Combine(lab.Folder, "disc")).FullName;
        byte[] sector = BootSector.Disk(2048);
        System.Text.Encoding.ASCII.GetBytes(DiscGreeting + "\r\n\0").CopyTo(sector, 0x8D);
        await File.WriteAllBytesAsync(Path.Combine(tree, "boot.img"), sector);
        string iso = Path.Combine(lab.Folder, "disc.iso");
        await Machine.RunAsync("xorrisofs", "-quiet", "-o", iso, "-b", "boot.img", "-no-emul-boot", "-boot-load-size", "4", tree);
        string disc = Path.Combine(lab.Folder, "disc.qcow2");
        await Machine.RunAsync("qemu-img", "convert", "-f", "raw", "-O", "qcow2", iso, disc);
        return disc;
    }

    private static string Secrets(Lab lab)
    {
        string folder = Path.Combine(lab.Folder, "secrets");
        Directory.CreateDirectory(Path.Combine(folder, "keys"));
        File.WriteAllText(Path.Combine(folder, "password"), "s3cret\n");
        File.WriteAllText(Path.Combine(folder, "keys", "a"), "# comment\nssh-ed25519 AAAA one\n\n");
        File.WriteAllText(Path.Combine(folder, "keys", "b"), "ssh-rsa BBBB two");
        File.WriteAllText(Path.Combine(folder, "keys", "..data"), "the kubelet's own");
        return folder;
    }

    private static async Task<string> UnpackAsync(Lab lab)
    {
        string files = Path.Combine(lab.Folder, "unpacked");
        await Machine.RunAsync("xorriso", "-osirrox", "on", "-indev", Seed(lab), "-extract", "/", files);
        return files;
    }

    private static async Task ConsoleTypesAsync(RunnerProcess runner, string text)
    {
        await runner.UntilPhaseAsync(RunnerPhases.Running);
        await ConsoleClient.TypeAsync(runner, text);
        await runner.SeesAsync(text);
        runner.Output.ShouldNotContain(BootSector.Greeting);
    }

    private static RunnerProcess Run(Lab lab, Func<RunnerConfig, RunnerConfig> with, string name) =>
        lab.Run(with, name, lab.Wishes, ("SANDLABX_SEED_DIR", Path.Combine(lab.Folder, "seed")));

    private static string Seed(Lab lab) => Path.Combine(lab.Folder, "seed", "seed.iso");
}
