import { describe, expect, test } from "bun:test";
import { isRefusedToday, isSpRunnerLine, readRecording, recordingNames } from "../lab/recording.ts";
import { replay } from "./replay.ts";

/** How many lines each recording has for the server: none may be left out unseen. */
const lineCounts: Record<string, number> = {
  "a-success.jsonl": 73,
  "b-script-fails.jsonl": 25,
  "c-cancel.jsonl": 47,
  "d-recycle.jsonl": 39,
  "e-hold.jsonl": 48,
  // One more appends to a stream whose name the main line refuses.
  "f-errors.jsonl": 170,
  "g-sp-test-two-jobs.jsonl": 86,
  "h-create-with-job.jsonl": 24,
  "i-diagnostics.jsonl": 39,
  "j-stale-job-file.jsonl": 24,
  // Four more are between the factory and sp-runner.
  "k-sp-test-http-mode.jsonl": 23,
};

describe("devserver: answers every recorded line as the real server did", () => {
  test("of every recording there is", () => {
    expect(recordingNames.toSorted()).toEqual(Object.keys(lineCounts));
  });

  test.each(Object.entries(lineCounts))("%s, all %d lines", async (name, count) => {
    const lines = readRecording(name).filter((line) => !isSpRunnerLine(line) && !isRefusedToday(line));
    const { replayed, differences } = await replay(lines);
    expect(differences).toEqual([]);
    expect(replayed).toBe(count);
  });
});
