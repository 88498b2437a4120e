/** silence_timeout, end to end: silence means that the job printed nothing, whichever agent runs it and wherever. */
import { afterAll, describe as describeAny, expect, test } from "bun:test";
import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import {
  openLab as openMinderLab,
  describe,
  test as minderTest,
  readText,
  shellPaths,
  until,
} from "./minder-lab.ts";
import { type Lab, openLab } from "../../lab/lab.ts";
import type { MinderView } from "../../../lib/hosts/minder/minder-answer.ts";
import { openStage } from "../../daemon/stage.ts";
import { configOf, testbedOf } from "../../policy/scenes.ts";
import { drained, openSshLab } from "../../lab/ssh-lab.ts";

const bed = ['silence_timeout = "2s"'];
const ways: Record<string, () => Promise<Lab>> = {
  "the built-in agent": () => openLab({ agent: "builtin", testbeds: { "bed-1": bed } }),
  "another agent": () => openLab({ agent: "stub", testbeds: { "bed-1": bed } }),
  "an agent behind ssh": () => openSshLab({ bed }),
};

describeAny.each(Object.entries(ways))("a job of %s", (_, open) => {
  test.concurrent("that prints is not ended, and one that prints nothing is", async () => {
    await using it = await open();
    const factory = it.start();
    // Longer than the limit, in pieces that are shorter.
    const talks = "for i in 1 2 3 4 5 6 7; do echo $i; sleep 0.7; done";
    const talkative = await it.submit(talks, { name: "talkative" });
    expect((await it.ended(talkative)).state).toBe("completed");
    expect(await it.said(talkative, "stdout")).toHaveLength(7);
    const silent = await it.submit("echo begun; while sleep 0.2; do :; done", { name: "silent" });
    expect((await it.ended(silent)).state).toBe("failed");
    expect(await it.said(silent, "stdout")).toEqual(["begun"]);
    const reason = (await it.said(silent, "worker")).join("\n");
    const [, seconds] = /the job printed nothing for (\d+) s \(silence_timeout is 2 s\)/.exec(reason) ?? [];
    expect(Number(seconds)).toBeGreaterThanOrEqual(2);
    await drained(factory);
  });
});

let looks = 0;
const outputs: [string, () => string | null, boolean][] = [
  ["the same number at each look", () => "7", true],
  ["another number at each look", () => String((looks += 1)), false],
  ["that the agent itself works", () => "own", false],
  ["that it is unknown", () => null, false],
];
test.each(outputs)("look() that says %s", async (_, output, isEnded) => {
  await using stage = openStage({ config: configOf([testbedOf({ silenceTimeoutMs: 20_000 })]) });
  stage.fate = (call) => {
    if (!call.startsWith("look ") || stage.agents.get("a_1") !== "alive") return undefined;
    const view: MinderView = {
      directory: "",
      state: "alive",
      reason: null,
      went: true,
      process: "alive",
      minder: "alive",
      hasJob: true,
      exit: null,
      logBytes: 0,
      output: output(),
    };
    return [view];
  };
  stage.queue.push("job-1");
  await stage.runUntil(() => stage.instance()?.phase === "running");
  await stage.run(19_000);
  expect(stage.count(/^stop a_1/)).toBe(0);
  await stage.run(30_000);
  expect(stage.count(/^append .*the job printed nothing for \d+ s/)).toBe(isEnded ? 1 : 0);
  expect(stage.count(/^stop a_1/) > 0).toBe(isEnded);
});

const shells = mkdtempSync(`${tmpdir()}/silence-`);
// A program that goes by its name.
symlinkSync("/bin/busybox", `${shells}/sh`);
afterAll(() => rmSync(shells, { recursive: true }));
const cases = shellPaths.flatMap((path) =>
  (["auto", "off"] as const).map((isolate) => [path, isolate] as const),
);

describe.each(cases)("look() with %s, isolation %s", (path, isolate) => {
  minderTest(
    "finds by the processes of another agent's job whether it prints, if it is asked to",
    async () => {
      const lab = openMinderLab({ shell: path === "/bin/busybox" ? `${shells}/sh` : path });
      // The agent itself writes all the time; its task when the test says so, in a process that ends at once.
      const task =
        'while sleep 0.05; do [ ! -e "$0" ] || { rm "$0"; (echo said >/dev/null); echo x >>"$0.done"; }; done';
      const agent = lab.agent(
        `while [ ! -e "$HOME/begin" ]; do echo; sleep 0.02; done
       bash -c '${task}' "$HOME/print" & while :; do echo; sleep 0.02; done`,
      );
      const spec = lab.spec({ agent: [agent], isolate, usesHost: false, isOutputWatched: true });
      const other = lab.spec({ agent: [agent], isolate, usesHost: false, seq: 2, testbed: "other" });
      const output = async ({ directory } = spec): Promise<string | null | undefined> =>
        (await lab.minder.look([directory]))[0]?.output;
      for (const each of [spec, other]) {
        await lab.minder.arm(each);
        await lab.minder.go({ directory: each.directory, worker: "W", agentJson: "{}" });
        await until(() => readText(`${each.directory}/agent.log`).length > 3);
      }
      const home = `${spec.directory}/home`;
      await Bun.write(`${home}/begin`, "");
      await until(async () => /^\d+$/.test((await output()) ?? ""));
      const before = await output();
      await until(() => readText(`${spec.directory}/agent.log`).length > 40);
      expect(await output()).toBe(before);
      await Bun.write(`${home}/print`, "");
      await until(() => readText(`${home}/print.done`) === "x\n");
      await until(async () => (await output()) !== before);
      expect(await output(other)).toBe(null);
      // The built-in agent says it itself.
      await Bun.write(`${spec.directory}/opt/run/printed`, "own\n");
      expect(await output()).toBe("own");
      await Bun.write(`${spec.directory}/opt/run/printed`, "17\n");
      expect(await output()).toBe("17");
      // Also unasked: it costs nothing.
      await Bun.write(`${other.directory}/opt/run/printed`, "17\n");
      expect(await output(other)).toBe("17");
      const name = async (nameless: string[]): Promise<unknown[]> =>
        (await lab.minder.look([other.directory, spec.directory], new Set(nameless))).map(
          ({ state, jobName }) => [state, jobName],
        );
      expect(await name([spec.directory])).toEqual([
        ["alive", undefined],
        ["alive", undefined],
      ]);
      for (const each of [spec, other]) {
        const record = {
          poweroff: false,
          job: { id: "J", name: `a "${each.testbed}"`, tasks: [{ name: "t" }] },
        };
        await Bun.write(`${each.directory}/opt/etc/job.json`, JSON.stringify(record, null, 2));
      }
      expect(await name([])).toEqual([
        ["alive", undefined],
        ["alive", undefined],
      ]);
      expect(await name([spec.directory])).toEqual([
        ["alive", undefined],
        ["alive", 'a "board"'],
      ]);
      expect(await name([spec.directory, other.directory])).toEqual([
        ["alive", 'a "other"'],
        ["alive", 'a "board"'],
      ]);
      for (const { directory } of [spec, other]) await lab.minder.stop(directory, { graceMs: 0 });
      await lab.close();
    },
  );
});
