import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Background, createBackground } from "../../../lib/agent/task/background.ts";
import { type Children, openChildren } from "../../../lib/agent/task/child.ts";
import type { ControlReply } from "../../../lib/agent/bmat/messages.ts";
import { JobOver } from "../../../lib/agent/job-calls.ts";
import { type Clock, openClock } from "../../../lib/doors/clock.ts";
import { otherUser, test as testAsRoot } from "../../hosts/minder/minder-lab.ts";
import { openSerialPort } from "../../lab/pty.ts";
import { createSettableClock } from "../../lab/settable-clock.ts";
import { until } from "../../lab/until.ts";

let directory: string;
let events: string[];
let children: Children;
let background: Background;
let over: AbortController;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "background-"));
  open(openClock());
});
afterEach(async () => {
  over.abort();
  await background.end().catch(() => undefined);
  children.close();
  rmSync(directory, { recursive: true, force: true });
});

function open(clock: Clock, asCaller = false): void {
  events = [];
  over = new AbortController();
  children = openChildren({ clock, directory });
  background = createBackground({
    children,
    clock,
    tell: async (stream, payload) => {
      if (over.signal.aborted) throw new JobOver();
      events.push(`${stream}: ${payload.replace(/duration \d+/, "duration D")}`);
    },
    signal: over.signal,
    asCaller,
  });
}

async function start(
  name: string,
  script: string,
  cmd = "bash",
  pwd = directory,
  uid = 0,
): Promise<ControlReply> {
  const env = { PATH: "/usr/bin:/bin", D: directory, U: "ü\nb" };
  return background.start({
    name,
    cmd,
    args: ["-c", script],
    env,
    pwd,
    uid,
    gid: uid,
  });
}

const has = (name: string): boolean => existsSync(join(directory, name));

