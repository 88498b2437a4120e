/** `check` against the embedded server and real files and programs; what each fact means is judged without any. */
import { expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findBase } from "../../lib/config/locations.ts";
import { type CheckOptions, runCheck } from "../../lib/commands/check/check.ts";
import type { Facts } from "../../lib/commands/check/facts.ts";
import type { Finding } from "../../lib/commands/check/finding.ts";
import { judge } from "../../lib/commands/check/judge.ts";
import { reachService } from "../../lib/commands/check/reach-service.ts";
import { summaryOf } from "../../lib/config/summary.ts";
import { openCustomerApi } from "../../lib/devserver/customer.ts";
import { startDevserver } from "../../lib/devserver/server.ts";
import { startRunner } from "../../lib/devserver/simulated-runner.ts";
import { openClock } from "../../lib/doors/clock.ts";
import { openHttp } from "../../lib/doors/http.ts";
import { openProcesses } from "../../lib/doors/processes.ts";
import { openRandom } from "../../lib/doors/random.ts";
import { type Minder, openMinder } from "../../lib/hosts/minder/minder.ts";
import { localTransport } from "../../lib/hosts/minder/transport.ts";
import { Secret } from "../../lib/words/secret.ts";
import { testbedOf } from "../policy/scenes.ts";
import type { Survey } from "../../lib/hosts/ssh/survey.ts";
import { triedThere } from "../../lib/hosts/ssh/judge-survey.ts";
import { openStore, openStoreForReading } from "../../lib/store/store.ts";
import { must } from "../lab/lab.ts";
import { configOf, good, place, seen, targetId } from "./good-facts.ts";

const clock = openClock();
const random = openRandom();
const http = openHttp({ clock });
const processes = openProcesses({ clock });

interface Answer {
  exitCode: number;
  text: string;
  findings: Finding[];
  ok: boolean;
}

interface Desk {
  directory: string;
  base: string;
  token: string;
  url: string;
  /** The configuration, with a line more in `[general]` and whatever else. */
  configure(over?: { url?: string; token?: string; general?: string; more?: string }): void;
  check(over?: Partial<CheckOptions>): Promise<Answer>;
  [Symbol.asyncDispose](): Promise<void>;
}

