/** The line to a host: its far end in every shell that a host may have, and a simulated far end that misbehaves. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Clock, openClock } from "../../../lib/doors/clock.ts";
import { openProcesses, type Talk } from "../../../lib/doors/processes.ts";
import { openRandom } from "../../../lib/doors/random.ts";
import { type Line, openLine } from "../../../lib/hosts/ssh/lifeline.ts";
import { lineScript } from "../../../lib/hosts/ssh/connection.ts";
import { processesNaming } from "../../lab/leavings.ts";
import { createSettableClock } from "../../lab/settable-clock.ts";
import { until } from "../../lab/until.ts";

const clock = openClock();
const processes = openProcesses({ clock });
const random = openRandom();
const cookie = "c00c1e";

let directory = "";
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "line-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** A line whose far end is a shell of this host; `env` marks its processes. */
function openHere(shell: string[]): { line: Line; marks: string[]; talks: Talk[] } {
  const marks: string[] = [];
  const talks: Talk[] = [];
  const line = openLine({
    clock,
    random,
    pace: { watching: 0 },
    begin: (mark, onLine) => {
      marks.push(mark);
      const talk = processes.talk({
        // As ssh does, what is between lives until one side ends.
        argv: ["sh", "-c", 'cat | "$@"', "sh", ...shell, "-c", lineScript, "sh", mark],
        env: { PATH: process.env["PATH"] ?? "", LINE: directory },
        onLine,
        maxLineBytes: 65_536,
      });
      talks.push(talk);
      return talk;
    },
    explain: (said) => Promise.resolve(`lost: ${said}`),
  });
  return { line, marks, talks };
}

function makeInstance(name = "bed 1_7"): string {
  const place = join(directory, name);
  mkdirSync(join(place, "minder"), { recursive: true });
  mkdirSync(join(place, "opt/etc"), { recursive: true });
  return place;
}

