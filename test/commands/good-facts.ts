/** What `check` gathers of a host where all is good. */
import type { Facts, SeenPath } from "../../lib/commands/check/facts.ts";
import { parseConfig } from "../../lib/config/config.ts";

export const targetId = "01M850P0K099E9F8GHWJ7VBZWM";

export const place = (path: string, over: Partial<SeenPath> = {}): SeenPath => ({
  path,
  kind: "directory",
  mode: 0o700,
  uid: 1000,
  isReadable: true,
  isWritable: true,
  isExecutable: true,
  ...over,
});
export const seen = <T>(value: T): { ok: true; value: T } => ({ ok: true, value });

export function configOf(
  general = "",
  testbed = "",
  target = `id = "${targetId}"`,
  url = "https://b.example",
) {
  return parseConfig({
    text: `[general]\nbaseurl = "${url}"\n${general}\n[factory]\ntoken = "abc"\n[testbed.bed-1]\nsp_type = "gimlet"\ntargets = ["t"]\n${testbed}\n[target.t]\n${target}\n`,
    path: "/b/config.toml",
    env: {},
    home: "/home/lab",
    user: "lab",
    platform: "linux",
    workingDirectory: "/",
    systemdCredential: null,
    readTokenFile: () => "",
  });
}

export const good: Facts = {
  base: { directory: "/b", config: "/b/config.toml", database: "/b/data.sqlite3" },
  config: configOf(),
  platform: "linux",
  uid: 1000,
  agentServer: seen({ ok: true, exitCode: 0, stdout: "", stderr: "" }),
  tokenFiles: seen([place("/b/config.toml", { kind: "file", mode: 0o600 })]),
  ping: seen({
    reply: {
      ok: true,
      status: 200,
      headers: new Headers({ date: "Tue, 24 Nov 2026 00:00:00 GMT" }),
      body: new TextEncoder().encode('{"ok":true}'),
    },
    wallMs: Date.UTC(2026, 10, 24),
  }),
  workers: seen({ ok: true, value: [] }),
  configDirectory: seen(place("/b")),
  databaseDirectory: seen(place("/b")),
  database: seen(place("/b/data.sqlite3", { kind: "file", mode: 0o600 })),
  databaseTrouble: seen(null),
  reaches: seen(new Map()),
  boardChecks: seen(new Map()),
  workDirectory: seen(place("/b/work")),
  lockDirectory: seen(place("/locks", { mode: 0o1777, uid: 0 })),
  freeBytes: seen(1e12),
  isFactoryRunning: seen(false),
  live: seen(null),
  troubles: seen(new Map()),
  runningConfig: seen(null),
  quarantines: seen(new Map()),
  locks: seen({ ok: true, locks: [] }),
  missingPrograms: seen({ ofJobs: [], ofIsolation: [] }),
  probe: seen({
    ok: true,
    uid: 1000,
    isolation: { kind: "possible" },
    unshared: null,
    unusable: null,
    freeBytes: null,
    agentFaults: [],
  }),
  agent: seen({
    program: { kind: "external", argv: ["/a"], bmat: ["/a"] },
    place: place("/a", { kind: "file" }),
    run: { ok: true, exitCode: 0, stdout: "", stderr: "" },
  }),
  runners: seen({ searchPath: "/usr/bin", programs: [], configurations: [] }),
};
