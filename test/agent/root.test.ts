/** Root mode, in which tasks and background processes run as the user they are meant for. */
import { afterAll, beforeAll, describe, expect } from "bun:test";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { type AgentLab, openAgentLab } from "../lab/agent-lab.ts";
import { otherUser, test } from "../hosts/minder/minder-lab.ts";

let lab: AgentLab;
beforeAll(async () => {
  lab = await openAgentLab();
});
afterAll(() => lab.close());

const task = (script: string, more: object = {}) => ({
  name: "t",
  script,
  env_clear: false,
  env: {},
  ...more,
});
const other = { uid: otherUser, gid: otherUser + 1 };
const identity = "echo $(id -u) $(id -g) $(id -G) $HOME $USER $LOGNAME";

describe("the built-in agent in root mode", () => {
  test("runs each task as its user and only that group, with USER root", async () => {
    const job = await lab.submit([], {
      tasks: [task(`${identity} $0`, other), task(`${identity} $0`), task("touch /root/x", other)],
    });
    const agent = await lab.start(job, {
      env: { BUILDOMAT_NONROOT: "true" },
      prefix: ["setpriv", "--groups", "5,6"],
    });
    expect(await lab.ended(job)).toMatchObject({
      state: "failed",
      tasks: [{ state: "completed" }, { state: "completed" }, { state: "failed" }],
    });
    expect(await lab.said(job, "stdout")).toEqual([
      `${other.uid} ${other.gid} ${other.gid} ${agent.home} root root /dev/fd/3`,
      `0 0 0 ${agent.home} root root ${agent.base}/run/task-1.sh`,
    ]);
    await agent.stop();
  });

  test("enters a task's directory as its user, whatever the number of that user", async () => {
    const closed = join(lab.directory, "closed");
    mkdirSync(closed, { mode: 0o700 });
    const large = { uid: 3_000_000_000, gid: 4_000_000_000 };
    const job = await lab.submit([], {
      tasks: [
        task(`${identity}; echo again >/dev/stdout`, large),
        task("true", { ...large, workdir: closed }),
      ],
    });
    const agent = await lab.start(job, { env: { BUILDOMAT_NONROOT: "0" } });
    expect(await lab.ended(job)).toMatchObject({ tasks: [{ state: "completed" }, { state: "failed" }] });
    expect(await lab.said(job, "stdout")).toEqual([
      `${large.uid} ${large.gid} ${large.gid} ${agent.home} root root`,
      "again",
    ]);
    expect(await lab.said(job, "agent")).toEqual([
      `ERROR: exec: cannot start task 1 in directory "${closed}": Permission denied (os error 13)`,
    ]);
    await agent.stop();
  });

  test("runs tasks as its own user if root mode is off", async () => {
    const job = await lab.submit([], { tasks: [task(identity, other)] });
    const agent = await lab.start(job);
    expect(await lab.ended(job)).toMatchObject({ state: "completed" });
    expect(await lab.said(job, "stdout")).toEqual([`0 0 0 ${agent.home} robot robot`]);
    await agent.stop();
  });

  test("reports that a task cannot be started if the agent is not root", async () => {
    const job = await lab.submit([], { tasks: [task("true", other)] });
    const agent = await lab.start(job, {
      env: { BUILDOMAT_NONROOT: "0" },
      // The user stays, so that it may read its files; the power to become another goes.
      prefix: ["setpriv", "--bounding-set=-setuid,-setgid", "--inh-caps=-all"],
    });
    expect(await lab.ended(job)).toMatchObject({ state: "failed" });
    expect(await lab.said(job, "agent")).toEqual([
      'ERROR: exec: cannot start task 0 in directory "/": Operation not permitted (os error 1)',
    ]);
    await agent.stop();
  });

  test("listens in /var/run too if that is the instance's own, for tasks that may not enter its directory", async () => {
    const ask = [
      `exec 3<>/dev/null; [ -S /var/run/buildomat.sock ] && echo there`,
      `ls ${join(lab.directory, "3")} 2>&1 | head -c 3`,
    ];
    const job = await lab.submit([], { tasks: [task(ask.join("\n"), other)] });
    const agent = await lab.start(job, {
      env: { BUILDOMAT_NONROOT: "0", BUILDOMAT_OWN_RUN: "yes" },
      prefix: ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs tmpfs /run && exec "$@"', "sh"],
    });
    expect(await lab.ended(job)).toMatchObject({ state: "completed" });
    expect((await lab.said(job, "stdout"))[0]).toBe("there");
    await agent.stop();
  });
});
