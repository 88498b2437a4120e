/** What follows from the end of an instance hangs on its cause, never on the sentence that people read of it. */
import { afterEach, describe, expect, test } from "bun:test";
import { testbedMemory } from "../../lib/daemon/testbed-memory.ts";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { follow } from "../../lib/daemon/consequences.ts";
import { cannotGoOn } from "../../lib/daemon/outcome.ts";
import { plan } from "../../lib/policy/plan.ts";
import { endRules, endText } from "../../lib/policy/end-causes.ts";
import type { Worker } from "../../lib/server/factory-side.ts";
import { endCauses } from "../../lib/words/end-cause.ts";
import {
  agentViews,
  cellOf,
  configOf,
  instanceOf,
  openPhases,
  testbedOf,
  workerOf,
  workerViews,
  type Said,
} from "../policy/scenes.ts";
import { openStage } from "./stage.ts";

const texts = new Map(endCauses.map((cause) => [cause, endRules[cause].text]));

function restoreTexts(): void {
  for (const [cause, text] of texts) endRules[cause].text = text;
}
afterEach(restoreTexts);

function changeTexts(): void {
  for (const [index, cause] of endCauses.entries()) endRules[cause].text = () => `text ${index}`;
}

const workers: (Worker | null)[] = [
  null,
  workerOf(),
  workerOf({ online: true }),
  workerOf({ online: true, recycle: true }),
];

const config = configOf(endCauses.map((_, index) => testbedOf({ name: `bed-${index}` })));

/** Lets one instance for each cause end by it; `worker` is what the server says of each, `over` what each instance is. */
async function endEach(over: Said, worker: Worker | null): Promise<unknown[]> {
  const rows = config.testbeds.map(({ name }) => instanceOf({ testbed: name, ...over }));
  await using it = openStage({ config, rows });
  const { known } = it.factory;
  for (const { name } of config.testbeds) {
    testbedMemory(known, name).rest = { count: 1, untilMs: 0, reason: "" };
    const id = `worker-${name}`;
    if (worker !== null) it.workers.set(id, { ...worker, id, private: `${name}/7` });
  }
  const ending = Promise.all(
    endCauses.map((cause, index) => follow(it.factory, rows[index]!, cannotGoOn(cause))),
  );
  await it.clock.advance(100);
  const outcomes = await ending;
  const latest = new Map(it.store.latest().map((instance) => [instance.testbed, instance]));
  return endCauses.map((cause, index) => {
    const { name = "" } = config.testbeds[index] ?? {};
    const { phase, endCause, untold } = latest.get(name) ?? {};
    const tried = known.leases.filter(({ job }) => job === `job-${name}`).map((lease) => lease.tried);
    const { health, rest } = testbedMemory(known, name);
    const seen = { outcome: outcomes[index], phase, endCause, isTold: typeof untold === "string", tried };
    return { cause, ...seen, strikes: health?.strikes, ...rest, reason: null };
  });
}

describe("with each text of an end changed", () => {
  test("the same follows from an end that is decided", async () => {
    for (const worker of workers) {
      for (const isOnline of [false, true]) {
        const before = await endEach({ isOnline }, worker);
        expect(
          new Set(before.map((each) => JSON.stringify({ ...(each as object), cause: 0, endCause: 0 }))).size,
        ).toBeGreaterThan(1);
        changeTexts();
        expect(await endEach({ isOnline }, worker)).toEqual(before);
        restoreTexts();
      }
    }
  });

  test("the same becomes of a leased job that has no worker", async () => {
    const before = await endEach({ phase: "preparing" }, null);
    changeTexts();
    expect(await endEach({ phase: "preparing" }, null)).toEqual(before);
  });

  test("the plan is the same", () => {
    const plans = (): unknown[] =>
      openPhases.flatMap((phase) =>
        workerViews.flatMap((worker) => agentViews.map((agent) => plan(cellOf(phase, worker, agent)))),
      );
    const before = plans();
    changeTexts();
    expect(plans()).toEqual(before);
  });
});

test("no two causes have one text, so that people can tell them apart", () => {
  expect(new Set(endCauses.map((cause) => endText({ cause, detail: "why" }))).size).toBe(endCauses.length);
});

describe("no file of policy/ and daemon/ compares what people read", () => {
  const root = join(import.meta.dir, "../..");
  const name = String.raw`\b(?:\w*[rR]eason|\w*[mM]essage|\w*[tT]ext|untold|why|said|detail)\b(?:\([^()]*\)|\)|\?)?`;
  const literal = String.raw`["'\x60](?!["'\x60])`;
  const comparison = new RegExp(
    `${name}\\s*[!=]==\\s*${literal}|${literal}[^"'\`\\n]*["'\`]\\s*[!=]==\\s*${name}|${name}\\??\\.(?:includes|startsWith|endsWith|match|search)\\(|\\.test\\(\\w*\\.?${name}\\)`,
    "g",
  );
  /** They read what another program wrote, or only show. */
  const meant: Record<string, string[]> = {
    // Shows the status, unless the server's text already does.
    "lib/daemon/outcome.ts": ["message.includes("],
    // Whether a directory of the Rust factory's is this instance's: its agent's file holds the bootstrap.
    "lib/daemon/rust-instances.ts": ["text.includes("],
  };

  test.each([
    ['if (reason === "the worker is gone") return;', true],
    ["if (outcome.reason.startsWith(neverOnline)) return;", true],
    ["if (/gone/.test(answer.message)) return;", true],
    ['if (instance.endReason !== "the job is done") return;', true],
    ['if (endText(end) === "the job is done") return;', true],
    ['if (end.cause === "job done") return;', false],
    ['if (untold !== null && text !== "") return;', false],
  ])("which this test would see: %s", (line, isSeen) => {
    expect(line.match(comparison) !== null).toBe(isSeen);
  });

  test("and none does", () => {
    const found = [...new Bun.Glob("lib/{policy,daemon}/*.ts").scanSync({ cwd: root })].flatMap((path) => {
      const breaches = readFileSync(join(root, path), "utf8").match(comparison) ?? [];
      return breaches
        .filter((each) => meant[path]?.includes(each) !== true)
        .map((each) => `${path}: ${each}`);
    });
    expect(found).toEqual([]);
  });
});
