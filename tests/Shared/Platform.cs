// The runner, the local cluster, and with them these tests, are for Linux alone.
[assembly: System.Runtime.Versioning.SupportedOSPlatform("linux")]
