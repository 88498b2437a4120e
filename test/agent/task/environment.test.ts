import { expect, test } from "bun:test";
import { taskEnvironment } from "../../../lib/agent/task/environment.ts";
import type { Task } from "../../../lib/server/worker-side.ts";

const task = (more: Partial<Task> = {}): Task => ({
  id: 2,
  name: "t",
  script: "",
  env_clear: false,
  env: {},
  uid: 0,
  gid: 0,
  workdir: "/",
  ...more,
});
const surroundings = {
  env: {
    BUILDOMAT_NONROOT: "1",
    HOME: "/home/x",
    USER: "robot",
    BUN_INSTALL: "/b",
    TOKEN: "secret",
    PATH: "/evil",
    TZ: "CET",
  },
  base: "/base/opt",
  testbed: null,
  hasLocale: () => true,
};

test("a task's environment is what is documented, and nothing of the agent's own", () => {
  expect(taskEnvironment(task(), "J", surroundings)).toEqual({
    HOME: "/home/x",
    USER: "robot",
    LOGNAME: "robot",
    TZ: "UTC",
    PATH: "/base/opt/bin:/usr/bin:/bin:/usr/sbin:/sbin:/opt/ooce/bin:/opt/ooce/sbin",
    LANG: "en_US.UTF-8",
    LC_ALL: "en_US.UTF-8",
    BUILDOMAT_JOB_ID: "J",
    BUILDOMAT_TASK_ID: "2",
    BUILDOMAT_OPT: "/base/opt",
    BUILDOMAT_NONROOT: "1",
  });
});

test("a task has C.UTF-8 if the host lacks en_US.UTF-8", () => {
  const hasLocale = (name: string): boolean => name !== "en_US.UTF-8";
  const { LANG, LC_ALL } = taskEnvironment(task(), "J", { ...surroundings, hasLocale });
  expect([LANG, LC_ALL]).toEqual(["C.UTF-8", "C.UTF-8"]);
});

test("a task has the real agent's HOME and USER if the agent has none", () => {
  const { HOME, USER, LOGNAME } = taskEnvironment(task(), "J", {
    ...surroundings,
    env: { BUILDOMAT_NONROOT: "1" },
  });
  expect({ HOME, USER, LOGNAME }).toEqual({ HOME: "/tmp", USER: "nobody", LOGNAME: "nobody" });
});

test.each([undefined, "true", "yes", "0", ""])("a task has USER root if BUILDOMAT_NONROOT is %j", (mode) => {
  const env = { HOME: "/home/x", USER: "robot", BUILDOMAT_NONROOT: mode };
  const { HOME, USER, LOGNAME } = taskEnvironment(task({ uid: 5 }), "J", { ...surroundings, env });
  expect({ HOME, USER, LOGNAME }).toEqual({ HOME: "/home/x", USER: "root", LOGNAME: "root" });
  const without = { BUILDOMAT_NONROOT: mode };
  expect(taskEnvironment(task(), "J", { ...surroundings, env: without })["HOME"]).toBe("/root");
});

test("a task may override any variable, and clear all", () => {
  const env = { PATH: "/mine", SP_TYPE: "mine", A: "" };
  const testbed = '{"sp_type":"gimlet"}';
  expect(taskEnvironment(task({ env }), "J", { ...surroundings, testbed })).toMatchObject(env);
  expect(taskEnvironment(task({ env, env_clear: true }), "J", { ...surroundings, testbed })).toEqual(env);
});

test("a task knows its testbed", () => {
  const testbed = JSON.stringify({
    testbed: "bed-1",
    sp_type: "gimlet",
    target: "sp",
    sp_runner: "sp-runner",
    sp_runner_config: "/c",
    baseline: "v16",
    more: 1,
  });
  const all = Object.entries(taskEnvironment(task(), "J", { ...surroundings, testbed }));
  expect(Object.fromEntries(all.filter(([name]) => name.startsWith("SP_")))).toEqual({
    SP_TESTBED: "bed-1",
    SP_TYPE: "gimlet",
    SP_TARGET: "sp",
    SP_RUNNER: "sp-runner",
    SP_RUNNER_CONFIG: "/c",
    SP_BASELINE: "v16",
  });
});

test.each(["", "{", "[]", '{"testbed":1}', "null"])(
  "a task has no testbed variables if testbed.json is %j",
  (testbed) => {
    const names = Object.keys(taskEnvironment(task(), "J", { ...surroundings, testbed }));
    expect(names.filter((name) => name.startsWith("SP_"))).toEqual([]);
  },
);