describe.each([[["dash"]], [["bash"]], [["busybox", "ash"]], [["ksh93"]]])("a line to %p", (shell) => {
  test("runs commands at the same time, each with its own words, input, output and exit code", async () => {
    const { line } = openHere(shell);
    const script = 'cat; printf "%s" "$1"; printf wrong >&2; exit "$2"';
    const results = await Promise.all(
      Array.from({ length: 20 }, async (_, index) => {
        const words = ["sh", "-c", script, "sh", `  a 'word' \\n $HOME ${index} `, String(index)];
        return await line.run(words, ` in  ${index}\\\n\n`, 30_000);
      }),
    );
    expect(results).toEqual(
      Array.from({ length: 20 }, (_, index) => ({
        ok: true,
        exitCode: index,
        stdout: ` in  ${index}\\\n\n  a 'word' \\n $HOME ${index} `,
        stderr: "wrong",
      })),
    );
    await line.close();
  });

  test("reports each change of an instance, and leaves nothing when it is closed", async () => {
    const { line, talks } = openHere(shell);
    const place = makeInstance();
    let changes = 0;
    const watch = line.watch({ cookie, directory: place }, () => {
      changes += 1;
    });
    await line.run(["true"], "", 10_000);
    await until("what is there is reported", () => changes === 1);
    const files = ["minder/started", "minder/exit.json", "opt/etc/job-done.json"];
    for (const [index, file] of files.entries()) {
      writeFileSync(join(place, file), "");
      await until(`${file} is reported`, () => changes === index + 2);
    }
    rmSync(place, { recursive: true });
    await until("its removal is reported", () => changes === 5);
    watch.close();
    await line.close();
    await talks[0]?.ended;
    await until("nothing of it runs", () => processesNaming(directory).length === 0);
    expect(changes).toBe(5);
  });

  test("reports that an instance's first process is gone", async () => {
    const { line } = openHere(shell);
    const place = makeInstance();
    const first = Bun.spawn(["sleep", "600"], { stdin: "ignore" });
    writeFileSync(join(place, "minder/identity.json"), `{"boot_id":"x","pid":${first.pid},"cookie":"c"}\n`);
    writeFileSync(join(place, "minder/started"), "");
    let changes = 0;
    line.watch({ cookie, directory: place }, () => {
      changes += 1;
    });
    await line.run(["true"], "", 10_000);
    await until("what is there is reported", () => changes === 1);
    first.kill("SIGKILL");
    await until("its end is reported", () => changes === 2);
    await line.close();
  });

  test("ends by itself if no sign of life ever comes", async () => {
    const lines: string[] = [];
    const talk = processes.talk({
      argv: [...shell, "-c", lineScript.replace("nap 240", "nap 1"), "sh", "f00d"],
      env: { PATH: process.env["PATH"] ?? "", LINE: directory },
      onLine: (line) => lines.push(line),
      maxLineBytes: 65_536,
    });
    try {
      let isOver = false;
      void talk.ended.then(() => (isOver = true));
      await until("it ends", () => isOver);
      expect(lines).toEqual(["f00d ready"]);
      await until("nothing of it runs", () => processesNaming(directory).length === 0);
    } finally {
      talk.end();
    }
  });

  test("leaves nothing even if it is closed right after a sign of life", async () => {
    for (let round = 0; round < 10; round += 1) {
      await processes.run({
        argv: [...shell, "-c", lineScript, "sh", "f00d"],
        stdin: "live\n".repeat(3),
        env: { PATH: process.env["PATH"] ?? "", LINE: directory },
        timeoutMs: 20_000,
        maxBytes: 65_536,
      });
    }
    await until("nothing of it runs", () => processesNaming(directory).length === 0);
  });

  test("is not blocked by a pipe in the place of an instance's record", async () => {
    const { line } = openHere(shell);
    const place = makeInstance();
    expect(Bun.spawnSync(["mkfifo", join(place, "minder/identity.json")]).success).toBe(true);
    let changes = 0;
    line.watch({ cookie, directory: place }, () => {
      changes += 1;
    });
    expect(await line.run(["echo", "there"], "", 10_000)).toMatchObject({ ok: true, stdout: "there\n" });
    await until("what is there is reported", () => changes === 1);
    await line.close();
  });

  test("does not run a command that was cut short", async () => {
    const { talks, line, marks } = openHere(shell);
    await line.run(["true"], "", 10_000);
    const [talk] = talks;
    talk?.say(`run 900 3 1\ntouch\n${directory}/a\n${directory}/b\n`);
    talk?.end();
    await talk?.ended;
    const cut = processes.run({
      argv: [...shell, "-c", lineScript, "sh", marks[0] ?? ""],
      stdin: `run 1 2 0\ntouch\n${directory}/whole\nrun 2 2 0\ntouch`,
      env: { PATH: process.env["PATH"] ?? "", LINE: directory },
      timeoutMs: 20_000,
      maxBytes: 65_536,
    });
    expect((await cut).ok).toBe(true);
    await until("the whole one is done", async () => await Bun.file(join(directory, "whole")).exists());
    expect(await Bun.file(join(directory, "a")).exists()).toBe(false);
    await until("nothing of it runs", () => processesNaming(directory).length === 0);
  });
});

/** A simulated far end: the test says what it prints. */
function openSimulated(
  on: Clock = clock,
  watching = 0,
  explain = (): Promise<string> => Promise.resolve("the connection was lost"),
): {
  line: Line;
  said: string[];
  print(...lines: string[]): void;
  sessions(): number;
} {
  const said: string[] = [];
  let current = { mark: "", onLine: (_line: string): void => undefined };
  let sessions = 0;
  const line = openLine({
    clock: on,
    random,
    pace: { watching },
    begin: (mark, onLine) => {
      sessions += 1;
      current = { mark, onLine };
      let end: (word: { said: string }) => void = () => undefined;
      const ended = new Promise<{ said: string }>((resolve) => {
        end = resolve;
      });
      queueMicrotask(() => onLine(`${mark} ready`));
      return { say: (text) => void said.push(text), end: () => end({ said: "" }), ended };
    },
    explain,
  });
  return {
    line,
    said,
    print: (...lines) => {
      for (const each of lines) current.onLine(each.replaceAll("MARK", current.mark));
    },
    sessions: () => sessions,
  };
}

const requests = (said: string[]): string[] => said.filter((text) => text.startsWith("run "));

