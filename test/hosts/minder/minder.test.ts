import { afterAll, afterEach, beforeAll, expect, setDefaultTimeout } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import {
  describe,
  shellPaths,
  test,
  isAlive,
  kill,
  type Lab,
  openLab,
  otherUser,
  readText,
  rolesOf,
  stateOf,
  until,
} from "./minder-lab.ts";
import { needOfShell, testWith } from "../../lab/needs.ts";

const shells = mkdtempSync(`${tmpdir()}/minder-shells-`);
let lab: Lab;
setDefaultTimeout(60_000);

beforeAll(() => {
  // busybox is a shell under the name sh.
  chmodSync(shells, 0o755);
  mkdirSync(`${shells}/busybox`);
  symlinkSync("/bin/busybox", `${shells}/busybox/sh`);
});
afterEach(() => lab.close());
afterAll(() => rmSync(shells, { recursive: true }));

/** Reports what it sees, takes and ends a job, and stays, as the real agent does. */
const lifeAgent = `
cat "$HOME/testbed.json"; id -u; grep CapEff /proc/self/status; env | sort; echo "args $*"
echo "own files: $(ls /work /input | wc -l)"; umask
test "$BUILDOMAT_OPT/etc/agent.json" -ot /nonexistent || cat "$BUILDOMAT_OPT/etc/agent.json"
"$BUILDOMAT_OPT/bin/bmat" one two
echo {} >"$BUILDOMAT_OPT/etc/job.json"
echo here >/work/result; echo here >/input/given
mv "$BUILDOMAT_OPT/etc/job.json" "$BUILDOMAT_OPT/etc/job-done.json"
exec sleep 1000`;

const cases = shellPaths
  .map((path) => (path === "/bin/busybox" ? `${shells}/busybox/sh` : path))
  .flatMap((shell) => [0, otherUser].map((user) => [shell.replace(shells, ""), user, shell] as const));

