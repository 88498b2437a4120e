import { describe, expect, test } from "bun:test";
import {
  canMove,
  directoryName,
  elapsedMs,
  instanceName,
  isOpen,
  parseInstanceName,
  type Phase,
  rustState,
} from "../../lib/words/domain.ts";
import { at, hasWorker, openPhases } from "../policy/scenes.ts";

const phases: readonly Phase[] = [...openPhases, "destroyed", "dropped"];

describe("phases", () => {
  test("are open until destroyed or dropped", () => {
    expect(phases.filter((phase) => !isOpen(phase))).toEqual(["destroyed", "dropped"]);
  });

  test("move only forward, may skip phases, and never leave an end", () => {
    for (const [index, from] of openPhases.entries()) {
      const reached = phases.filter((to) => to !== "dropped" && canMove(from, to));
      expect(reached).toEqual([...openPhases.slice(index + 1), "destroyed"]);
    }
    for (const from of ["destroyed", "dropped"] as const) {
      expect(phases.filter((to) => canMove(from, to))).toEqual([]);
    }
  });

  test("move to dropped only before there is a worker", () => {
    expect(phases.filter((from) => canMove(from, "dropped"))).toEqual(["preparing", "creating"]);
  });

  test("have a state in the Rust factory's table as soon as there is a worker", () => {
    const states = phases.map((phase) => [phase, rustState(phase)] as const);
    expect(Object.fromEntries(states)).toEqual({
      preparing: null,
      creating: null,
      created: "created",
      starting: "created",
      running: "running",
      destroying: "destroying",
      stopped: "destroying",
      destroyed: "destroyed",
      dropped: null,
    });
    for (const phase of openPhases) expect(rustState(phase) !== null).toBe(hasWorker(phase));
  });
});

describe("instance names", () => {
  test("are testbed/seq, and testbed_seq as a directory", () => {
    const instance = { testbed: "gimlet-a1", seq: 12 };
    expect(instanceName(instance)).toBe("gimlet-a1/12");
    expect(directoryName(instance)).toBe("gimlet-a1_12");
    expect(parseInstanceName("gimlet-a1/12")).toEqual(instance);
  });

  test("are read back as they were written", () => {
    for (const seq of [1, 9, 10, 999_999_999_999_999]) {
      for (const testbed of ["a", "a.b", "a_1", "1-2"]) {
        expect(parseInstanceName(instanceName({ testbed, seq }))).toEqual({ testbed, seq });
      }
    }
  });

  test("refuse any other text", () => {
    const others = [
      "",
      "a",
      "a/",
      "/1",
      "a/0",
      "a/01",
      "a/-1",
      "a/1.5",
      "a/1e3",
      "a/b/1",
      "a/1/",
      " a/1 x",
      "a/1\n",
    ];
    for (const text of [...others, `a/${"9".repeat(16)}`, "a/Infinity", "a/NaN"]) {
      expect([text, parseInstanceName(text)]).toEqual([text, null]);
    }
  });
});

describe("elapsedMs()", () => {
  test("is the difference of two uptimes of the same boot", () => {
    expect(elapsedMs(at(1000), at(4500))).toBe(3500);
    expect(elapsedMs(at(1000), at(1000))).toBe(0);
  });

  test("is unknown after a restart of the machine, whichever uptime is larger", () => {
    expect(elapsedMs(at(1000, "boot-0"), at(4500))).toBeNull();
    expect(elapsedMs(at(9000, "boot-0"), at(4500))).toBeNull();
  });
});
