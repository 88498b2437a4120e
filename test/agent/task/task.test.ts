import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createBackground } from "../../../lib/agent/task/background.ts";
import { openChildren } from "../../../lib/agent/task/child.ts";
import { JobOver } from "../../../lib/agent/job-calls.ts";
import { writeScript } from "../../../lib/agent/task/script.ts";
import { runTask } from "../../../lib/agent/task/task.ts";
import type { Clock } from "../../../lib/doors/clock.ts";
import { openClock } from "../../../lib/doors/clock.ts";
import type { Task } from "../../../lib/server/worker-side.ts";
import { openSerialPort } from "../../lab/pty.ts";
import { createSettableClock } from "../../lab/settable-clock.ts";
import { until } from "../../lab/until.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "task-"));
});
afterEach(() => {
  // What starts processes is compiled from it, and it is gone at once.
  expect(existsSync(join(directory, "launch.c"))).toBe(false);
  rmSync(directory, { recursive: true, force: true });
});

interface Play {
  /** `stream: payload`. */
  events: string[];
  done: Promise<boolean>;
  over(): void;
}

function play(
  script: string,
  {
    clock = openClock(),
    task = {},
    takes = async () => undefined,
  }: { clock?: Clock; task?: Partial<Task>; takes?: () => Promise<unknown> } = {},
): Play {
  const controller = new AbortController();
  const children = openChildren({ clock, directory });
  const events: string[] = [];
  const tell = async (stream: string, payload: string): Promise<void> => {
    if (controller.signal.aborted) throw new JobOver();
    events.push(`${stream}: ${payload.replace(/duration \d+ ms/, "duration D ms")}`);
    await takes();
  };
  const { signal } = controller;
  const background = createBackground({ children, clock, tell, signal, asCaller: false });
  const ended = runTask({
    task: {
      id: 0,
      name: "t",
      script,
      env_clear: false,
      env: {},
      uid: 0,
      gid: 0,
      workdir: directory,
      ...task,
    },
    script: writeScript(join(directory, "script.sh"), script, null),
    env: { PATH: "/usr/bin:/bin", DIRECTORY: directory },
    user: null,
    children,
    background,
    clock,
    tell,
    tellJob: tell,
    taken: async () => undefined,
    signal,
  });
  const done = (async () => {
    try {
      return (await ended) === null;
    } finally {
      children.close();
    }
  })();
  done.catch(() => undefined);
  return { events, done, over: () => controller.abort() };
}

const openDescriptors = (): number => readdirSync("/proc/self/fd").length;
/** The runtime has a second descriptor for each. */
const openPipes = (): Set<string> =>
  new Set(
    readdirSync("/proc/self/fd").flatMap((fd) => {
      try {
        const target = readlinkSync(`/proc/self/fd/${fd}`);
        return target.startsWith("pipe:") ? [target] : [];
      } catch {
        return [];
      }
    }),
  );
const isAlive = (pid: number): boolean => {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch (error) {
    if (error instanceof Error && "code" in error && ["ENOENT", "ESRCH"].includes(String(error.code)))
      return false;
    throw error;
  }
};

