/** F81: a server behind a private certificate authority and a proxy, end to end with real ones. */
import { expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openClock } from "../lib/doors/clock.ts";
import { openProcesses, type Run } from "../lib/doors/processes.ts";
import { openRandom } from "../lib/doors/random.ts";
import type { Connection } from "../lib/hosts/ssh/connection.ts";
import { tryServerThere } from "../lib/hosts/ssh/try-server.ts";
import { type FactoryProcess, type Lab, openLab } from "./lab/lab.ts";
import { drained, openSshLab } from "./lab/ssh-lab.ts";
import { openPrivateNetwork, type PrivateNetwork } from "./lab/private-network.ts";
import { until } from "./lab/until.ts";

interface Findings {
  findings: { severity: string; subject: string; message: string }[];
}

/** The lab's server is reached through the network alone. `general` is text for the configuration's end. */
async function move(lab: Lab, table: string[] = []): Promise<PrivateNetwork & AsyncDisposable> {
  const network = await openPrivateNetwork(join(lab.directory, "network"), lab.proxy.url);
  const path = join(lab.base, "config.toml");
  const text = readFileSync(path, "utf8").replace(lab.proxy.url, network.url);
  const lines = table.map((line) =>
    line.replace("AUTHORITY", network.authority).replace("PROXY_URL", network.proxyUrl),
  );
  writeFileSync(path, `${text}\n${lines.join("\n")}\n`, { mode: 0o600 });
  return { ...network, [Symbol.asyncDispose]: network.stop };
}

async function check(lab: Lab, env: Record<string, string>): Promise<Findings["findings"]> {
  const child = lab.start({ command: ["check"], args: ["--json"], env });
  return (JSON.parse(await child.stdout()) as Findings).findings;
}

/** Whether the password is in an argument of any process, or in the text of any log. */
function showsPassword(password: string, factory: FactoryProcess, agentLog: string | null): boolean {
  const isInArguments = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .some((name) => {
      try {
        return readFileSync(`/proc/${name}/cmdline`, "latin1").includes(password);
      } catch {
        return false;
      }
    });
  return (
    isInArguments || JSON.stringify(factory.log()).includes(password) || (agentLog ?? "").includes(password)
  );
}

for (const agent of ["builtin", "stub"]) {
  test(`a job of the ${agent} agent runs behind a private CA and a proxy, and its task gets no such variable`, async () => {
    await using lab = await openLab({ agent });
    await using network = await move(lab);
    const env = { NODE_EXTRA_CA_CERTS: network.authority, HTTPS_PROXY: network.proxyUrl };
    const findings = await check(lab, env);
    expect(findings.filter(({ severity }) => severity === "error")).toEqual([]);
    expect(findings).toContainEqual(
      expect.objectContaining({
        severity: "ok",
        subject: "agent",
        message: expect.stringContaining("reaches"),
      }),
    );
    expect(JSON.stringify(findings)).not.toContain(network.password);
    const factory = lab.start({ env });
    const id = await lab.submit("env; cat /proc/$PPID/cmdline >/dev/null; sleep 0.3");
    let isShown = false;
    const job = await until("the job ends", async () => {
      isShown ||= showsPassword(network.password, factory, lab.instanceFile("bed-1_1", "agent.log"));
      const { state } = await lab.job(id);
      return state === "completed" || state === "failed" ? state : null;
    });
    expect(job).toBe("completed");
    expect(isShown).toBe(false);
    const said = (await lab.said(id, "stdout")).join("\n");
    expect(said).toContain("SHLVL=");
    expect(said).not.toMatch(/PROXY|CERTS|TASK_NAMES/i);
    expect(network.passed()).toBeGreaterThan(1);
    await drained(factory);
  });
}

test("general.agent_environment wins, and tasks of the built-in agent get what it names", async () => {
  await using lab = await openLab({ agent: "builtin" });
  await using network = await move(lab, [
    "[general.agent_environment]",
    'NODE_EXTRA_CA_CERTS = "AUTHORITY"',
    'HTTPS_PROXY = "PROXY_URL"',
    'LAB_ROOM = "4 west"',
    'NO_PROXY = "lab.example"',
    'PATH = "/opt/lab:/usr/bin:/bin"',
    'line = "a name that the script uses itself"',
  ]);
  // The factory's own are good for the factory; agents get others.
  const env = {
    NODE_EXTRA_CA_CERTS: network.authority,
    HTTPS_PROXY: network.proxyUrl,
    NO_PROXY: "example.org",
    ALL_PROXY: "http://other.example",
  };
  const factory = lab.start({ env });
  const id = await lab.submit(
    'echo "$LAB_ROOM|$line|$HTTPS_PROXY|$NO_PROXY|${ALL_PROXY-none}|$PATH|$(command -v bmat)"',
  );
  expect((await lab.ended(id)).state).toBe("completed");
  const opt = join(lab.base, "work/bed-1_1/opt");
  expect(await lab.said(id, "stdout")).toEqual([
    `4 west|a name that the script uses itself|${network.proxyUrl}|lab.example|none|${opt}/bin:/opt/lab:/usr/bin:/bin|${opt}/bin/bmat`,
  ]);
  await drained(factory);
});