test.each([
  ["lost", ["MARK out 1 1 a", "MARK out 1 3 exit 0", "MARK end out 1 3"]],
  ["repeated", ["MARK out 1 1 a", "MARK out 1 1 a", "MARK out 1 2 exit 0", "MARK end out 1 2"]],
  ["torn", ["MARK out 1 1 aMARK out 1 2 b", "MARK out 1 3 exit 0", "MARK end out 1 3"]],
  ["in another order", ["MARK out 1 2 b", "MARK out 1 1 a", "MARK out 1 3 exit 0", "MARK end out 1 3"]],
  ["after the last", ["MARK out 1 1 exit 0", "MARK out 1 2 a", "MARK end out 1 2"]],
])("an answer with a line that is %s is refused", async (_, lines) => {
  const { line, said, print } = openSimulated();
  const result = line.run(["true"], "", 10_000);
  await until("it is asked", () => requests(said).length === 1);
  print(...lines, "MARK end err 1 0");
  expect(await result).toEqual({ ok: false, reason: "the answer was cut short" });
  await line.close();
});

test("F54 noise, other marks, unknown words, late answers and a flood change nothing", async () => {
  const { line, said, print } = openSimulated();
  let changes = 0;
  line.watch({ cookie, directory: "/x" }, () => {
    changes += 1;
  });
  const result = line.run(["true"], "", 10_000);
  await until("it is asked", () => requests(said).length === 1);
  const noise = [
    "",
    "motd",
    "MARK",
    "MARKx ready",
    "MARK out",
    "MARK end out",
    "MARK event other done",
    "MARK tick x",
  ];
  for (let round = 0; round < 5000; round += 1) print(...noise, "MARK out 99 1 late", "MARK end out 99 1");
  print("MARK out 1 1 exit 0", "MARK end err 1 0", "MARK end out 1 1");
  expect(await result).toEqual({ ok: true, exitCode: 0, stdout: "", stderr: "" });
  expect(changes).toBe(0);
  await line.close();
});

test("an answer without an end fails when it is too long", async () => {
  const { line, said, print } = openSimulated();
  const result = line.run(["yes"], "", 60_000);
  await until("it is asked", () => requests(said).length === 1);
  for (let number = 1; number <= 70; number += 1) print(`MARK out 1 ${number} ${"y".repeat(65_536)}`);
  expect(await result).toEqual({ ok: false, reason: "the answer is too long" });
  await line.close();
});

test("what was asked is without an answer when the line is lost, each instance is hinted at, and the next command opens another", async () => {
  const { line, said, sessions } = openSimulated();
  const hints: string[] = [];
  line.watch({ cookie: "one", directory: "/1" }, () => void hints.push("one"));
  line.watch({ cookie: "two", directory: "/2" }, () => void hints.push("two"));
  const result = line.run(["true"], "", 10_000);
  await until("it is asked", () => requests(said).length === 1);
  await line.close();
  expect(await result).toEqual({ ok: false, reason: "the connection was lost" });
  await until("both are hinted at", () => hints.length === 2);
  void line.run(["true"], "", 10_000);
  await until(
    "the other line watches both",
    () => said.filter((text) => text.startsWith("watch ")).length === 4,
  );
  expect(sessions()).toBe(2);
  await line.close();
});

test("F48 a line that watches but gets no answer to its ticks ends within 45 s, and holds back unread input", async () => {
  const settable = createSettableClock();
  const { line, said, sessions } = openSimulated(settable);
  let hints = 0;
  line.watch({ cookie, directory: "/x" }, () => {
    hints += 1;
  });
  void line.run(["true"], "", 3_600_000);
  await settable.advance(44_000);
  expect(hints).toBe(0);
  expect(said.filter((text) => text.startsWith("tick ")).length).toBe(100);
  await settable.advance(2_000);
  await until("it is hinted at", () => hints === 1);
  expect(sessions()).toBe(1);
});

/** Answers the ticks up to the last one that the far end answers, which is each tenth. */
function answerTicks({ said, print }: ReturnType<typeof openSimulated>): void {
  const ticks = said.filter((text) => /^tick \d*0\n$/.test(text));
  print(`MARK ${ticks.at(-1)?.trim()}`);
}