describe("a task", () => {
  test("a script is a process group of its own, and not the leader of a session", async () => {
    const { events, done } = play("cut -d ' ' -f 5,6 /proc/$$/stat; echo $$");
    expect(await done).toBe(true);
    const [pid, numbers] = [events[2], events[1]].map((event) => event?.replace("stdout: ", ""));
    const [group, session] = numbers?.split(" ") ?? [];
    expect(group).toBe(pid);
    expect(session).not.toBe(pid);
  });

  test("F82 a script lives on when the serial port that it has opened goes away", async () => {
    const port = openSerialPort();
    const { events, done } = play(
      `exec 3<>${port.path}; touch $DIRECTORY/open; until [ -e $DIRECTORY/gone ]; do sleep 0.01; done; echo alive`,
    );
    await until("the port is open", () => existsSync(join(directory, "open")));
    port.unplug();
    writeFileSync(join(directory, "gone"), "");
    expect(await done).toBe(true);
    expect(events[1]).toBe("stdout: alive");
  });

  test("F96 a script has the usual soft limit on open files, whatever this process has", async () => {
    const { events, done } = play("ulimit -Sn; ulimit -Hn");
    expect(await done).toBe(true);
    const hard = Bun.spawnSync(["sh", "-c", "ulimit -Hn"]).stdout.toString().trim();
    expect(events.slice(1, 3)).toEqual(["stdout: 1024", `stdout: ${hard}`]);
  });

  test("reports start, output and exit in that order", async () => {
    const { events, done } = play("echo out; echo err >&2; exit 3");
    expect(await done).toBe(false);
    expect(events[0]).toBe('task: starting task 0: "t"');
    expect(events.slice(1, 3).toSorted()).toEqual(["stderr: err", "stdout: out"]);
    expect(events[3]).toBe("task: process exited: duration D ms, exit code 3");
  });

  test("its script has real pipes, no input, and nothing of the agent's", async () => {
    const script = `
      [ -p /dev/stdout ] && [ -p /dev/stderr ] && echo pipes
      echo again >/dev/stdout
      cat | wc -c
      echo "$(ls /proc/self/fd | wc -l) descriptors"
      grep SigIgn /proc/self/status
      yes | head -1
      env | sed 's/=.*//' | sort | tr '\\n' ' '`;
    const { events, done } = play(script);
    expect(await done).toBe(true);
    expect(events.slice(1, -1)).toEqual([
      "stdout: pipes",
      "stdout: again",
      "stdout: 0",
      "stdout: 4 descriptors",
      "stdout: SigIgn:\t0000000000000000",
      "stdout: y",
      "stdout: DIRECTORY PATH PWD SHLVL _",
    ]);
  });

  test("reports the signal that ended its script", async () => {
    const { events, done } = play("kill -KILL $$");
    expect(await done).toBe(false);
    expect(events.slice(1)).toEqual([
      "worker: exec warning: : child terminated by signal 9",
      "task: process exited: duration D ms, exit code 2147483647",
    ]);
  });

  test.each([
    ["is not there", "/none/of/this", "No such file or directory (os error 2)"],
    ["is a file", "/etc/passwd", "Not a directory (os error 20)"],
    ["is empty", "", "No such file or directory (os error 2)"],
  ])("fails if its working directory %s", async (_, workdir, why) => {
    const { events, done } = play("echo never", { task: { workdir } });
    expect(await done).toBe(false);
    expect(events.slice(1)).toEqual([
      `agent: ERROR: exec: cannot start task 0 in directory "${workdir}": ${why}`,
    ]);
  });

  test("shows a prompt without a newline after a second of quiet, and keeps other lines whole", async () => {
    const clock = createSettableClock();
    const { events, done } = play(
      'printf "sure? "; until [ -e $DIRECTORY/go ]; do sleep 0.01; done; printf "yes\\n"; printf a; printf b',
      { clock },
    );
    await until("the prompt waits", () => clock.waiting() > 0);
    expect(events).toHaveLength(1);
    await clock.advance(1000);
    expect(events.at(-1)).toBe("stdout: sure? ");
    writeFileSync(join(directory, "go"), "");
    await done;
    expect(events.slice(1, -1)).toEqual(["stdout: sure? ", "stdout: yes", "stdout: ab"]);
    expect(clock.waiting()).toBe(0);
  });

  test("20 MiB without a newline arrive in order, in pieces", async () => {
    const { events, done } = play("seq 1 10000000 | tr -d '\\n' | head -c 20971520");
    expect(await done).toBe(true);
    const pieces = events.slice(1, -1).map((line) => line.replace("stdout: ", ""));
    expect(Math.max(...pieces.map(({ length }) => length))).toBe(65_536);
    const expected = Bun.spawnSync(["bash", "-c", "seq 1 10000000 | tr -d '\\n' | head -c 20971520"]).stdout;
    expect(Bun.hash(pieces.join(""))).toBe(Bun.hash(expected.toString()));
  });

  test("a flood of output takes no more memory", async () => {
    const { events, done } = play("head -c 268435456 /dev/zero | tr '\\0' x");
    let pieces = 0;
    const drop = setInterval(() => {
      pieces += events.splice(1, events.length - 1).length;
      // What this test has dropped is not what it measures.
      Bun.gc(false);
    }, 5);
    Bun.gc(true);
    const before = process.memoryUsage.rss();
    let most = 0;
    const watch = setInterval(() => {
      most = Math.max(most, process.memoryUsage.rss());
    }, 20);
    expect(await done).toBe(true);
    clearInterval(watch);
    clearInterval(drop);
    expect(pieces + events.length).toBeGreaterThan(4096);
    // The output is 256 MiB; a runtime under load is late with its garbage.
    expect(most - before).toBeLessThan(224 * 1024 * 1024);
  }, 60_000);

  test("output that is not taken is not read: its script stands still", async () => {
    const gate = Promise.withResolvers<void>();
    let taken = 0;
    const { events, done } = play("head -c 10000000 /dev/zero | tr '\\0' x; touch $DIRECTORY/through", {
      takes: () => (++taken > 1 ? gate.promise : Promise.resolve()),
    });
    await until("output waits", () => taken > 1);
    await Bun.sleep(100);
    expect(existsSync(join(directory, "through"))).toBe(false);
    expect(events).toHaveLength(2);
    gate.resolve();
    expect(await done).toBe(true);
    expect(existsSync(join(directory, "through"))).toBe(true);
  });

  test("waits 5 s in silence for others who hold its output, and ends at once when they let go", async () => {
    const clock = createSettableClock();
    const script =
      "(until [ -e $DIRECTORY/go ]; do sleep 0.01; done; echo late) & echo $! > $DIRECTORY/pid; exit 0";
    const { events, done } = play(script, { clock });
    await until("the held output is waited for", () => clock.waiting() > 0);
    await clock.advance(4999);
    expect(events).toHaveLength(1);
    await clock.advance(1);
    expect(events.slice(1)).toEqual([
      "task: process exited: duration D ms, exit code 0",
      "worker: exec warning: : stdio descriptors remain open after task exit; waiting 60 seconds for them to close",
    ]);
    await clock.advance(30_000);
    writeFileSync(join(directory, "go"), "");
    expect(await done).toBe(true);
    expect(events.at(-1)).toBe("stdout: late");
    expect(clock.waiting()).toBe(0);
  });

  test("gives up held output after 65 s, reports which, and does not touch the daemon", async () => {
    const clock = createSettableClock();
    const [before, pipes] = [openDescriptors(), openPipes()];
    const { events, done } = play("sleep 300 2>/dev/null & echo $! > $DIRECTORY/pid; exit 4", { clock });
    await until(
      "only one output is held",
      () => clock.waiting() > 0 && openPipes().difference(pipes).size === 1,
    );
    await clock.advance(5000);
    await clock.advance(60_000);
    expect(await done).toBe(false);
    expect(events.slice(3)).toEqual([
      "worker: exec warning: : stdout descriptor may be held open by a background process; giving up!",
    ]);
    const pid = Number(readFileSync(join(directory, "pid"), "utf8"));
    expect(isAlive(pid)).toBe(true);
    process.kill(pid, "SIGKILL");
    await until("its descriptors are closed", () => openDescriptors() <= before);
  });

  test("ends its whole group when the job is over, also processes that ignore TERM", async () => {
    const clock = createSettableClock();
    const { done, over } = play(
      `trap '' TERM; (trap '' TERM; sleep 300) & echo $! > $DIRECTORY/pid; echo $$ > $DIRECTORY/self; sleep 300`,
      { clock },
    );
    const pids = await until("the script runs", () => {
      if (!existsSync(join(directory, "self"))) return null;
      const read = ["pid", "self"].map((name) => Number(readFileSync(join(directory, name), "utf8")));
      return read.every((pid) => pid > 0) ? read : null;
    });
    over();
    await until("the group is looked for", () => clock.waiting() > 0);
    expect(pids.map(isAlive)).toEqual([true, true]);
    let isOver = false;
    void done.catch(() => (isOver = true));
    await until("it is over", async () => {
      await clock.advance(1000);
      return isOver;
    });
    expect(done).rejects.toBeInstanceOf(JobOver);
    // The clock that it waits by is faster than processes end.
    await until("nobody of the group is left", () => !pids.some(isAlive));
  });

  test("ends at once if only a daemon of another session holds its output when the job is over", async () => {
    const daemon = "setsid sh -c 'echo $$ > $DIRECTORY/pid; exec sleep 300' & wait";
    const { done, over } = play(daemon);
    const pid = await until("the daemon runs", () => {
      const path = join(directory, "pid");
      return existsSync(path) && (Number(readFileSync(path, "utf8")) || null);
    });
    over();
    await done.catch((error: unknown) => expect(error).toBeInstanceOf(JobOver));
    expect(isAlive(pid)).toBe(true);
    process.kill(pid, "SIGKILL");
  });

  test("F44 leaves no descriptor open, whatever happened", async () => {
    const before = openDescriptors();
    for (const script of ["true", "echo x", "exit 1", "kill -TERM $$"]) await play(script).done;
    await play("true", { task: { workdir: "/none" } }).done;
    await until("its descriptors are closed", () => openDescriptors() <= before);
  });
});