test("check says that agents here do not reach a server that the factory reaches", async () => {
  await using lab = await openLab({ agent: "builtin" });
  await using network = await move(lab, [
    "[general.agent_environment]",
    'NODE_EXTRA_CA_CERTS = "/nowhere.pem"',
  ]);
  const env = { NODE_EXTRA_CA_CERTS: network.authority, HTTPS_PROXY: network.proxyUrl };
  const findings = await check(lab, env);
  expect(findings).toContainEqual(expect.objectContaining({ subject: "token", severity: "ok" }));
  expect(findings).toContainEqual(
    expect.objectContaining({
      severity: "error",
      subject: "agent",
      message: expect.stringContaining(`does not reach ${network.url}`),
    }),
  );
});

test("an agent behind ssh gets general.agent_environment alone, and check tries the server from there", async () => {
  await using lab = await openSshLab();
  await using network = await move(lab);
  const env = { NODE_EXTRA_CA_CERTS: network.authority, HTTPS_PROXY: network.proxyUrl };
  const path = `${lab.directory}/bin:${process.env["PATH"]}`;
  const refused = await check(lab, { ...env, PATH: path });
  expect(refused).toContainEqual(
    expect.objectContaining({
      severity: "error",
      subject: "testbed.bed-1",
      message: expect.stringContaining(`bench-1: an agent there cannot reach ${network.url}`),
    }),
  );
  const file = join(lab.base, "config.toml");
  const table = `[general.agent_environment]\nNODE_EXTRA_CA_CERTS = "${network.authority}"\nHTTPS_PROXY = "${network.proxyUrl}"\n`;
  writeFileSync(file, `${readFileSync(file, "utf8")}\n${table}`);
  const findings = await check(lab, { ...env, PATH: path });
  expect(findings.filter(({ severity }) => severity === "error")).toEqual([]);
  expect(findings).toContainEqual(
    expect.objectContaining({ severity: "ok", message: "bench-1: it reaches the server" }),
  );
  const factory = lab.start({ env });
  const id = await lab.submit("echo hello");
  expect((await lab.ended(id)).state).toBe("completed");
  await drained(factory);
});

test.each([
  ["curl", ["curl"]],
  ["wget", ["wget"]],
  ["this program's copy", []],
])(
  "with %s a host behind ssh is tried through the proxy, and its authority counts",
  async (name, programs) => {
    await using lab = await openLab();
    await using network = await move(lab);
    const bin = join(lab.directory, "tools");
    mkdirSync(bin);
    for (const program of ["sh", ...programs]) symlinkSync(Bun.which(program) ?? "", join(bin, program));
    const processes = openProcesses({ clock: openClock() });
    // The login there has a proxy of its own, which agents do not get.
    const env = { PATH: bin, https_proxy: "http://127.0.0.1:1", NODE_EXTRA_CA_CERTS: network.authority };
    const connection = {
      run: (argv: string[], stdin: Run["stdin"], timeoutMs: number) =>
        processes.run({ argv, ...(stdin === undefined ? {} : { stdin }), env, timeoutMs, maxBytes: 100_000 }),
    };
    const self = join(bin, "copy");
    const program = programs.length === 0 ? self : null;
    const factory = join(import.meta.dir, "../factory.ts");
    writeFileSync(self, `#!/bin/sh\nexec '${process.execPath}' '${factory}' "$@"\n`, { mode: 0o755 });
    const attempt = async (environment: Record<string, string>) =>
      await tryServerThere(
        connection as Connection,
        { baseurl: network.url, program, environment },
        openRandom(),
      );
    const proxy = { HTTPS_PROXY: network.proxyUrl };
    const authority = { NODE_EXTRA_CA_CERTS: network.authority };
    expect(await attempt({ ...proxy, ...authority })).toEqual({ kind: "reached" });
    expect(await attempt(proxy)).toEqual({
      kind: "failed",
      reason: expect.stringMatching(/certificate|trust/i),
    });
    expect((await attempt(authority)).kind).toBe("failed");
    const refused = await attempt({ HTTPS_PROXY: network.proxyUrl.replace("lab:", "other:"), ...authority });
    expect(refused).toEqual({ kind: "failed", reason: expect.stringMatching(/407|Proxy Authentication/) });
    expect(JSON.stringify(refused)).not.toContain(network.password);
    if (name === "curl") {
      rmSync(join(bin, "curl"));
      expect(await attempt({ ...proxy, ...authority })).toEqual({ kind: "untried" });
    }
  },
);

test("a bootstrap that fails for start_timeout ends with that reason", async () => {
  await using lab = await openLab({ agent: "builtin", testbeds: { "bed-1": ['start_timeout = "2s"'] } });
  await using network = await move(lab, [
    "[general.agent_environment]",
    'NODE_EXTRA_CA_CERTS = "/nowhere.pem"',
  ]);
  const factory = lab.start({
    env: { NODE_EXTRA_CA_CERTS: network.authority, HTTPS_PROXY: network.proxyUrl },
  });
  const id = await lab.submit("echo never");
  expect((await lab.ended(id)).state).toBe("failed");
  const said = (await lab.said(id, "worker")).join("\n");
  expect(said).toContain("the agent did not reach the server within start_timeout (2 s)");
  // The end of the agent's log says why.
  expect(said).toContain("certificate");
  expect(await lab.said(id, "stdout")).toEqual([]);
  await drained(factory);
});
