/** The agent's files, and what other programs rely on in them. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AgentError, openBase } from "../../lib/agent/agent-files.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "base-"));
  mkdirSync(join(directory, "etc"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

test("the record of a hardware test can be read by the factory's user, and is replaced whole", () => {
  const base = openBase({ directory, home: directory });
  expect(base.readRunnerRecord()).toBeNull();
  const before = process.umask(0o077);
  try {
    base.recordRunner({ phase: "submitting" });
    base.recordRunner({ phase: "submitted", job: "J" });
  } finally {
    process.umask(before);
  }
  expect(statSync(join(directory, "etc/sp-runner.json")).mode & 0o777).toBe(0o644);
  expect(JSON.parse(base.readRunnerRecord() ?? "")).toEqual({ phase: "submitted", job: "J" });
  expect(readdirSync(join(directory, "etc"))).toEqual(["sp-runner.json"]);
});

test("a testbed.json that cannot be read is not taken for one that is not there", () => {
  const base = openBase({ directory, home: directory });
  expect(base.readTestbed()).toBeNull();
  mkdirSync(join(directory, "testbed.json"));
  expect(() => base.readTestbed()).toThrow(AgentError);
});

test("a job is on record from its start until it is done", () => {
  const base = openBase({ directory, home: directory });
  expect(base.readOpenJob()).toBeNull();
  base.recordJob({ job: { id: "J" } });
  expect(JSON.parse(base.readOpenJob() ?? "")).toEqual({ job: { id: "J" } });
  expect(() => base.recordJob({})).toThrow(AgentError);
  base.recordJobDone();
  expect(base.readOpenJob()).toBeNull();
  writeFileSync(join(directory, "etc/job.json"), "{");
  expect(base.readOpenJob()).toBe("{");
});