test("a line that has watched nothing for a while goes on when it watches again", async () => {
  const settable = createSettableClock();
  const simulated = openSimulated(settable);
  const { line, said, sessions } = simulated;
  void line.run(["true"], "", 3_600_000);
  let hints = 0;
  for (let round = 0; round < 3; round += 1) {
    const watch = line.watch({ cookie, directory: "/x" }, () => {
      hints += 1;
    });
    await settable.advance(1_550);
    answerTicks(simulated);
    watch.close();
    await settable.advance(50_000);
  }
  const before = said.length;
  line.watch({ cookie, directory: "/x" }, () => {
    hints += 1;
  });
  await settable.advance(1_000);
  expect(said.length).toBeGreaterThan(before + 5);
  expect({ hints, sessions: sessions() }).toEqual({ hints: 0, sessions: 1 });
  await line.close();
});

test("a line that stood still for half a minute looks for changes again when it moves on", async () => {
  const settable = createSettableClock();
  const simulated = openSimulated(settable);
  const { line, said } = simulated;
  let hints = 0;
  line.watch({ cookie, directory: "/x" }, () => {
    hints += 1;
  });
  void line.run(["true"], "", 3_600_000);
  await settable.advance(30_000);
  answerTicks(simulated);
  const before = said.length;
  for (let second = 0; second < 60; second += 1) {
    await settable.advance(1_000);
    answerTicks(simulated);
  }
  expect(said.length).toBeGreaterThan(before + 500);
  expect(hints).toBe(0);
  await line.close();
});

test("a line whose ticks are answered stays open, and sends the far end a sign of life each minute", async () => {
  const settable = createSettableClock();
  const { line, said, print } = openSimulated(settable);
  line.watch({ cookie, directory: "/x" }, () => undefined);
  void line.run(["true"], "", 3_600_000);
  for (let tick = 0; tick < 12; tick += 1) {
    await settable.advance(10_000);
    print(
      `MARK ${said
        .filter((text) => text.startsWith("tick "))
        .at(-1)
        ?.trim()}`,
    );
  }
  expect(said.filter((text) => text === "live\n").length).toBe(2);
  expect(said.filter((text) => text.startsWith("tick ")).length).toBeGreaterThan(1000);
  await line.close();
});

test("one of 1,200 lines that watch stays open while its far end answers", async () => {
  const settable = createSettableClock();
  const simulated = openSimulated(settable, 1199);
  let hints = 0;
  simulated.line.watch({ cookie, directory: "/x" }, () => {
    hints += 1;
  });
  void simulated.line.run(["true"], "", 3_600_000);
  for (let second = 0; second < 300; second += 1) {
    await settable.advance(1_000);
    answerTicks(simulated);
  }
  expect(hints).toBe(0);
  const looks = simulated.said.filter((text) => text.startsWith("tick ")).length;
  expect(looks).toBeGreaterThan(45);
  expect(looks).toBeLessThan(55);
  await simulated.line.close();
});

test("one of a thousand lines is not lost to a command that takes too long while its far end answers", async () => {
  const settable = createSettableClock();
  const simulated = openSimulated(settable, 999);
  const { line } = simulated;
  line.watch({ cookie, directory: "/x" }, () => undefined);
  const other = line.run(["true"], "", 3_600_000);
  await settable.advance(10);
  const slow = line.run(["true"], "", 30_000);
  for (let second = 0; second < 31; second += 1) {
    await settable.advance(1_000);
    answerTicks(simulated);
  }
  expect(await slow).toEqual({ ok: false, reason: "no answer within 30 s" });
  simulated.print("MARK out 1 1 exit 0", "MARK end out 1 1", "MARK end err 1 0");
  expect(await other).toEqual({ ok: true, exitCode: 0, stdout: "", stderr: "" });
  await line.close();
});

test("a command that comes while a lost line is looked into waits, and opens the next line when that is done", async () => {
  const { promise, resolve } = Promise.withResolvers<string>();
  const { line, said, sessions } = openSimulated(clock, 1, () => promise);
  const first = line.run(["first"], "", 10_000);
  await until("it is asked", () => requests(said).length === 1);
  await line.close();
  const second = line.run(["second"], "", 10_000);
  await Promise.resolve();
  expect(sessions()).toBe(1);
  resolve("it was lost");
  expect(await first).toEqual({ ok: false, reason: "it was lost" });
  await until("the second is asked", () => requests(said).length === 2);
  expect(sessions()).toBe(2);
  await line.close();
  expect(await second).toEqual({ ok: false, reason: "it was lost" });
});
