import { expect, test } from "bun:test";
import { judgeTrial, longestTrialMs, type TrialLook, trialMs } from "../../lib/update/trial.ts";

const well: TrialLook = {
  ranMs: trialMs,
  unseen: [],
  unseenBefore: [],
  away: [],
  isServerDown: false,
  wasServerDown: false,
};
const judged = (changes: Partial<TrialLook>): string => judgeTrial({ ...well, ...changes }).kind;

test.each<[string, Partial<TrialLook>, string]>([
  ["all is well for two minutes", {}, "confirm"],
  ["all is well, and two minutes are not over", { ranMs: trialMs - 1 }, "go on"],
  ["an instance is not found yet", { unseen: ["a/1"] }, "go on"],
  ["an instance is never found", { unseen: ["a/1"], ranMs: longestTrialMs }, "roll back"],
  ["an instance was not found before, either", { unseen: ["a/1"], unseenBefore: ["a/1"] }, "confirm"],
  ["an instance's host is away", { unseen: ["a/1"], away: ["a/1"] }, "go on"],
  ["an instance's host stays away", { unseen: ["a/1"], away: ["a/1"], ranMs: longestTrialMs }, "confirm"],
  [
    "one host stays away, and an instance of another host is never found",
    { unseen: ["a/1", "b/1"], away: ["a/1"], ranMs: longestTrialMs },
    "roll back",
  ],
  [
    "a host and the server stay away",
    { unseen: ["a/1"], away: ["a/1"], isServerDown: true, ranMs: longestTrialMs },
    "roll back",
  ],
  ["the server does not answer yet", { isServerDown: true }, "go on"],
  ["the server never answers", { isServerDown: true, ranMs: longestTrialMs }, "roll back"],
  ["the server did not answer before, either", { isServerDown: true, wasServerDown: true }, "confirm"],
])("judgeTrial(): %s", (_, changes, expected) => {
  expect(judged(changes)).toBe(expected);
});

test("the reason of a roll-back names what is wrong", () => {
  const reasonOf = (changes: Partial<TrialLook>): unknown =>
    judgeTrial({ ...well, ranMs: longestTrialMs, ...changes });
  expect(reasonOf({ isServerDown: true })).toMatchObject({
    reason: "it does not reach the server within 10 minutes",
  });
  expect(reasonOf({ unseen: ["a/1", "b/2"] })).toMatchObject({ reason: expect.stringContaining("a/1, b/2") });
});
