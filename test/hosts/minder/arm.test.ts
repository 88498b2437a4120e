import { afterEach, expect, setDefaultTimeout } from "bun:test";
import { chmodSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import type { ArmSpec } from "../../../lib/hosts/minder/specification.ts";
import {
  describe,
  shellPaths,
  test,
  kill,
  killAll,
  type Lab,
  openHost,
  openLab,
  otherUser,
  processesWith,
  readText,
  rolesOf,
  stateOf,
  until,
} from "./minder-lab.ts";
import { needOfShell, testWith } from "../../lab/needs.ts";

setDefaultTimeout(60_000);
let lab: Lab;
afterEach(() => lab.close());

async function run(spec: ArmSpec): Promise<string> {
  expect(await lab.minder.arm(spec)).toEqual({ kind: "armed", refusal: null });
  await lab.minder.go({ directory: spec.directory, worker: "W", agentJson: "{}" });
  await until(async () => ["exited", "done"].includes(await stateOf(lab, spec.directory)));
  return readFileSync(`${spec.directory}/agent.log`, "latin1");
}

describe("arm() fails with a reason, and leaves nothing", () => {
  const refusals: [string, (spec: ArmSpec) => ArmSpec, RegExp][] = [
    ["no agent", (spec) => ({ ...spec, agent: [] }), /no agent is configured/],
    [
      "an agent that is not there",
      (spec) => ({ ...spec, agent: ["/no/such"] }),
      /\/no\/such is not there; install/,
    ],
    ["an agent that is a directory", (spec) => ({ ...spec, agent: ["/etc"] }), /\/etc is not a file/],
    [
      "an agent that is not executable",
      (spec) => ({ ...spec, agent: ["/etc/passwd"] }),
      /not executable; chmod/,
    ],
    ["an agent by a relative path", (spec) => ({ ...spec, agent: ["agent"] }), /not absolute/],
    [
      "a path too long for a socket",
      (spec) => ({ ...spec, directory: `${spec.directory}${"x".repeat(80)}` }),
      /too long for a socket/,
    ],
    ["a line break in a word", (spec) => ({ ...spec, agent: ["/bin/true", "a\nend\n"] }), /line break/],
    [
      "a name that cannot be a variable",
      (spec) => ({ ...spec, environment: { "-S": "x" } }),
      /cannot be the name of an env/,
    ],
  ];
  test.each(refusals)("%s (F45)", async (_, change, reason) => {
    lab = openLab();
    const spec = change(lab.spec({ agent: ["/bin/true"] }));
    expect(await lab.minder.arm(spec)).toMatchObject({
      kind: "failed",
      reason: expect.stringMatching(reason),
    });
    expect(
      readdirSync(lab.base).includes("work")
        ? readdirSync(lab.work).filter((name) => !name.startsWith("."))
        : [],
    ).toEqual([]);
    expect(await lab.minder.locks()).toEqual({ ok: true, locks: [] });
    await until(() => processesWith(spec.cookie).length === 0);
  });

  test("an agent that this machine cannot run (F45)", async () => {
    lab = openLab();
    const machine = readFileSync("/bin/true");
    machine[18] = 0xf3;
    machine[19] = 0x00;
    const files: [string, string | Buffer, RegExp][] = [
      ["foreign", machine, /another kind of machine/],
      ["cut", machine.subarray(0, 12), /another kind of machine/],
      ["empty", "", /neither a program nor a script/],
      ["garbage", "\0\u0001not a program", /neither a program nor a script/],
      ["orphan", "#!/no/such/shell -e\n", /needs \/no\/such\/shell, which is not there/],
      ["bare", "#!\n   ", /needs an interpreter/],
    ];
    for (const [name, content, reason] of files) {
      writeFileSync(`${lab.base}/${name}`, content, { mode: 0o755 });
      const result = await lab.minder.arm(lab.spec({ agent: [`${lab.base}/${name}`] }));
      expect(result).toMatchObject({ kind: "failed", reason: expect.stringMatching(reason) });
    }
    const spec = lab.spec({ agent: ["/bin/true"] });
    expect(await lab.minder.arm(spec)).toEqual({ kind: "armed", refusal: null });
    await lab.minder.stop(spec.directory, { graceMs: 0 });
  });

  test("a directory that was there before is kept with all that is in it (F46)", async () => {
    lab = openLab();
    const spec = lab.spec({ agent: ["/bin/true"] });
    mkdirSync(`${spec.directory}/opt/etc`, { recursive: true });
    chmodSync(lab.work, 0o700);
    writeFileSync(`${spec.directory}/opt/etc/job.json`, "old");
    expect(await lab.minder.arm(spec)).toMatchObject({
      kind: "taken",
      reason: expect.stringContaining("never used twice"),
    });
    expect(readText(`${spec.directory}/opt/etc/job.json`)).toBe("old");
    const other = { ...lab.spec({ seq: 2, agent: ["/bin/true"] }) };
    await lab.minder.arm(other);
    const thief = lab.spec({ seq: 2, agent: ["/bin/true"] });
    expect(await lab.minder.arm(thief)).toMatchObject({
      kind: "taken",
      reason: expect.stringContaining("belongs to another instance"),
    });
    await lab.minder.stop(other.directory, { graceMs: 0 });
  }, 60_000);

  test("a work directory that is a link, another's, or open to others (F67)", async () => {
    lab = openLab();
    const arm = async (work: string): Promise<string> => {
      const result = await lab.minder.arm({
        ...lab.spec({ agent: ["/bin/true"] }),
        directory: `${work}/board_1`,
      });
      return result.kind === "failed" ? result.reason : result.kind;
    };
    mkdirSync(`${lab.base}/real`, { mode: 0o700 });
    symlinkSync(`${lab.base}/real`, `${lab.base}/link`);
    expect(await arm(`${lab.base}/link`)).toMatch(/symbolic link/);
    chmodSync(`${lab.base}/real`, 0o770);
    expect(await arm(`${lab.base}/real`)).toMatch(/can be written by others; chmod go-w/);
    chmodSync(`${lab.base}/real`, 0o700);
    Bun.spawnSync(["chown", String(otherUser), `${lab.base}/real`]);
    expect(await arm(`${lab.base}/real`)).toMatch(/belongs to user 12345, not to 0/);
    expect(readdirSync(`${lab.base}/real`)).toEqual([]);
  });
});

describe.each(shellPaths)("with %s, foreign text", (name) => {
  const test = testWith("root", "namespaces", ...needOfShell(name));
  const open = (): Lab => {
    lab = openLab();
    if (name !== "/bin/busybox") return (lab = reopen(name));
    symlinkSync("/bin/busybox", `${lab.base}/sh`);
    return (lab = reopen(`${lab.base}/sh`));
  };
  const reopen = (shell: string): Lab => ({
    ...lab,
    minder: openLab({ base: lab.base, locks: lab.locks, shell }).minder,
  });

  test("arrives unchanged and is never run (F68)", async () => {
    open();
    const bytes = Array.from({ length: 0x7f }, (_, index) => String.fromCharCode(0x80 + index)).join("");
    const nasty = [
      "$(touch /tmp/minder-was-run)`touch /tmp/minder-was-run`; touch /tmp/minder-was-run",
      "'\"'\"' \\ \\n \\\\ \\' %s %d $HOME ${x} *[a-z]? ~root -n -e --",
      "  leading and trailing  \t ",
      "\u0001\u0002\u001b[31m\r\u007f",
      bytes,
      "=a=b",
      "",
      "end",
      "agent /bin/false",
    ];
    const environment = Object.fromEntries(nasty.map((text, index) => [`V${index}`, text]));
    const program = lab.agent(
      `for v in "$V0" "$V1" "$V2" "$V3" "$V4" "$V5" "$V6" "$V7" "$V8" "$@"; do printf '<%s>\\n' "$v"; done
       "$BUILDOMAT_OPT/bin/bmat" "arg 1"; cat "$HOME/testbed.json"`,
      "it's a=$(x) `y` ä\u0081 agent",
    );
    const json = JSON.stringify({ nasty });
    const spec = lab.spec({
      agent: [program, ...nasty],
      bmat: ["/usr/bin/printf", "[%s]\\n", ...nasty],
      environment,
      testbedJson: json,
      intentJson: json,
      instance: "it's $(x)/1",
      directory: `${lab.work}/it's a $(x) *_1`,
    });
    const latin1 = (text: string): string => Buffer.from(text).toString("latin1");
    const log = await run(spec);
    const wanted =
      [...nasty, ...nasty].map((text) => `<${text}>\n`).join("") +
      [...nasty, "arg 1"].map((text) => `[${text}]\n`).join("") +
      `${json}\n`;
    expect(log).toBe(latin1(wanted));
    expect(await lab.minder.recall(lab.work)).toEqual({
      ok: true,
      instances: [{ directory: spec.directory, intentJson: json, worker: "W" }],
    });
    expect(await lab.minder.locks()).toMatchObject({
      locks: [{ instance: spec.instance, directory: spec.directory }],
    });
    expect((await lab.minder.look([spec.directory]))[0]?.logBytes).toBe(log.length);
    expect(await lab.minder.stop(spec.directory, { graceMs: 1000 })).toEqual({ kind: "stopped" });
    expect(await lab.minder.tidy(spec.directory)).toEqual({ kind: "tidied", left: null });
    expect(readText("/tmp/minder-was-run")).toBe("");
    expect(readdirSync("/tmp").includes("minder-was-run")).toBe(false);
  });
});

describe("the bootstrap", () => {
  test("is only in its 0600 file, never in a process's arguments or environment (F71, F72)", async () => {
    lab = openLab();
    const secret = `bootstrap-${lab.spec({}).cookie}`;
    const spec = lab.spec({ agent: [lab.agent('env; tr "\\0" " " </proc/$$/cmdline; exec sleep 1000')] });
    await lab.minder.arm(spec);
    let seen: unknown[] = [];
    let samples = 0;
    let isGoing = true;
    const sampling = (async () => {
      while (isGoing) {
        seen = [...seen, ...processesWith(secret)];
        samples++;
        await Bun.sleep(0);
      }
    })();
    for (let round = 0; round < 20; round++) {
      await lab.minder.go({
        directory: spec.directory,
        worker: "W",
        agentJson: `{\n  "bootstrap": "${secret}"\n}`,
      });
    }
    isGoing = false;
    await sampling;
    expect(samples).toBeGreaterThan(20);
    expect(seen).toEqual([]);
    const holders = (await Bun.$`grep -rl ${secret} ${lab.base}`.nothrow().text()).trim().split("\n");
    expect(holders).toEqual([`${spec.directory}/opt/etc/agent.json`]);
    expect((await Bun.$`stat -c %a ${holders[0]}`.text()).trim()).toBe("600");
    await lab.minder.stop(spec.directory, { graceMs: 0 });
    await lab.minder.tidy(spec.directory);
    expect((await Bun.$`grep -rl ${secret} ${lab.base}`.nothrow().text()).trim()).toBe("");
  });
});

describe.each(["auto", "off"] as const)("the agent's environment, isolation %s", (isolate) => {
  test("is never in an argument or a file, and has no variables of the login", async () => {
    lab = openLab({ prefix: ["env", "LOGIN=1", "HTTPS_PROXY=login"] });
    const secret = `http://lab:${lab.spec({}).cookie}@proxy`;
    // Names that the script uses itself, too.
    const environment = { HTTPS_PROXY: secret, directory: "d", line: "l", program: "p", PATH: "/nowhere" };
    const agent = lab.agent('/usr/bin/env; echo "end"; exec /usr/bin/sleep 1000');
    const spec = lab.spec({ agent: [agent], environment, isolate, usesHost: false });
    let shown: string[] = [];
    let isGoing = true;
    const sampling = (async () => {
      while (isGoing) {
        // The search below is this test's own.
        const others = processesWith(secret).filter(({ line }) => !line.includes("grep -rlF"));
        for (const { line } of others) if (line.includes(secret)) shown = [...shown, line];
        await Bun.sleep(0);
      }
    })();
    expect(await lab.minder.arm(spec)).toEqual({ kind: "armed", refusal: null });
    expect((await Bun.$`grep -rlF ${secret} ${lab.base}`.nothrow().text()).trim()).toBe("");
    await lab.minder.go({ directory: spec.directory, worker: "W", agentJson: "{}" });
    const log = `${spec.directory}/agent.log`;
    await until(() => readText(log).endsWith("end\n"));
    isGoing = false;
    await sampling;
    expect(shown).toEqual([]);
    const lines = readText(log).split("\n");
    for (const [name, value] of Object.entries(environment)) expect(lines).toContain(`${name}=${value}`);
    expect(lines.filter((line) => /^(?:LOGIN|LC_ALL|SHLVL|OLDPWD)=/.test(line))).toEqual([]);
    expect((await lab.minder.stop(spec.directory, { graceMs: 0 })).kind).toBe("stopped");
  });

  test("names a copy of the file of authorities, which jobs need not see", async () => {
    lab = openLab();
    const file = `${lab.base}/authority.pem`;
    writeFileSync(file, "a certificate");
    const environment = { NODE_EXTRA_CA_CERTS: file, SSL_CERT_FILE: "/nowhere.pem" };
    const agent = lab.agent(
      'cat "$NODE_EXTRA_CA_CERTS"; echo " $NODE_EXTRA_CA_CERTS $SSL_CERT_FILE"; exec sleep 1000',
    );
    const spec = lab.spec({ agent: [agent], environment, isolate, usesHost: false });
    await lab.minder.arm(spec);
    await lab.minder.go({ directory: spec.directory, worker: "W", agentJson: "{}" });
    const copy = `${spec.directory}/opt/etc/NODE_EXTRA_CA_CERTS.pem`;
    await until(() => readText(`${spec.directory}/agent.log`) === `a certificate ${copy} /nowhere.pem\n`);
    expect((await lab.minder.stop(spec.directory, { graceMs: 0 })).kind).toBe("stopped");
  });
});

describe.each([0, otherUser])("as user %i, on a host that has /work and /input", (user) => {
  test("an isolated instance sees its own instead of the host's", async () => {
    lab = openLab();
    const { inner, end } = await openHost(lab, { user });
    const text = "ls /work /input | wc -l; echo x >/work/x; echo x >/input/x; exec sleep 1000";
    const specs = [1, 2].map((seq) => inner.spec({ seq, testbed: `t${seq}`, agent: [inner.agent(text)] }));
    for (const spec of specs) {
      expect(await inner.minder.arm(spec)).toEqual({ kind: "armed", refusal: null });
      await inner.minder.go({ directory: spec.directory, worker: "W", agentJson: "{}" });
      await until(() => readText(`${spec.directory}/input/x`) === "x\n");
      expect(readText(`${spec.directory}/agent.log`)).toBe("3\n");
    }
    expect(readdirSync(`${lab.work}/host_1/work`)).toEqual([]);
    for (const { directory } of specs)
      expect((await inner.minder.stop(directory, { graceMs: 0 })).kind).toBe("stopped");
    await end();
  });

  test("it sees a base directory and an agent below /work under /.host", async () => {
    lab = openLab();
    const { inner, end } = await openHost(lab, { user });
    const home = `${lab.work}/host_1/work/factory`;
    mkdirSync(home);
    if (user !== 0) Bun.spawnSync(["chown", String(user), home]);
    const program = "/work/factory/agent";
    writeFileSync(`${home}/agent`, '#!/bin/sh\necho "$0 $1 $HOME $SP"; ls /work\n', { mode: 0o755 });
    const directory = "/work/factory/work/board_1";
    const spec = inner.spec({
      agent: [program, "/work/factory/x"],
      environment: { SP: "/work/factory/sp" },
      directory,
    });
    expect(await inner.minder.arm(spec)).toEqual({ kind: "armed", refusal: null });
    await inner.minder.go({ directory, worker: "W", agentJson: "{}" });
    await until(async () => (await stateOf(inner, directory)) === "exited");
    expect(await inner.minder.tail(directory, 1000)).toEqual({
      ok: true,
      text: "/.host/work/factory/agent /.host/work/factory/x /.host/work/factory/work/board_1/home /.host/work/factory/sp\n",
    });
    expect(await inner.minder.stop(directory, { graceMs: 0 })).toEqual({ kind: "stopped" });
    await end();
  });
});

test("arm() fails where the disk is full, and takes no testbed (F23)", async () => {
  lab = openLab();
  const { inner, prefix, end } = await openHost(lab);
  const small = "mkdir /work/small && mount -t tmpfs -o size=60m,mode=700 none /work/small";
  Bun.spawnSync([...prefix, "sh", "-c", small]);
  const spec = inner.spec({ agent: ["/bin/true"], directory: "/work/small/board_1" });
  expect(await inner.minder.arm(spec)).toMatchObject({
    kind: "failed",
    reason: expect.stringMatching(/^only \d+ KB are free in \/work\/small; an instance needs 64 MB$/),
  });
  expect(await inner.minder.locks()).toEqual({ ok: true, locks: [] });
  await end();
});

const editions: [string, (script: string) => string, string?][] = [
  ["with /proc", (script) => script],
  ["without /proc, by ps", (script) => script.replace("\nproc=/proc\n", "\nproc=/nonexistent\n")],
  // As on macOS and illumos, whose sh has job control without a terminal; dash has not.
  [
    "without /proc and setsid, by ps and process groups",
    (script) =>
      script
        .replace("\nproc=/proc\n", "\nproc=/nonexistent\n")
        .replaceAll("command -v setsid", "command -v no-setsid"),
    "/bin/bash",
  ],
];

describe.each(editions)("not isolated, %s", (name, edit, shell = "sh") => {
  const test = testWith("root", "namespaces", ...(name.includes("by ps") ? ["ps" as const] : []));
  test.each([0, otherUser])(
    "as user %i: the host's /work, one instance at a time, a whole life",
    async (user) => {
      lab = openLab();
      const { inner, end } = await openHost(lab, { user, edit, shell });
      const text = 'echo x >/work/x; sleep 1000 & echo "$BUILDOMAT_WORK"; while :; do sleep 1000; done';
      const spec = inner.spec({ isolate: "off", agent: [inner.agent(text)] });
      const { directory } = spec;
      const go = { directory, worker: "W", agentJson: "{}" };
      expect(await inner.minder.arm(spec)).toEqual({ kind: "armed", refusal: null });
      expect(await inner.minder.arm(spec)).toEqual({ kind: "armed", refusal: null });
      expect(await stateOf(inner, directory)).toBe("armed");
      const second = inner.spec({ isolate: "off", testbed: "other", agent: [inner.agent(text)] });
      expect(await inner.minder.arm(second)).toMatchObject({ kind: "elsewhere" });
      expect(await inner.minder.go(go)).toEqual({ kind: "went" });
      expect(await inner.minder.go(go)).toEqual({ kind: "went" });
      await until(() => readText(`${directory}/agent.log`) === "/work\n");
      expect(await inner.minder.look([directory])).toMatchObject([
        { state: "alive", process: "alive", minder: "alive" },
      ]);
      expect(readText(`${lab.work}/host_1/work/x`)).toBe("x\n");
      expect(await inner.minder.stop(directory, { graceMs: 1000 })).toEqual({ kind: "stopped" });
      expect(await stateOf(inner, directory)).toBe("exited");
      expect(processesWith(spec.cookie)).toEqual([]);
      expect(await inner.minder.locks()).toEqual({ ok: true, locks: [] });
      expect(await inner.minder.arm(second)).toEqual({ kind: "armed", refusal: null });
      expect(await inner.minder.stop(second.directory, { graceMs: 1000 })).toEqual({ kind: "stopped" });
      await end();
    },
  );

  test("processes that outlive the first process hold the lock until stop", async () => {
    lab = openLab();
    const { inner, end } = await openHost(lab, { edit, shell });
    const spec = inner.spec({
      isolate: "off",
      agent: [inner.agent("echo ready; while :; do sleep 1000; done")],
    });
    const { directory } = spec;
    await inner.minder.arm(spec);
    await inner.minder.go({ directory, worker: "W", agentJson: "{}" });
    await until(() => readText(`${directory}/agent.log`) === "ready\n");
    // Killed before its time, the minder's reminder would leave its sleep, which only /proc would show.
    await until(() => rolesOf(spec.cookie).minder.length === 1);
    killAll(spec.cookie);
    await until(() => rolesOf(spec.cookie).first.length === 0);
    expect(await inner.minder.look([directory])).toMatchObject([{ state: "alive", process: "alive" }]);
    const other = inner.spec({ isolate: "off", seq: 2, agent: [inner.agent("exec sleep 1000")] });
    expect((await inner.minder.arm(other)).kind).toBe("elsewhere");
    expect(await inner.minder.stop(directory, { graceMs: 0 })).toEqual({ kind: "stopped" });
    expect(await inner.minder.look([directory])).toMatchObject([{ state: "dead", process: "dead" }]);
    expect(await inner.minder.arm(other)).toEqual({ kind: "armed", refusal: null });
    expect(await inner.minder.stop(other.directory, { graceMs: 0 })).toEqual({ kind: "stopped" });
    await end();
  });
});

test("an instance of the Rust factory is found by its HOME or BUILDOMAT_OPT, or by none", async () => {
  lab = openLab({ user: otherUser });
  const directory = `${lab.work}/board_1`;
  mkdirSync(`${directory}/opt`, { recursive: true });
  Bun.spawnSync(["chown", "-R", String(otherUser), lab.work]);
  chmodSync(lab.work, 0o700);
  const { minder } = lab;
  const formerState = async (): Promise<unknown> => (await minder.lookAtFormer([directory]))[0]?.state;
  const agent = lab.agent("exec sleep 1000", "buildomat-agent");
  const start = (user: number): ReturnType<typeof Bun.spawn> =>
    Bun.spawn(["setpriv", `--reuid=${user}`, `--regid=${user}`, "--clear-groups", "/bin/sh", agent, "run"], {
      env: { HOME: "/", BUILDOMAT_OPT: `${directory}/opt/buildomat` },
    });
  expect(await lab.minder.lookAtFormer([directory])).toMatchObject([{ state: "dead", process: "dead" }]);
  const ours = start(otherUser);
  await until(async () => (await formerState()) === "alive");
  expect((await lab.minder.stopFormer(directory)).kind).toBe("stopped");
  expect(await ours.exited).not.toBe(0);
  expect(await formerState()).toBe("dead");
  // Elevated: its environment cannot be read.
  writeFileSync(agent, "#!/bin/sh\nwhile :; do sleep 1000; done\n");
  const elevated = start(0);
  await until(() => processesWith("agent\0run").length > 0);
  expect(await lab.minder.lookAtFormer([directory])).toMatchObject([{ state: "cannot tell" }]);
  elevated.kill("SIGKILL");
  await elevated.exited;
  for (const { pid } of processesWith(directory)) kill(pid);
});

test("without isolation, daemons of the job are found by HOME, BUILDOMAT_OPT or the cookie (F37)", async () => {
  lab = openLab();
  const { inner, end } = await openHost(lab);
  const mark = `MARK=${lab.spec({}).cookie}`;
  const text = `
    ${mark} setsid nohup sleep 1000 >/dev/null 2>&1 &
    env -i ${mark} HOME="$HOME" setsid sleep 1000 &
    env -i ${mark} BUILDOMAT_OPT="$BUILDOMAT_OPT" setsid sleep 1000 &
    sleep 0.05; echo ready; exec sleep 1000`;
  const spec = inner.spec({ isolate: "off", agent: [inner.agent(text)] });
  await inner.minder.arm(spec);
  await inner.minder.go({ directory: spec.directory, worker: "W", agentJson: "{}" });
  await until(
    () => readText(`${spec.directory}/agent.log`) === "ready\n" && processesWith(mark).length === 3,
  );
  expect(await inner.minder.stop(spec.directory, { graceMs: 1000 })).toEqual({ kind: "stopped" });
  expect(processesWith(mark).filter(({ state }) => state !== "Z")).toEqual([]);
  await end();
});
