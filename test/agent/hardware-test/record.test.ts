import { expect, test } from "bun:test";
import { parseRecord, type RunnerRecord } from "../../../lib/agent/hardware-test/record.ts";

test("parseRecord() reads what was recorded", () => {
  const records: RunnerRecord[] = [
    { phase: "submitting" },
    { phase: "submitted", job: "J", isAdopted: true },
    { phase: "ended", verdict: { isGood: true, files: ["f"] }, lines: ["passed"] },
  ];
  for (const record of records) expect(parseRecord(JSON.stringify(record))).toEqual(record);
  expect(parseRecord(null)).toBeNull();
});

test.each(["", "{", "{}", '{"phase":"submitted"}'])(
  "parseRecord() takes what it cannot read, %j, for a submission of which nothing more is known",
  (text) => {
    expect(parseRecord(text)).toEqual({ phase: "submitting" });
  },
);
