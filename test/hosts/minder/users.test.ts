/** What one user's factory may believe of another's lock. */
import { afterEach, expect, setDefaultTimeout } from "bun:test";
import { mkdirSync } from "node:fs";
import {
  kill,
  type Lab,
  openHost,
  openLab,
  otherUser,
  processesWith,
  readText,
  rolesOf,
  test,
  until,
} from "./minder-lab.ts";

setDefaultTimeout(60_000);
let lab: Lab;
afterEach(() => lab.close());

test("without isolation, a dead instance still keeps its testbed from other users, who cannot see all of its processes", async () => {
  lab = openLab();
  const { inner, prefix, end } = await openHost(lab, { user: otherUser });
  const spec = inner.spec({ isolate: "off", agent: [inner.agent("echo ready; exec sleep 1000")] });
  const { directory } = spec;
  await inner.minder.arm(spec);
  await inner.minder.go({ directory, worker: "W", agentJson: "{}" });
  await until(() => readText(`${directory}/agent.log`) === "ready\n");
  // Its minder first, so that nobody cleans up.
  const { minder } = rolesOf(spec.cookie);
  for (const pid of [...minder, ...processesWith(directory).map((each) => each.pid)]) kill(pid);
  await until(() => processesWith(directory).every(({ state }) => state === "Z"));
  const base = `${lab.base}/other`;
  mkdirSync(base);
  const other = openLab({ user: otherUser + 1, locks: inner.locks, prefix, base });
  const wanted = other.spec({ isolate: "off", agent: [other.agent("exec sleep 1000")] });
  expect(await other.minder.arm(wanted)).toMatchObject({ kind: "elsewhere" });
  // Its own user can tell, and frees it.
  expect(await inner.minder.stop(directory, { graceMs: 0 })).toEqual({ kind: "stopped" });
  expect(await other.minder.arm(wanted)).toEqual({ kind: "armed", refusal: null });
  expect(await other.minder.stop(wanted.directory, { graceMs: 0 })).toEqual({ kind: "stopped" });
  await other.close();
  await end();
});
