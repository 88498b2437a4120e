/** What a configuration that was read anew changes: its lines for people, what stays the same object, and what waits for the next start. */
import { expect, test } from "bun:test";
import { isMoved, replaceConfig } from "../../lib/config/changes.ts";
import type { Config } from "../../lib/config/config.ts";
import { Secret } from "../../lib/words/secret.ts";
import { configOf, testbedOf } from "../policy/scenes.ts";

const gimlet = testbedOf({ name: "gimlet-1" });
const psc = testbedOf({ name: "psc-1", spType: "psc" });
const before = configOf([gimlet, psc]);

function linesOf(after: Config, busy: string[] = []): string[] {
  return replaceConfig(before, after, (name) => busy.includes(name)).changes.map(({ line }) => line);
}

test("each testbed that changed has one line, with the keys as the file has them", () => {
  const after = configOf([
    { ...gimlet, jobTimeoutMs: 7_200_000, check: "ping -c1 bed" },
    testbedOf({ name: "gimlet-2" }),
  ]);
  expect(linesOf(after, ["psc-1"])).toEqual([
    'gimlet-1: job_timeout none -> 2h, check none -> "ping -c1 bed"',
    "gimlet-2: added",
    "psc-1: removed; its job runs on",
  ]);
});

test("a disabled or moved testbed with a job says that the job runs on; a note does not", () => {
  const after = configOf([
    { ...gimlet, enabled: false },
    { ...psc, host: "lab-2" },
  ]);
  expect(linesOf(after, ["gimlet-1", "psc-1"])).toEqual([
    "gimlet-1: enabled true -> false; its job runs on",
    "psc-1: host none -> lab-2; its job runs on",
  ]);
  expect(linesOf(configOf([{ ...gimlet, note: "loud fan" }, psc]), ["gimlet-1"])).toEqual([
    'gimlet-1: note "" -> "loud fan"',
  ]);
});

test("no secret is in a line: a token, and a value for agents", () => {
  const after: Config = {
    ...before,
    token: new Secret("hush-1"),
    general: {
      ...before.general,
      agentEnvironment: { HTTPS_PROXY: "http://u:hush-2@p" },
      pollIntervalMs: 90_000,
    },
  };
  const lines = linesOf(after);
  expect(lines).toEqual([
    "general.poll_interval 1s -> 90s",
    "general.agent_environment none -> HTTPS_PROXY",
    "factory.token changed",
  ]);
  const other = {
    ...after,
    general: { ...after.general, agentEnvironment: { HTTPS_PROXY: "http://u:hush-3@p" } },
  };
  expect(replaceConfig(after, other, () => false).changes.map(({ line }) => line)).toEqual([
    "general.agent_environment changed",
  ]);
});

test("targets and updates have their lines", () => {
  const [first, ...others] = before.targets;
  const id = "01HGYSTRYRBS0DG7J6E22ZS3M7";
  const after: Config = {
    ...before,
    targets: [{ name: "sp-gimlet", id }, { name: "new one", id: null }, ...others.slice(1)],
    update: { ...before.update, mode: "auto", window: { fromMinute: 120, toMinute: 605 } },
  };
  expect(linesOf(after)).toEqual([
    "update.mode off -> auto",
    "update.window none -> 02:00-10:05",
    `target.sp-gimlet: id ${first?.id} -> ${id}`,
    'target."new one": added',
    "target.sp-sidecar: removed",
  ]);
});

test("what runs is by the server's address, the work directory and elevation: they wait for the next start", () => {
  const general = {
    ...before.general,
    baseurl: "http://other",
    workDir: "/srv/work",
    elevate: true,
    elevateElsewhere: true,
  };
  const { config, changes, later } = replaceConfig(before, { ...before, general }, () => false);
  expect(changes).toEqual([]);
  expect(config).toBe(before);
  expect(later).toEqual([
    "general.baseurl changes with the next start",
    "general.work_dir changes with the next start",
    "general.use_privilege_elevation changes with the next start",
  ]);
});

test("sections that did not change stay the same objects, and with them the whole configuration", () => {
  const read = configOf([structuredClone(psc), { ...gimlet, note: "x" }]);
  const { config } = replaceConfig(before, read, () => false);
  expect(config.testbeds[0]).toBe(psc);
  expect(config.testbeds[1]).not.toBe(gimlet);
  expect(
    replaceConfig(before, structuredClone({ ...before, token: null }) && { ...before }, () => false).config,
  ).toBe(before);
});

test("a testbed has moved if where or how its jobs run differs, not by a note, a limit or a target", () => {
  expect(isMoved(gimlet, { ...gimlet, note: "x", targets: ["a"], jobTimeoutMs: 1, enabled: false })).toBe(
    false,
  );
  expect(isMoved(gimlet, { ...gimlet, hostKey: "ssh-ed25519 AAAA" })).toBe(true);
  expect(isMoved(gimlet, { ...gimlet, check: "true" })).toBe(true);
});

test("testbeds in another order are taken in that order, which is no change to report", () => {
  const { config, changes } = replaceConfig(before, configOf([psc, gimlet]), () => false);
  expect(config.testbeds).toEqual([psc, gimlet]);
  expect(changes).toEqual([]);
});

test("neither an address to notify nor its secret is in a line", () => {
  const notify = { ...before.notify, webhook: new Secret("https://hush-1"), secret: new Secret("hush-2") };
  expect(linesOf({ ...before, notify })).toEqual([
    "notify.webhook none -> ***",
    "notify.secret_file none -> ***",
  ]);
});
