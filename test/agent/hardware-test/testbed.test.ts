import { expect, test } from "bun:test";
import { readRunner } from "../../../lib/agent/hardware-test/testbed.ts";

const known = {
  testbed: "b",
  sp_runner_url: "u",
  input_dir: "/w/input",
  output_dir: "/w/work",
  test_type: "t",
  baseline: "v",
  disable_watchdog: false,
};

test("a testbed with a service is known by testbed.json", () => {
  expect(readRunner(JSON.stringify({ ...known, more: 1 }))).toEqual(known);
  expect(readRunner(JSON.stringify({ testbed: "b" }))).toBeNull();
  expect(readRunner(null)).toBeNull();
});

test.each([
  "",
  "{",
  "null",
  "[]",
  JSON.stringify({ sp_runner_url: "u" }),
  JSON.stringify({ ...known, sp_runner_url: null }),
  JSON.stringify({ ...known, output_dir: "work" }),
])("a testbed.json that is %s is not taken for a testbed without a service", (text) => {
  expect(() => readRunner(text)).toThrow("Cannot read testbed.json: ");
});
