using SandLabX.Cli.Shell;

return await Entry.RunAsync(args);