describe.each(cases)("a whole life with %s as user %i", (name, user, shell) => {
  const test = testWith("root", "namespaces", ...needOfShell(name.replace(/\/sh$/, "")));
  test("arm, go, done, stop and tidy; each seen by look, nothing left behind", async () => {
    lab = openLab({ shell, user });
    const { minder } = lab;
    const rootBefore = readdirSync("/");
    const spec = lab.spec({
      agent: [lab.agent(lifeAgent), "run"],
      bmat: ["/bin/echo", "it's", "$HOME"],
      environment: { EXTRA: "a b" },
      testbedJson: '{"name":"board"}',
      intentJson: '{"job":"J"}',
    });
    const { directory } = spec;
    expect(await minder.look([directory])).toMatchObject([
      { state: "absent", process: "dead", minder: "dead" },
    ]);

    expect(await minder.arm(spec)).toEqual({ kind: "armed", refusal: null });
    expect(await minder.look([directory])).toMatchObject([{ state: "armed", went: false, process: "alive" }]);
    expect(await minder.locks()).toMatchObject({
      ok: true,
      locks: [{ testbed: "board", instance: "board/1", directory, uid: user, owner: "alive" }],
    });

    const agentJson = '{\n  "bootstrap": "B"\n}';
    expect(await minder.go({ directory, worker: "W", agentJson })).toEqual({ kind: "went" });
    await until(async () => (await stateOf(lab, directory)) === "done");
    const [view] = await minder.look([directory]);
    expect(view).toMatchObject({ went: true, process: "alive", minder: "alive", hasJob: true, exit: null });
    const log = readText(`${directory}/agent.log`);
    expect(view?.logBytes).toBe(log.length);
    const tail = await minder.tail(directory, 20);
    expect(tail).toEqual({ ok: true, text: log.slice(-20) });
    expect(log.split("\n").filter((line) => !line.startsWith("PWD="))).toEqual([
      '{"name":"board"}',
      String(user),
      expect.stringMatching(user === 0 ? /^CapEff:\t0/ : /^CapEff:\t0000000000000000$/),
      `BUILDOMAT_FACTORY_COOKIE=${spec.cookie}`,
      "BUILDOMAT_INPUT=/input",
      "BUILDOMAT_NONROOT=1",
      `BUILDOMAT_OPT=${directory}/opt`,
      "BUILDOMAT_WORK=/work",
      "EXTRA=a b",
      `HOME=${directory}/home`,
      "PATH=/usr/bin:/bin:/usr/sbin:/sbin",
      "args run",
      // Two headings and an empty line: nothing of the host's.
      "own files: 3",
      "0022",
      "{",
      '  "bootstrap": "B"',
      "}",
      "it's $HOME one two",
      "",
    ]);
    expect(readText(`${directory}/work/result`)).toBe("here\n");
    expect(readText(`${directory}/input/given`)).toBe("here\n");
    expect(readdirSync("/")).toEqual(rootBefore);
    expect(await minder.recall(lab.work)).toEqual({
      ok: true,
      instances: [{ directory, intentJson: '{"job":"J"}', worker: "W" }],
    });

    expect((await minder.tidy(directory)).kind).toBe("refused");
    expect(await minder.stop(directory, { graceMs: 5000 })).toEqual({ kind: "stopped" });
    expect(await minder.stop(directory, { graceMs: 5000 })).toEqual({ kind: "stopped" });
    expect(await minder.locks()).toEqual({ ok: true, locks: [] });
    expect(await minder.tidy(directory)).toEqual({ kind: "tidied", left: null });
    expect(await minder.look([directory])).toMatchObject([
      { state: "done", process: "dead", minder: "dead" },
    ]);
    expect(readdirSync(directory).toSorted()).toEqual(["agent.log", "minder", "opt"]);

    // This reports what the agent left of the job's end too, however large the file is.
    const job = { name: 'flash "it"', tasks: [{ name: "t", script: "x".repeat(3_000_000) }] };
    const ping = { factory_info: { name: "lab" }, job };
    writeFileSync(`${directory}/opt/etc/job-done.json`, JSON.stringify(ping, null, 2));
    writeFileSync(`${directory}/opt/etc/job-verdict`, `failed\n${"y".repeat(300)}\nmore\n`);
    const verdict = { is: "failed", why: "y".repeat(200) } as const;
    expect(await minder.tidy(directory)).toEqual({
      kind: "tidied",
      left: null,
      end: { jobName: 'flash "it"', verdict },
    });
    rmSync(`${directory}/opt/etc/job-verdict`);
    expect(readdirSync(`${directory}/opt/etc`)).toEqual(["job-done.json"]);
  });
});

describe("arm", () => {
  test("twice gives the same instance, also at the same time", async () => {
    lab = openLab();
    const spec = lab.spec({ agent: [lab.agent("exec sleep 1000")] });
    const both = await Promise.all([lab.minder.arm(spec), lab.minder.arm(spec), lab.minder.arm(spec)]);
    expect(both).toEqual([
      { kind: "armed", refusal: null },
      { kind: "armed", refusal: null },
      { kind: "armed", refusal: null },
    ]);
    expect(rolesOf(spec.cookie).first.length).toBe(1);
    await lab.minder.go({ directory: spec.directory, worker: "W", agentJson: "{}" });
    expect(await lab.minder.arm(spec)).toEqual({ kind: "armed", refusal: null });
    await lab.minder.stop(spec.directory, { graceMs: 0 });
  });

  test("works again for an instance that was stopped before go and left no directory", async () => {
    lab = openLab();
    const spec = lab.spec({ agent: [lab.agent("exec sleep 1000")] });
    for (let round = 0; round < 3; round++) {
      expect(await lab.minder.arm(spec)).toEqual({ kind: "armed", refusal: null });
      expect(await lab.minder.stop(spec.directory, { graceMs: 1000 })).toEqual({ kind: "stopped" });
      expect(existsSync(spec.directory)).toBe(false);
    }
    expect(await lab.minder.go({ directory: spec.directory, worker: "W", agentJson: "{}" })).toEqual({
      kind: "expired",
    });
  });
});

