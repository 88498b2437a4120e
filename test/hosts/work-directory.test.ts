/** How much room a work directory must have, and who says so: `check` of this host and of a host behind ssh are one judge. */
import { expect, test } from "bun:test";
import type { Facts } from "../../lib/commands/check/facts.ts";
import { judgeFreeSpace } from "../../lib/commands/check/judge-places.ts";
import { faultThere, remarksOn } from "../../lib/hosts/ssh/judge-survey.ts";
import type { Survey } from "../../lib/hosts/ssh/survey.ts";
import { judgeRoom } from "../../lib/hosts/work-directory.ts";
import { testbedOf } from "../policy/scenes.ts";

const mib = 1024 ** 2;

test.each([
  [64 * mib - 1, "too little"],
  [64 * mib, "little"],
  [1024 * mib - 1, "little"],
  [1024 * mib, "enough"],
] as const)("%d bytes free are judged alike on this host and behind ssh", (bytes, is) => {
  expect(judgeRoom(bytes, "/w", "general.work_dir").is).toBe(is);
  const [here] = judgeFreeSpace({
    freeBytes: { ok: true, value: bytes },
    workDirectory: { ok: true, value: { path: "/w" } },
  } as Facts);
  const levels = { "too little": "error", little: "warning", enough: "ok" } as const;
  expect(here?.severity).toBe(levels[is]);
  const survey = { place: null, freeBytes: bytes, workDirectory: "/w", hasBash: true } as Survey;
  const fault = faultThere(testbedOf(), survey);
  const remarks = remarksOn(testbedOf(), survey);
  expect([fault !== null, remarks.length]).toEqual([is === "too little", is === "little" ? 1 : 0]);
  expect(fault ?? remarks[0] ?? here?.message).toStartWith(here?.message ?? "nothing");
});