describe("a process beside the task", () => {
  test("has its output and exit reported, and keeps its name until the task's end", async () => {
    expect(await start("web", 'echo "$PWD $U"; env | wc -l; echo err >&2; exit 7')).toBe("Ack");
    await until("it has ended", () => events.some((event) => event.startsWith("bg.web: ")));
    expect(events.filter((event) => !event.startsWith("bg.web.stderr"))).toEqual([
      `bg.web.stdout: ${directory} ü`,
      "bg.web.stdout: b",
      // What is given, a line break in it, and what bash makes itself: PWD, SHLVL, _.
      "bg.web.stdout: 7",
      "bg.web: process exited: duration D ms, exit code 7",
    ]);
    expect(events).toContain("bg.web.stderr: err");
    expect(await start("web", "true")).toEqual({ Error: 'background process "web" is already running' });
    expect(await start("killed", "kill -9 $$")).toBe("Ack");
    await until("it has ended", () => events.some((event) => event.startsWith("bg.killed: process")));
    expect(events.slice(-2)).toEqual([
      'bg.killed: exec warning: background process "killed": : child terminated by signal 9',
      "bg.killed: process exited: duration D ms, exit code 2147483647",
    ]);
    await background.end();
    expect(events).toHaveLength(7);
  });

  testAsRoot("runs as the user who asked for it, only in root mode", async () => {
    await start("mine", "id -u", "bash", "/", otherUser);
    await until("it has ended", () => events.length === 2);
    open(openClock(), true);
    await start("theirs", "id -u; id -G", "bash", "/", otherUser);
    await until("it has ended", () => events.length === 3);
    expect(events.slice(0, 2)).toEqual([`bg.theirs.stdout: ${otherUser}`, `bg.theirs.stdout: ${otherUser}`]);
  });

  test("without #! is run by /bin/sh", async () => {
    writeFileSync(join(directory, "plain"), 'echo "$0 $1"\n', { mode: 0o755 });
    const env = { PATH: "/usr/bin:/bin" };
    const reply = background.start({
      name: "x",
      cmd: "./plain",
      args: ["y"],
      env,
      pwd: directory,
      uid: 0,
      gid: 0,
    });
    expect(reply).toBe("Ack");
    await until("it has ended", () => events.length === 2);
    expect(events[0]).toBe("bg.x.stdout: ./plain y");
  });

  test("F82 lives on when the serial port that it has opened goes away", async () => {
    const port = openSerialPort();
    const script = "touch $D/open; until [ -e $D/gone ]; do sleep 0.01; done; echo alive";
    await start("x", `exec 3<>${port.path}; ${script}`);
    await until("the port is open", () => has("open"));
    port.unplug();
    writeFileSync(join(directory, "gone"), "");
    await until("it has ended", () => events.length === 2);
    expect(events[0]).toBe("bg.x.stdout: alive");
  });

  test.each([
    ["a program that is not there", "none-such", undefined, "No such file or directory (os error 2)"],
    ["a file that is not a program", "/etc/passwd", undefined, "Permission denied (os error 13)"],
    ["a directory that is not there", "bash", "/none", "No such file or directory (os error 2)"],
  ])("that cannot be started, %s, leaves its name free", async (_, cmd, pwd, why) => {
    expect(await start("x", "", cmd, pwd)).toEqual({ Error: `starting background process "x": ${why}` });
    expect(await start("x", "true")).toBe("Ack");
  });

  test("is started once if two come at the same time under one name", async () => {
    const both = await Promise.all([start("one", "sleep 1000"), start("one", "sleep 1000")]);
    expect(both).toEqual(["Ack", { Error: 'background process "one" is already running' }]);
  });

  test("F84 is refused under a name that no stream may have, and as the hundred and first", async () => {
    const refusal = (await start("x".repeat(55), "true")) as { Error: string };
    expect(refusal.Error).toEndWith("a name has at most 54 characters");
    for (const name of ["my web", "a/b", "ü"]) {
      expect(await start(name, "true")).toEqual({
        Error: `starting background process "${name}": a name has letters, digits, ".", "_" and "-" alone`,
      });
    }
    await Promise.all(Array.from({ length: 100 }, (_, index) => start(`p${index}`, "true", "/bin/sh")));
    const last = (await start("p100", "true")) as { Error: string };
    expect(last.Error).toEndWith("a task has at most 100 of them");
  });

  test("is asked to end with its task; its last words are reported, its exit is not", async () => {
    const script = "trap 'echo bye; exit 3' TERM; touch $D/NAME; while :; do sleep 0.01; done";
    await start("a", script.replace("NAME", "a"));
    await start("b", script.replace("NAME", "b"));
    await until("both run", () => has("a") && has("b"));
    await background.end();
    expect(events.toSorted()).toEqual(["bg.a.stdout: bye", "bg.b.stdout: bye"]);
    expect(await start("c", "true")).toEqual({ Error: "no task is running" });
  });

  test("ends with all that it has started", async () => {
    await start("tree", "sleep 1000 & (sleep 1000 & wait) & echo $! > $D/pid; touch $D/up; exit 0");
    await until("it runs", () => has("up"));
    const pid = readFileSync(join(directory, "pid"), "utf8").trim();
    await background.end();
    expect(existsSync(`/proc/${pid}`)).toBe(false);
  });

  test("ends though it was started a moment ago", async () => {
    const started = start("late", "sleep 1000");
    await background.end();
    expect(await started).toBe("Ack");
    expect(childrenOf(process.pid)).toEqual([]);
  });

  test("is killed 10 s after it was asked to end", async () => {
    const clock = createSettableClock();
    open(clock);
    await start("deaf", "trap '' TERM; touch $D/up; while :; do sleep 0.01; done");
    await until("it runs", () => has("up"));
    let isEnded = false;
    const ended = background.end().then(() => (isEnded = true));
    await until("it is waited for", () => clock.waiting() > 0);
    await clock.advance(9900);
    expect(isEnded).toBe(false);
    let moreMs = 0;
    await until("it is over", async () => {
      moreMs += 20;
      await clock.advance(20);
      return isEnded;
    });
    await ended;
    expect(moreMs).toBeLessThan(1900);
    expect(events).toEqual([]);
    expect(clock.waiting()).toBe(0);
  });

  test("does not hold up its task if others hold its output", async () => {
    const clock = createSettableClock();
    open(clock);
    await start("daemon", "setsid sh -c 'echo $$ > $D/pid; touch $D/up; exec sleep 1000' & wait");
    await until("the daemon runs", () => has("up"));
    let isEnded = false;
    const ended = background.end().then(() => (isEnded = true));
    await until("it is over", async () => {
      await clock.advance(500);
      return isEnded;
    });
    await ended;
    process.kill(Number(readFileSync(join(directory, "pid"), "utf8")), "SIGKILL");
  });

  test("is ended when the job is over", async () => {
    await start("x", "touch $D/up; exec sleep 1000");
    await until("it runs", () => has("up"));
    over.abort();
    expect(background.end()).rejects.toBeInstanceOf(JobOver);
    await background.end().catch(() => undefined);
    expect(childrenOf(process.pid)).toEqual([]);
  });

  test("leaves no descriptor open", async () => {
    const before = readdirSync("/proc/self/fd").length;
    await start("x", "writes=1; exit 0");
    await start("y", "sleep 1000");
    writeFileSync(join(directory, "z"), "");
    await start("z", "true", "/none");
    await background.end();
    await until("all are closed", () => readdirSync("/proc/self/fd").length <= before);
  });
});

/** Living ones. */
function childrenOf(parent: number): number[] {
  return readdirSync("/proc")
    .map(Number)
    .filter((pid) => {
      try {
        const [state, ppid] = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
        return Number(ppid) === parent && state !== "Z";
      } catch {
        return false;
      }
    });
}