describe("go", () => {
  const counting = 'echo started >>"$HOME/starts"; exec sleep 1000';

  test("starts the agent once, however often it is called, and never again after its end", async () => {
    lab = openLab();
    const spec = lab.spec({ agent: [lab.agent(counting)] });
    const { directory } = spec;
    await lab.minder.arm(spec);
    const go = { directory, worker: "W", agentJson: "{}" };
    const answers = await Promise.all([1, 2, 3, 4].map(() => lab.minder.go(go)));
    expect(answers.map(({ kind }) => kind)).toEqual(["went", "went", "went", "went"]);
    await until(() => readText(`${directory}/home/starts`) !== "");
    expect((await lab.minder.go(go)).kind).toBe("went");
    await lab.minder.stop(directory, { graceMs: 1000 });
    expect((await lab.minder.go(go)).kind).toBe("went");
    expect(await lab.minder.arm(spec)).toEqual({ kind: "armed", refusal: null });
    expect(await stateOf(lab, directory)).toBe("exited");
    expect(readText(`${directory}/home/starts`)).toBe("started\n");
  });

  test("starts nothing if its request is cut short", async () => {
    lab = openLab();
    const cut = openLab({ locks: lab.locks, base: lab.base, edit: (stdin) => stdin.replace(/end\n$/, "") });
    const spec = lab.spec({ agent: [lab.agent(counting)] });
    expect((await cut.minder.arm(spec)).kind).toBe("failed");
    await lab.minder.arm(spec);
    const go = { directory: spec.directory, worker: "W", agentJson: "{}" };
    expect((await cut.minder.go(go)).kind).toBe("cannot tell");
    expect(await stateOf(lab, spec.directory)).toBe("armed");
    await lab.minder.stop(spec.directory, { graceMs: 0 });
  });

  test.each([1, 21])(
    "and expiry exclude each other, whichever comes first (board %i and after)",
    async (from) => {
      lab = openLab();
      const kinds = { went: 0, expired: 0, "cannot tell": 0 };
      const agent = [lab.agent(counting)];
      const round = async (seq: number): Promise<void> => {
        const spec = lab.spec({
          seq,
          testbed: `board-${seq}`,
          agent,
          expirySeconds: seq % 5 === 0 ? 100 : 0.03,
        });
        const { directory } = spec;
        expect(await lab.minder.arm(spec)).toEqual({ kind: "armed", refusal: null });
        // Most are near one another; of each kind some are certain, however slow the machine.
        if (seq % 5 === 1) await until(async () => (await stateOf(lab, directory)) === "absent");
        else await Bun.sleep(seq % 30);
        const went = await lab.minder.go({ directory, worker: "W", agentJson: '{"token":"secret"}' });
        const { kind } = went;
        kinds[kind]++;
        expect(went).not.toHaveProperty("reason");
        if (kind === "went") {
          await until(() => readText(`${directory}/home/starts`) === "started\n");
        } else {
          await until(async () => (await stateOf(lab, directory)) === "absent");
          await until(() => rolesOf(spec.cookie).minder.length === 0);
          expect(existsSync(`${directory}/home`)).toBe(false);
          expect(existsSync(`${directory}/opt`)).toBe(false);
        }
        expect(await lab.minder.stop(directory, { graceMs: 1000 })).toEqual({ kind: "stopped" });
      };
      for (let seq = from; seq < from + 20; seq += 2) await Promise.all([round(seq), round(seq + 1)]);
      expect(kinds["cannot tell"]).toBe(0);
      expect(kinds.went).toBeGreaterThan(0);
      expect(kinds.expired).toBeGreaterThan(0);
    },
  );

  test("after expiry starts nothing, and the same instance can be armed again", async () => {
    lab = openLab();
    const spec = lab.spec({ agent: [lab.agent(counting)], expirySeconds: 0.01 });
    const go = { directory: spec.directory, worker: "W", agentJson: "{}" };
    await lab.minder.arm(spec);
    await until(async () => (await stateOf(lab, spec.directory)) === "absent");
    expect((await lab.minder.go(go)).kind).toBe("expired");
    expect(await lab.minder.arm({ ...spec, expirySeconds: 100 })).toEqual({ kind: "armed", refusal: null });
    expect((await lab.minder.go(go)).kind).toBe("went");
    await until(() => readText(`${spec.directory}/home/starts`) === "started\n");
    await lab.minder.stop(spec.directory, { graceMs: 1000 });
  });
});