async function openDesk(): Promise<Desk> {
  const server = startDevserver({ clock, random, adminToken: "admin-token" });
  const admin = openCustomerApi({ http, baseurl: server.url, token: new Secret("admin-token") });
  const { token } = must(await admin.createFactory("lab"));
  const directory = mkdtempSync(join(tmpdir(), "check-"));
  const base = join(directory, "base");
  const path = join(base, "config.toml");
  mkdirSync(base, { mode: 0o700 });
  mkdirSync(join(directory, "bin"));
  mkdirSync(join(directory, "tmp"));
  mkdirSync(join(directory, "locks"));
  chmodSync(join(directory, "locks"), 0o1777);
  const script = (name: string): void =>
    writeFileSync(join(directory, "bin", name), "#!/bin/sh\necho usage\n", { mode: 0o755 });
  script("sp-runner");
  script("agent");
  writeFileSync(join(directory, "sp.toml"), "");
  const configure: Desk["configure"] = ({
    url = server.url,
    token: other = token,
    general = "",
    more = "",
  } = {}) => {
    const text = `
[general]
baseurl = "${url}"
agent = "${directory}/bin/agent"
${general}
[factory]
token = "${other}"
[testbed.bed-1]
sp_type = "gimlet"
targets = ["sp-gimlet"]
sp_runner_path = "${directory}/bin/sp-runner --fast"
sp_runner_config = "~/sp.toml"
[target.sp-gimlet]
id = "${targetId}"
${more}`;
    writeFileSync(path, text, { mode: 0o600 });
  };
  configure();
  const env = { FACTORY_LOCK_DIR: join(directory, "locks") };
  return {
    directory,
    base,
    token,
    url: server.url,
    configure,
    check: async (over = {}) => {
      let text = "";
      const surroundings = {
        env,
        home: directory,
        user: "lab",
        platform: process.platform,
        workingDirectory: directory,
        readText: (file: string) => readFileSync(file, "utf8"),
      };
      const exitCode = await runCheck({
        base: findBase({ "base-dir": base }, surroundings),
        surroundings,
        source: { self: ["/nowhere"], executable: "/nowhere/factory", exists: existsSync },
        uid: process.getuid?.() ?? null,
        clock,
        http,
        processes,
        openMinder: (_, places) => openWillingMinder(places),
        reach: () => Promise.resolve({ ok: true, remarks: [] }),
        searchPath: `${directory}/bin:/usr/bin:/bin`,
        temporaryDirectory: join(directory, "tmp"),
        isJson: true,
        print: (printed) => void (text += printed),
        ...over,
      });
      const said =
        over.isJson === false ? { findings: [], ok: false } : (JSON.parse(text) as Omit<Answer, "text">);
      return { ...said, exitCode, text };
    },
    [Symbol.asyncDispose]: async () => {
      await server.stop();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** The real minder, as if this host allowed isolation; the minder's own tests cover hosts that refuse it. */
function openWillingMinder(places: { directory: string; lockDirectory: string }): Minder {
  const minder = openMinder({ ...places, transport: localTransport({ processes }), random });
  return {
    ...minder,
    probe: async () => {
      const result = await minder.probe();
      return result.ok ? { ...result, isolation: { kind: "possible" } } : result;
    },
  };
}

/** Warnings and errors, as `severity subject: message`. */
function faults({ findings }: Pick<Answer, "findings">): string[] {
  return findings
    .filter(({ severity }) => severity !== "ok")
    .map(({ severity, subject, message }) => `${severity} ${subject}: ${message}`);
}

/** Everything under a directory, with its mode, size and time. */
function listing(directory: string): string {
  const listed = Bun.spawnSync(["find", directory, "-printf", "%P %m %s %T@\n"]);
  return listed.stdout
    .toString()
    .split("\n")
    .filter((line) => !line.startsWith("tmp "))
    .toSorted()
    .join("\n");
}

test("runCheck() of a good base finds nothing and changes nothing on disk, and exits 0", async () => {
  await using it = await openDesk();
  const before = listing(it.directory);
  const answer = await it.check();
  expect(faults(answer)).toEqual([]);
  expect(answer).toMatchObject({ exitCode: 0, ok: true });
  expect(answer.findings.map(({ message }) => message)).toContain("the server accepts it");
  expect(listing(it.directory)).toBe(before);
});

test("runCheck() prints one line a finding, how to fix it below, and sums up", async () => {
  await using it = await openDesk();
  rmSync(join(it.directory, "bin/agent"));
  const { text, exitCode } = await it.check({ isJson: false });
  const lines = text.split("\n");
  const at = lines.findIndex((line) => /^error {4}agent +\S*\/bin\/agent is not there$/.test(line));
  expect(lines[at + 1]).toMatch(/^ {9}Install it, or correct general.agent/);
  expect(lines.at(-1)).toBe("1 error: some or all jobs would not run here");
  expect(exitCode).toBe(1);
});

test("runCheck() reports that the server refuses the token, and never shows it", async () => {
  await using it = await openDesk();
  it.configure({ token: "some-other-token" });
  const answer = await it.check();
  expect(faults(answer)).toEqual([expect.stringMatching(/^error token: the server refuses it/)]);
  expect(answer.exitCode).toBe(1);
  expect(answer.text).not.toContain("some-other-token");
});

test("runCheck() hides a token that another server's answer repeats", async () => {
  await using it = await openDesk();
  const server = Bun.serve({
    port: 0,
    fetch: (request) =>
      new Response("", {
        status: 302,
        headers: { location: `/login?${request.headers.get("authorization")}` },
      }),
  });
  it.configure({ url: `http://127.0.0.1:${server.port}` });
  const answer = await it.check();
  await server.stop(true);
  expect(faults(answer)[0]).toContain("redirects to /login?Bearer ***");
  expect(answer.text).not.toContain(it.token);
});

test("runCheck() distinguishes a closed port, a name without an address and a server that is not buildomat", async () => {
  await using it = await openDesk();
  const other = Bun.serve({ port: 0, fetch: () => new Response("<html>") });
  const closed = Bun.serve({ port: 0, fetch: () => new Response("") });
  const closedPort = closed.port;
  await closed.stop(true);
  const said: string[] = [];
  for (const url of [
    `http://127.0.0.1:${closedPort}`,
    "https://server.invalid",
    `http://127.0.0.1:${other.port}`,
    `${it.url}/api`,
  ]) {
    it.configure({ url });
    const answer = await it.check();
    expect(answer.exitCode).toBe(1);
    said.push(faults(answer)[0] ?? "");
  }
  await other.stop(true);
  expect(said).toEqual([
    `error server: 127.0.0.1 refuses connections to port ${closedPort}`,
    expect.stringMatching(/^error server: server.invalid has no address/),
    expect.stringMatching(/is not a buildomat server \(status 200\)$/),
    expect.stringMatching(/is not a buildomat server \(status 404\)$/),
  ]);
});

test("runCheck() warns of a clock that is minutes off the server's", async () => {
  await using it = await openDesk();
  const said: string[] = [];
  for (const skewMs of [-300_000, 300_000]) {
    const answer = await it.check({ clock: { ...clock, wallMs: () => clock.wallMs() + skewMs } });
    expect(answer.exitCode).toBe(0);
    said.push(...faults(answer));
  }
  expect(said).toEqual([
    expect.stringMatching(/^warning clock: (?:299|300|301) s behind the server's$/),
    expect.stringMatching(/^warning clock: (?:299|300|301) s ahead of the server's$/),
  ]);
});

test("runCheck() reports what others may read or write, and that work/ is a symbolic link", async () => {
  await using it = await openDesk();
  chmodSync(it.base, 0o777);
  chmodSync(join(it.base, "config.toml"), 0o644);
  const work = join(it.base, "work");
  mkdirSync(work);
  chmodSync(work, 0o777);
  const loose = [
    expect.stringMatching(/^warning token: others may read .*config.toml \(mode 0644\)$/),
    expect.stringMatching(/^warning directory: others may write to .* \(mode 0777\)$/),
  ];
  expect(faults(await it.check())).toEqual([
    ...loose,
    expect.stringMatching(/^error work directory: .* can be written by others \(mode 0777\)$/),
  ]);
  rmSync(work, { recursive: true });
  symlinkSync(it.directory, work);
  expect(faults(await it.check())).toEqual([
    ...loose,
    expect.stringMatching(/^error work directory: .* is a symbolic link$/),
  ]);
});

test("runCheck() reports a database that no factory could open, and leaves it as it is", async () => {
  await using it = await openDesk();
  const path = join(it.base, "data.sqlite3");
  openStore({ path, nowMs: 0, directoryOf: () => "/nowhere" }).close();
  chmodSync(path, 0o600);
  const whole = readFileSync(path);
  expect(faults(await it.check())).toEqual([]);
  const damaged = Buffer.concat([whole.subarray(0, 4096), Buffer.alloc(whole.length - 4096, 0xa5)]);
  for (const content of ["garbagegarbage", damaged]) {
    writeFileSync(path, content, { mode: 0o600 });
    const before = listing(it.directory);
    const answer = await it.check();
    expect(answer.exitCode).toBe(1);
    expect(faults(answer)).toEqual([
      expect.stringMatching(
        /^error database: Cannot open the database \S+data.sqlite3: .*(?:not a database|malformed|damaged)/,
      ),
    ]);
    expect(listing(it.directory)).toBe(before);
    expect(() => openStoreForReading(path)?.latest()).toThrow(/Cannot open the database \S+data.sqlite3/);
  }
});

test("runCheck() beside a running factory says so, and leaves its lock to it", async () => {
  await using it = await openDesk();
  const database = join(it.base, "data.sqlite3");
  const lock = `
    import { lockStore } from "${join(import.meta.dir, "../../lib/store/store.ts")}";
    console.log(lockStore(${JSON.stringify(database)}) === null ? "refused" : "held");
    await new Promise((end) => process.stdin.on("end", end).resume());`;
  const hold = () => Bun.spawn([process.execPath, "-e", lock], { stdin: "pipe", stdout: "pipe" });
  const firstLine = async (child: ReturnType<typeof hold>): Promise<string> => {
    for await (const part of child.stdout) return new TextDecoder().decode(part).trim();
    return "";
  };
  const factory = hold();
  expect(await firstLine(factory)).toBe("held");
  it.configure({ more: boards[0]?.("exit 1") ?? "" });
  const answer = await it.check();
  expect(faults(answer)).toEqual([]);
  expect(answer.findings).toContainEqual(
    expect.objectContaining({ subject: "factory", message: expect.stringMatching(/^one is running on/) }),
  );
  expect(answer.findings).toContainEqual(
    expect.objectContaining({
      subject: "testbed.good",
      message: "its check is not run: the running factory runs it before each job",
    }),
  );
  await factory.stdin.end();
  await factory.exited;
  const after = await it.check();
  expect(after.findings).toContainEqual(
    expect.objectContaining({ subject: "factory", message: expect.stringMatching(/^none is running on/) }),
  );
  const next = hold();
  expect(await firstLine(next)).toBe("held");
  await next.stdin.end();
  await next.exited;
});

test("runCheck() repeats what the running factory says about testbeds elsewhere, but not what an ended factory said", async () => {
  await using it = await openDesk();
  const far = (name: string): string =>
    `[testbed.${name}]\nsp_type = "gimlet"\ntargets = ["sp-gimlet"]\nhost = "${name}"\n`;
  it.configure({ more: far("bed-2") + far("bed-3") });
  const path = join(it.base, "data.sqlite3");
  // It holds the lock from here on; a factory's own is in another process, too.
  const child = `
    import { lockStore, openStore } from "${join(import.meta.dir, "../../lib/store/store.ts")}";
    lockStore(${JSON.stringify(path)});
    const store = openStore({ path: ${JSON.stringify(path)}, nowMs: 0, directoryOf: () => "/nowhere" });
    const trouble = { reason: "no route", sinceMs: 1, recoveries: 0 };
    for (const name of ["bed-1", "bed-2", "bed-3"]) store.setTrouble(name, trouble);
    console.log("held");
    await new Promise((end) => process.stdin.on("end", end).resume());`;
  const factory = Bun.spawn([process.execPath, "-e", child], { stdin: "pipe", stdout: "pipe" });
  for await (const _ of factory.stdout) break;
  chmodSync(path, 0o600);
  const reach: CheckOptions["reach"] = (_, { name }) =>
    Promise.resolve(name === "bed-3" ? { ok: false, reason: "bed-3: no room" } : { ok: true, remarks: [] });
  const said = faults(await it.check({ reach }));
  await factory.stdin.end();
  await factory.exited;
  expect(said).toEqual([
    "error testbed.bed-2: the running factory says: no route",
    "error testbed.bed-3: bed-3: no room",
  ]);
  expect(faults(await it.check({ reach }))).toEqual(["error testbed.bed-3: bed-3: no room"]);
});

test("runCheck() warns of boards that the running factory has not read, and of quarantined boards also if no factory runs", async () => {
  await using it = await openDesk();
  const path = join(it.base, "data.sqlite3");
  const child = `
    import { lockStore, openStore } from "${join(import.meta.dir, "../../lib/store/store.ts")}";
    const clock = ${JSON.stringify({ bootId: clock.bootId, uptimeMs: clock.uptimeMs() })};
    lockStore(${JSON.stringify(path)});
    const store = openStore({ path: ${JSON.stringify(path)}, nowMs: 0, directoryOf: () => "/nowhere" });
    store.setConfigSummary({ hash: "other", testbeds: [], targets: [] });
    const health = (strikes, minutes, bootId = clock.bootId) =>
      ({ strikes, reason: "no power", retryAt: { bootId, uptimeMs: clock.uptimeMs + minutes * 60_000 } });
    store.setHealth("bed-1", health(3, 10));
    store.setHealth("bed-2", health(2, 10));
    store.setHealth("bed-3", health(3, -1));
    store.setHealth("bed-4", health(3, 10, "another boot"));
    console.log("held");
    await new Promise((end) => process.stdin.on("end", end).resume());`;
  const factory = Bun.spawn([process.execPath, "-e", child], { stdin: "pipe", stdout: "pipe" });
  for await (const _ of factory.stdout) break;
  chmodSync(path, 0o600);
  const beds = ["bed-2", "bed-3", "bed-4"];
  const lines =
    'sp_type = "gimlet"\ntargets = ["sp-gimlet"]\nsp_runner_path = "~/bin/sp-runner"\nsp_runner_config = "~/sp.toml"\n';
  it.configure({ more: beds.map((name) => `[testbed.${name}]\n${lines}`).join("") });
  const unread = ["bed-1", ...beds].map(
    (name) => `warning testbed.${name}: the running factory has not read this section yet: it takes no jobs`,
  );
  const quarantined = expect.stringMatching(/^warning testbed.bed-1: quarantined until .*: no power$/);
  const running = await it.check();
  const none = "error testbeds: no testbed takes a job now";
  expect(faults(running)).toEqual([quarantined, none, ...unread]);
  expect(running.findings.find(({ message }) => message.startsWith("quarantined"))?.hint).toContain(
    "clear bed-1 --because TEXT",
  );
  await factory.stdin.end();
  await factory.exited;
  const before = listing(it.base);
  expect(faults(await it.check())).toEqual([quarantined]);
  expect(listing(it.base)).toBe(before);
});

test("triedThere() says what was found of a host behind ssh", () => {
  const survey = { user: "lab", workDirectory: "/w", freeBytes: 2e12, hasBash: true } as Survey;
  expect(triedThere(testbedOf(), survey, "/opt/agent")).toMatch(
    /^ssh logs in as lab; \S+ \S+ free in \/w; bash is there; the agent is \/opt\/agent$/,
  );
  expect(triedThere(testbedOf(), { ...survey, freeBytes: null, hasBash: false }, null)).toBe(
    "ssh logs in as lab; /w; this program is copied there to run as the agent",
  );
});

test("reachService() says what it found of a board that can be used", async () => {
  const runner = startRunner({ clock, random, boards: ["bed-1"] });
  try {
    expect(await reachService({ http, baseurl: runner.url }, "bed-1")).toEqual({
      ok: true,
      remarks: [],
      tried: [`sp-runner ${runner.url} answers, its board is available`],
    });
  } finally {
    await runner.stop();
  }
});

test("runCheck() tries the agent, and reports why it cannot be run", async () => {
  await using it = await openDesk();
  const agent = join(it.directory, "bin/agent");
  const said: string[] = [];
  const fakes: [text: string, mode: number][] = [
    ["#!/bin/sh\n", 0o644],
    ["\x7fELF and no more", 0o755],
    ["#!/bin/sh\necho 'lib.so: not found' >&2; exit 127\n", 0o755],
  ];
  for (const [text, mode] of fakes) {
    rmSync(agent);
    writeFileSync(agent, text, { mode });
    const answer = await it.check();
    expect(answer.exitCode).toBe(1);
    said.push(...faults(answer));
  }
  expect(said).toEqual([
    expect.stringMatching(/^error agent: \S+ is not executable by this user$/),
    expect.stringMatching(/^error agent: \S+ cannot be run: .*(?:ENOEXEC|[Ee]xec format)/),
    expect.stringMatching(/^error agent: \S+ cannot be run: exit code 127: lib.so: not found$/),
  ]);
});

/** `[testbed.*]` sections with a check of their own. */
const boards = ["good", "bad"].map(
  (name) => (check: string) =>
    `[testbed.${name}]\nsp_type = "psc"\ntargets = ["sp-gimlet"]\nsp_runner_path = "~/bin/sp-runner"\nsp_runner_config = "~/sp.toml"\ncheck = ${JSON.stringify(check)}\n`,
);

test("runCheck() runs each testbed's own check, and says what it said", async () => {
  await using it = await openDesk();
  const [good, bad] = boards;
  it.configure({
    more: [good?.("echo $SP_TYPE has power"), bad?.("echo no power on $SP_TESTBED >&2; exit 3")].join(""),
  });
  const answer = await it.check();
  expect(faults(answer)).toEqual([
    "error testbed.bad: its check fails: echo no power on $SP_TESTBED >&2; exit 3: exit code 3, no power on bad",
  ]);
  expect(answer.exitCode).toBe(1);
  expect(answer.findings).toContainEqual(
    expect.objectContaining({
      severity: "ok",
      subject: "testbed.good",
      message: "its check succeeds: echo $SP_TYPE has power: exit code 0, psc has power",
    }),
  );
});

test("runCheck() does not run the check of a testbed that may have a job, and says so", async () => {
  await using it = await openDesk();
  const mark = join(it.directory, "ran");
  it.configure({ more: boards[0]?.(`touch ${mark}`) ?? "" });
  const said = async (over: Partial<CheckOptions>): Promise<string[]> =>
    (await it.check(over)).findings
      .filter(({ subject }) => subject === "testbed.good")
      .map(({ message }) => message);
  const held = { testbed: "good", instance: "good/4", cookie: "c", uid: 1, owner: "alive" as const };
  const openBusyMinder: CheckOptions["openMinder"] = (_, places) => ({
    ...openWillingMinder(places),
    locks: () => Promise.resolve({ ok: true, locks: [{ ...held, directory: "/other/good_4" }] }),
  });
  expect(await said({ openMinder: openBusyMinder })).toContain(
    "its check is not run: the testbed is in use by good/4",
  );
  expect(existsSync(mark)).toBe(false);
  expect(await said({})).toContain(`its check succeeds: touch ${mark}: exit code 0`);
  expect(existsSync(mark)).toBe(true);
});

test("runCheck() warns if sp-runner or its configuration is missing", async () => {
  await using it = await openDesk();
  rmSync(join(it.directory, "bin/sp-runner"));
  rmSync(join(it.directory, "sp.toml"));
  const answer = await it.check();
  expect(faults(answer)).toEqual([
    `warning sp-runner: ${it.directory}/bin/sp-runner --fast for bed-1 is missing`,
    `warning sp-runner: configuration ${it.directory}/sp.toml for bed-1 is missing`,
  ]);
  expect(answer.exitCode).toBe(0);
});

test("runCheck() looks for a bare sp-runner where a job's task would find it, not on the factory's PATH", async () => {
  await using it = await openDesk();
  const bin = join(it.directory, "bin");
  const path = join(it.base, "config.toml");
  const said = async (agent: string, general: string): Promise<unknown> => {
    it.configure({ general });
    const text = readFileSync(path, "utf8");
    const changed = text.replace(`${bin}/sp-runner --fast`, "sp-runner").replace(`${bin}/agent`, agent);
    writeFileSync(path, changed);
    return (await it.check()).findings.find(({ subject }) => subject === "sp-runner");
  };
  const missing = {
    severity: "warning",
    message:
      "sp-runner for bed-1 is not on the PATH of jobs (/usr/bin:/bin:/usr/sbin:/sbin:/opt/ooce/bin:/opt/ooce/sbin)",
    hint: "Write its absolute path into sp_runner_path; jobs that bring their own do not need it",
  };
  const withBin = `agent_environment = { PATH = "${bin}:/usr/bin:/bin" }`;
  expect(await said("builtin", "")).toMatchObject(missing);
  expect(await said("builtin", withBin)).toMatchObject({
    severity: "ok",
    message: `${bin}/sp-runner for bed-1`,
  });
  // The external agent does not pass the variable on to tasks.
  expect(await said(`${bin}/agent`, withBin)).toMatchObject(missing);
});

test("runCheck() reports all mistakes of an unusable configuration, and nothing else", async () => {
  await using it = await openDesk();
  it.configure({ general: 'isolate = "no"', more: "[target.other]\nid = '01M85'\n" });
  const answer = await it.check();
  expect(faults(answer)).toEqual([
    expect.stringMatching(/^error configuration: \S+config.toml:5: general.isolate: /),
    expect.stringMatching(/^error configuration: \S+config.toml:16: target.other.id: "01M85" is not a ULID$/),
  ]);
  expect(answer.findings.length).toBe(2);
  expect(answer.exitCode).toBe(1);
  rmSync(join(it.base, "config.toml"));
  const missing = await it.check();
  expect(faults(missing)).toEqual([expect.stringMatching(/^error configuration: Cannot read .*ENOENT/)]);
  expect(missing.exitCode).toBe(1);
});

test("the program's `check --json` prints one JSON document and exits with what it says", async () => {
  await using it = await openDesk();
  const program = join(import.meta.dir, "../../factory.ts");
  const child = Bun.spawn([process.execPath, program, "check", "--json", "--base-dir", it.base], {
    env: { PATH: process.env["PATH"] ?? "", HOME: it.directory, FACTORY_LOCK_DIR: `${it.directory}/locks` },
    stdout: "pipe",
    stderr: "pipe",
  });
  const answer = JSON.parse(await child.stdout.text()) as Pick<Answer, "findings" | "ok">;
  expect(await child.exited).toBe(answer.ok ? 0 : 1);
  expect(await child.stderr.text()).toBe("");
  expect(answer.findings).toContainEqual({
    severity: "ok",
    subject: "token",
    message: "the server accepts it",
    hint: null,
  });
});

// What the facts mean.

const worker = {
  id: "01W",
  private: "bed-1/1",
  recycle: false,
  bootstrap: "x",
  online: true,
  hold: false,
  target: targetId,
};
const lock = { testbed: "bed-1", instance: "bed-1/4", cookie: "c", uid: 1, owner: "alive" as const };
const probed = (over: object): Facts["probe"] =>
  seen({ ...(good.probe as { value: object }).value, ...over } as never);
const failing = (reason: string, code?: string): Facts["ping"] =>
  seen({ reply: { ok: false, reason, ...(code === undefined ? {} : { code }) }, wallMs: 0 });
const answering = (status: number): Facts["ping"] =>
  seen({ reply: { ok: true, status, headers: new Headers(), body: new Uint8Array() }, wallMs: 0 });

const verdicts: [what: string, over: Partial<Facts>, said: (string | RegExp)[]][] = [
  ["all is good", {}, []],
  [
    "plain http to another host",
    { config: configOf("", "", undefined, "http://b.example") },
    [/^warning server: .* is plain http/],
  ],
  ["plain http to this host", { config: configOf("", "", undefined, "http://127.0.0.1:8000") }, []],
  [
    "no reply in time",
    { ping: failing("no full reply within 10 s", "ETIMEDOUT") },
    [/^error server: .*no full reply within 10 s$/, /^warning token: not tried/],
  ],
  [
    "a certificate that nobody signed",
    { ping: failing("self signed certificate", "DEPTH_ZERO_SELF_SIGNED_CERT") },
    [/^error server: .* cannot prove that it is the server/, /^warning token/],
  ],
  [
    "a port without TLS",
    { ping: failing("EPROTO: the handshake failed", "EPROTO") },
    [/^error server: https:\/\/b.example does not speak TLS$/, /^warning token/],
  ],
  ["a server in trouble", { ping: answering(503) }, [/^error server: .* status 503$/, /^warning token/]],
  [
    "a testbed of another host that cannot be reached",
    {
      config: configOf("", 'host = "lab-3"'),
      reaches: seen(new Map([["bed-1", { ok: false, reason: "cannot reach lab-3 over ssh: refused" }]])),
    },
    [
      /^error testbed.bed-1: cannot reach lab-3 over ssh: refused$/,
      /^error testbeds: no testbed can take a job$/,
    ],
  ],
  [
    "a server that answers neither this host nor a testbed's",
    {
      ping: failing("connection refused", "ECONNREFUSED"),
      config: configOf("", 'host = "lab-3"'),
      reaches: seen(
        new Map([["bed-1", { ok: false, reason: "lab-3: proxy?", isServerSilent: true as const }]]),
      ),
    },
    [/^error server: b.example refuses connections/, /^warning token/],
  ],
  [
    "a server that answers only this host",
    {
      config: configOf("", 'host = "lab-3"'),
      reaches: seen(
        new Map([["bed-1", { ok: false, reason: "lab-3: proxy?", isServerSilent: true as const }]]),
      ),
    },
    [/^error testbed.bed-1: lab-3: proxy\?$/, /^error testbeds: no testbed can take a job$/],
  ],
  [
    "a testbed of another host that answers",
    {
      config: configOf("", 'host = "lab-3"'),
      reaches: seen(new Map([["bed-1", { ok: true, remarks: [] }]])),
    },
    [],
  ],
  [
    "a testbed of another host that lacks something",
    {
      config: configOf("", 'host = "lab-3"'),
      reaches: seen(new Map([["bed-1", { ok: true, remarks: ["lab-3: no bash"] }]])),
    },
    [/^warning testbed.bed-1: lab-3: no bash$/],
  ],
  [
    "a testbed of another host that answers, but not to the running factory",
    {
      config: configOf("", 'host = "lab-3"'),
      reaches: seen(new Map([["bed-1", { ok: true, remarks: [] }]])),
      troubles: seen(new Map([["bed-1", "no route"]])),
    },
    [
      /^error testbed.bed-1: the running factory says: no route$/,
      /^error testbeds: no testbed can take a job$/,
    ],
  ],
  [
    "a testbed that has moved to this host after the factory reported trouble with it",
    { troubles: seen(new Map([["bed-1", "no route"]])) },
    [],
  ],
  [
    "a board that the running factory has not read yet",
    {
      isFactoryRunning: seen(true),
      runningConfig: seen({ ...summaryOf(configOf()), hash: "other", testbeds: [] }),
    },
    [
      /^error testbeds: no testbed takes a job now$/,
      /^warning testbed.bed-1: the running factory has not read this section yet: it takes no jobs$/,
    ],
  ],
  [
    "boards that were changed and removed after the running factory read them",
    {
      isFactoryRunning: seen(true),
      runningConfig: seen({
        ...summaryOf(configOf()),
        hash: "other",
        testbeds: summaryOf(configOf("", 'note = "x"')).testbeds.flatMap((each) => [
          each,
          { ...each, name: "bed-0" },
        ]),
      }),
    },
    [
      /^warning testbed.bed-1: its section was changed after the running factory read it$/,
      /^warning testbed.bed-0: its section is gone, but the running factory still uses it$/,
    ],
  ],
  [
    "a configuration that was changed in its general section",
    { isFactoryRunning: seen(true), runningConfig: seen(summaryOf(configOf('isolate = "off"'))) },
    [/^warning configuration: it was changed after the running factory read it$/],
  ],
  [
    "a configuration that the running factory has read",
    { isFactoryRunning: seen(true), runningConfig: seen(summaryOf(configOf())) },
    [],
  ],
  [
    "a quarantined board",
    {
      quarantines: seen(
        new Map([["bed-1", { strikes: 4, reason: "no power", untilMs: Date.UTC(2026, 10, 24) }]]),
      ),
    },
    [
      /^warning testbed.bed-1: quarantined until 2026-11-2\d \d\d:\d\d:\d\d after 4 failures in a row: no power$/,
      /^error testbeds: no testbed takes a job now$/,
    ],
  ],
  [
    "a running factory whose reports cannot be read",
    { isFactoryRunning: seen(true), troubles: { ok: false, reason: "EACCES" } },
    [/^warning factory: cannot read its last reports: EACCES$/],
  ],
  [
    "a testbed whose sp-runner service has trouble",
    {
      config: configOf("", 'sp_runner_url = "http://lab-3:1"'),
      reaches: seen(
        new Map([["bed-1", { ok: false, reason: "sp-runner http://lab-3:1 does not answer: refused" }]]),
      ),
    },
    [
      /^error testbed.bed-1: sp-runner http:\/\/lab-3:1 does not answer: refused$/,
      /^error testbeds: no testbed can take a job$/,
    ],
  ],
  ["a disabled testbed", { config: configOf("", "enabled = false") }, [/^error testbeds/]],
  [
    "a target without an id",
    { config: configOf("", "", "") },
    [/^warning target.t: it has no id/, /^warning testbed.bed-1: takes no jobs/, /^error testbeds/],
  ],
  [
    "a worker of a testbed that is not ours",
    { workers: seen({ ok: true, value: [{ ...worker, private: "other/1" }] }) },
    [/^warning workers: worker 01W is for other\/1/],
  ],
  [
    "a worker that is held",
    { workers: seen({ ok: true, value: [{ ...worker, hold: true }] }) },
    [/^warning workers: worker 01W \(bed-1\/1\) is held/],
  ],
  [
    "a list of workers that cannot be read",
    { workers: seen({ ok: false, refusal: "no answer", status: 503, message: "status 503" }) },
    [/^warning workers: the list of workers cannot be read: status 503$/],
  ],
  [
    "a testbed that another base uses",
    { locks: seen({ ok: true, locks: [{ ...lock, directory: "/other/work/bed-1_4" }] }) },
    [/^warning testbed.bed-1: is in use by another factory: bed-1\/4 in \/other/],
  ],
  [
    "a testbed that this base uses",
    { locks: seen({ ok: true, locks: [{ ...lock, directory: "/b/work/bed-1_4" }] }) },
    [],
  ],
  [
    "a lock whose owner is dead",
    { locks: seen({ ok: true, locks: [{ ...lock, owner: "dead", directory: "/other/work/bed-1_4" }] }) },
    [],
  ],
  [
    "a configuration in a directory that this user cannot write",
    { configDirectory: seen(place("/etc/f", { mode: 0o755, isWritable: false })) },
    [],
  ],
  [
    "a configuration in a directory that everybody can write",
    { configDirectory: seen(place("/etc/f", { mode: 0o777 })) },
    [/^warning directory: others may write to \/etc\/f \(mode 0777\)$/],
  ],
  [
    "a missing directory of the database",
    { databaseDirectory: seen(place("/b", { kind: "missing" })) },
    [/^error directory: \/b is not there$/],
  ],
  [
    "a work directory of another user",
    { workDirectory: seen(place("/b/work", { uid: 0 })) },
    [/^error work directory: .* belongs to user 0, not to 1000$/],
  ],
  [
    "a lock directory that is not sticky",
    { lockDirectory: seen(place("/locks", { mode: 0o777, uid: 0 })) },
    [/^error lock directory: .* is not sticky/],
  ],
  [
    "a lock directory that cannot be created",
    { lockDirectory: seen(place("/locks", { kind: "missing", isWritable: false })) },
    [/^error lock directory: .* cannot be created/],
  ],
  ["little room", { freeBytes: seen(500 * 1024 ** 2) }, [/^warning disk space: 500 MiB free/]],
  ["no room", { freeBytes: seen(63 * 1024 ** 2) }, [/^error disk space: 63 MiB free .* 64 MiB$/]],
  [
    "no bash",
    { missingPrograms: seen({ ofJobs: ["bash"], ofIsolation: [] }) },
    [/^error programs: there is no bash/],
  ],
  [
    "no namespaces",
    { probe: probed({ isolation: { kind: "refused", reason: "not permitted" } }) },
    [/^warning isolation: namespaces are refused \(not permitted\): one job at a time/],
  ],
  [
    "no namespaces and no /work",
    { probe: probed({ isolation: { kind: "refused", reason: "no" }, unshared: "mkdir /work" }) },
    [/^error isolation: .*, and mkdir \/work$/],
  ],
  [
    "no namespaces and no /work, where a service runs all jobs",
    {
      config: configOf('isolate = "off"', 'sp_runner_url = "http://h:9090"'),
      probe: probed({ isolation: { kind: "refused", reason: "no" }, unshared: "mkdir /work" }),
      reaches: seen(new Map([["bed-1", { ok: true, remarks: [] }]])),
    },
    [],
  ],
  ["isolation that is off", { config: configOf('isolate = "off"') }, []],
  [
    "elevation that is refused",
    {
      config: configOf("use_privilege_elevation = true"),
      probe: seen({ ok: false, reason: "sudo says no" }),
      locks: seen({ ok: false, reason: "sudo says no" }),
    },
    [/^error elevation: .* sudo says no$/],
  ],
  [
    "a look that failed",
    { freeBytes: { ok: false, reason: "EIO" }, database: { ok: false, reason: "EACCES" } },
    [/^error database: cannot be read: EACCES$/, /^warning disk space: cannot be measured: EIO$/],
  ],
];

test.each(verdicts)("judge() of %s", (_, over, said) => {
  const findings = judge({ ...good, ...over });
  expect(faults({ findings })).toEqual(said.map((each) => expect.stringMatching(each)));
  for (const { severity, hint } of findings) if (severity === "ok") expect(hint).toBeNull();
});

test("judge() asks for a testbed if the configuration has none", () => {
  const hint = judge({ ...good, config: { ...good.config, testbeds: [] } }).find(
    ({ severity, subject }) => severity === "error" && subject === "testbeds",
  )?.hint;
  expect(hint).toMatch(/^Add a \[testbed\.NAME\] section/);
});

test("judge() says about a target only what can be known", () => {
  const said = (facts: Facts): string[] =>
    judge(facts)
      .filter(({ subject }) => subject === "target.t")
      .map(({ message }) => message);
  expect(said(good)).toEqual([
    expect.stringMatching(/only the server's administrator can see whether the target exists$/),
  ]);
  expect(said({ ...good, workers: seen({ ok: true, value: [worker] }) })).toEqual([
    expect.stringMatching(/which the server knows: worker 01W is for it$/),
  ]);
});