describe("look", () => {
  test("records how the agent ended by itself; the processes that it left run until stop", async () => {
    lab = openLab();
    const ends = [
      ["exit 0", { code: 0 }],
      ["exit 7", { code: 7 }],
      ["kill -9 $$", { signal: 9 }],
      ["exec /nonexistent", { code: 127 }],
    ] as const;
    for (const [index, [end, exit]] of ends.entries()) {
      const spec = lab.spec({ seq: index + 1, agent: [lab.agent(`(setsid sleep 1000 &) ; ${end}`)] });
      await lab.minder.arm(spec);
      await lab.minder.go({ directory: spec.directory, worker: "W", agentJson: "{}" });
      await until(async () => (await stateOf(lab, spec.directory)) === "exited");
      expect(await lab.minder.look([spec.directory])).toMatchObject([
        { exit, process: "alive", minder: "alive" },
      ]);
      expect((await lab.minder.locks()).ok).toBe(true);
      // What the first process starts has its arguments for a moment.
      await until(() => rolesOf(spec.cookie).first.length === 1);
      expect(await lab.minder.stop(spec.directory, { graceMs: 1000 })).toEqual({ kind: "stopped" });
      expect(await lab.minder.look([spec.directory])).toMatchObject([
        { state: "exited", exit, process: "dead" },
      ]);
    }
  });

  test("reports an instance as dead after any of its processes were killed from outside", async () => {
    lab = openLab();
    for (const [index, role] of (["unshare", "first"] as const).entries()) {
      const spec = lab.spec({ seq: index + 1, agent: [lab.agent("exec sleep 1000")] });
      await lab.minder.arm(spec);
      await lab.minder.go({ directory: spec.directory, worker: "W", agentJson: "{}" });
      await until(async () => (await stateOf(lab, spec.directory)) === "alive");
      for (const pid of rolesOf(spec.cookie)[role]) kill(pid);
      await until(async () => (await stateOf(lab, spec.directory)) === "dead");
      // The minder lets go of the testbed by itself.
      await until(async () => ((locks) => locks.ok && locks.locks.length === 0)(await lab.minder.locks()));
      expect(await lab.minder.look([spec.directory])).toMatchObject([
        { went: true, process: "dead", exit: null },
      ]);
    }
  });

  test("answers `cannot tell` if it cannot read a record", async () => {
    lab = openLab();
    const spec = lab.spec({ agent: [lab.agent("exec sleep 1000")] });
    const { directory } = spec;
    await lab.minder.arm(spec);
    await lab.minder.go({ directory, worker: "W", agentJson: "{}" });
    const identity = `${directory}/minder/identity.json`;
    const text = readText(identity);
    for (const bad of [
      "",
      "{",
      text.replace(/"pid":\d+/, '"pid":x'),
      text.replace('"cookie":"', '"cookie":"f'),
    ]) {
      await Bun.write(identity, bad);
      expect(await lab.minder.look([directory])).toMatchObject([
        { state: "cannot tell", process: "cannot tell" },
      ]);
    }
    await Bun.write(identity, text.replace(/"boot_id":"..../, '"boot_id":"ffff'));
    expect(await lab.minder.look([directory])).toMatchObject([{ state: "dead", process: "dead" }]);
    await Bun.write(identity, text);
    await until(async () => (await stateOf(lab, directory)) === "alive");
    await lab.minder.stop(directory, { graceMs: 0 });
  });

  test("F43 cuts the agent's log to its cap, and keeps its beginning, its end and new lines", async () => {
    lab = openLab();
    const flood = `
      echo first line; i=0
      while [ $i -lt 20000 ]; do echo "line $i of a flood that has no end in sight"; i=$((i+1)); done
      echo last line
      until [ -e "$HOME/more" ]; do sleep 0.01; done
      echo after the cut; exec sleep 1000`;
    const spec = lab.spec({ agent: [lab.agent(flood)], logCapBytes: 200_000 });
    const log = `${spec.directory}/agent.log`;
    await lab.minder.arm(spec);
    await lab.minder.go({ directory: spec.directory, worker: "W", agentJson: "{}" });
    await until(() => readText(log).includes("last line"));
    await lab.minder.look([spec.directory]);
    await Bun.write(`${spec.directory}/home/more`, "");
    await until(() => readText(log).includes("after the cut"));
    const text = readText(log);
    expect(text.length).toBeLessThan(110_000);
    expect(text).toStartWith("first line\nline 0 ");
    expect(text).toMatch(/\n\.\.\. \d+ bytes dropped \.\.\.\n/);
    expect(text).toEndWith("last line\nafter the cut\n");
    expect(await lab.minder.tail(spec.directory, 14)).toEqual({ ok: true, text: "after the cut\n" });
    await lab.minder.stop(spec.directory, { graceMs: 0 });
  });
});

describe("an instance", () => {
  test("has its own /work and /input: two instances can write the same file", async () => {
    lab = openLab();
    const writer = lab.agent(
      'echo "$BUILDOMAT_OPT" >/work/x; echo "$BUILDOMAT_OPT" >/input/x; exec sleep 1000',
    );
    const specs = [1, 2].map((seq) => lab.spec({ seq, testbed: `board-${seq}`, agent: [writer] }));
    await Promise.all(specs.map((spec) => lab.minder.arm(spec)));
    for (const { directory } of specs) {
      await lab.minder.go({ directory, worker: "W", agentJson: "{}" });
    }
    for (const { directory } of specs) {
      await until(() => readText(`${directory}/input/x`) !== "");
      expect(readText(`${directory}/work/x`)).toBe(`${directory}/opt\n`);
      expect(readText(`${directory}/input/x`)).toBe(`${directory}/opt\n`);
    }
    expect(existsSync("/work/x") || existsSync("/input/x")).toBe(false);
    for (const { directory } of specs) await lab.minder.stop(directory, { graceMs: 1000 });
  });

  test("leaves no zombies of a job that forks daemons by the hundred (F36)", async () => {
    lab = openLab();
    const forks =
      'i=0; while [ $i -lt 200 ]; do (sh -c ":" & ) ; i=$((i+1)); done; echo forked; exec sleep 1000';
    const spec = lab.spec({ agent: [lab.agent(forks)] });
    await lab.minder.arm(spec);
    await lab.minder.go({ directory: spec.directory, worker: "W", agentJson: "{}" });
    await until(() => readText(`${spec.directory}/agent.log`).includes("forked"));
    const [first] = rolesOf(spec.cookie).first;
    await until(() => {
      const children = readText(`/proc/${first}/task/${first}/children`).trim().split(" ").map(Number);
      return children.length === 1 && children.every(isAlive);
    });
    await lab.minder.stop(spec.directory, { graceMs: 1000 });
  });

  test("survives the process that armed it, and signals for the factory's process group", async () => {
    lab = openLab();
    const spec = lab.spec({ agent: [lab.agent("exec sleep 1000")] });
    await lab.minder.arm(spec);
    const [minder = 0] = rolesOf(spec.cookie).minder;
    const stat = readText(`/proc/${minder}/stat`)
      .replace(/^.*\) /, "")
      .split(" ");
    // Parent 1 (or a subreaper), a group and a session of its own, no terminal.
    expect(stat[2]).toBe(String(minder));
    expect(stat[3]).toBe(String(minder));
    expect(stat[4]).toBe("0");
    await lab.minder.stop(spec.directory, { graceMs: 0 });
  });
});

test("a pipe that a job puts in the place of a record does not block look or stop", async () => {
  lab = openLab();
  const { minder } = lab;
  const spec = lab.spec({ agent: [lab.agent("exec sleep 1000")] });
  expect(await minder.arm(spec)).toEqual({ kind: "armed", refusal: null });
  await minder.go({ directory: spec.directory, worker: "W", agentJson: "{}" });
  await until(() => existsSync(`${spec.directory}/minder/started`));
  for (const name of ["minder/exit.json", "opt/run/printed"]) {
    expect(Bun.spawnSync(["mkfifo", `${spec.directory}/${name}`]).success).toBe(true);
  }
  writeFileSync(`${spec.directory}/minder/watched`, "");
  expect(await minder.look([spec.directory])).toMatchObject([{ state: "alive", exit: null }]);
  expect(await minder.stop(spec.directory, { graceMs: 0 })).toEqual({ kind: "stopped" });
});
