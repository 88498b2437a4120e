/** F47: connections that are cut at any byte, from the first greeting to the agent's end. What is repeated then must be enough. */
import { expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openClock } from "../../lib/doors/clock.ts";
import { openFiles } from "../../lib/doors/files.ts";
import { openProcesses } from "../../lib/doors/processes.ts";
import { openRandom } from "../../lib/doors/random.ts";
import type { Minder } from "../../lib/hosts/minder/minder.ts";
import { openConnections } from "../../lib/hosts/ssh/connection-pool.ts";
import { openSshHosts } from "../../lib/hosts/ssh/far-host.ts";
import { endLeavings, processesNaming } from "../lab/leavings.ts";
import { configOf, testbedOf } from "../policy/scenes.ts";
import { startSshd } from "../lab/sshd.ts";
import { until } from "../lab/until.ts";

/** About as many bytes as reaching a host, placing the script and arming take, both ways together. */
const mostBytes = 140_000;

test("F47 a connection that is cut at any byte leaves nothing in the way of the next", async () => {
  const directory = mkdtempSync(join(tmpdir(), "cuts-"));
  const sshd = await startSshd(directory);
  const work = join(directory, "far");
  const locks = join(directory, "locks");
  mkdirSync(locks, { mode: 0o1777 });
  const agent = join(directory, "agent");
  writeFileSync(agent, '#!/bin/sh\necho ran >>"$HOME/../ran"; exec sleep 1000\n', { mode: 0o755 });
  const testbed = testbedOf({
    name: "bed-1",
    host: sshd.host,
    sshUser: "root",
    agentPath: agent,
    workDir: work,
  });
  const random = openRandom();
  const files = openFiles();
  const connections = openConnections({
    processes: openProcesses({ clock: openClock() }),
    files,
    env: { PATH: `${directory}/bin:/usr/bin:/bin`, HOME: directory },
    directory: join(directory, "sockets"),
  });
  const hosts = openSshHosts({
    config: configOf([testbed]),
    connections,
    files,
    random,
    machineDirectory: join(directory, "machines"),
    lockDirectory: locks,
    executable: () => Promise.resolve(null),
  });

  /** Resolves with the first answer that is not a success, and how far it got. */
  async function start(seq: number, cookie: string): Promise<{ minder: Minder | null; word: string }> {
    const reached = await hosts.reach(testbed);
    if (!reached.ok) return { minder: null, word: reached.reason };
    const { minder } = reached.host;
    const armed = await minder.arm({
      instance: `bed-1/${seq}`,
      testbed: "bed-1",
      cookie,
      directory: `${work}/bed-1_${seq}`,
      agent: [agent],
      bmat: [],
      isExternal: false,
      openFiles: null,
      environment: {},
      covered: [],
      hidden: [],
      kept: [],
      isolate: "auto",
      usesHost: true,
      isAgain: false,
      isOutputWatched: false,
      expirySeconds: 120,
      logCapBytes: 1e6,
      testbedJson: "{}",
      intentJson: "{}",
    });
    if (armed.kind !== "armed") return { minder, word: armed.kind };
    const gone = await minder.go({ directory: `${work}/bed-1_${seq}`, worker: "W", agentJson: "{}" });
    return { minder, word: gone.kind };
  }

  try {
    let seq = 0;
    for (let bytes = 400; bytes < mostBytes; bytes = Math.ceil(bytes * 1.12)) {
      seq += 1;
      // The script is sent again each third time.
      if (seq % 3 === 0) {
        for (const name of readdirSync(work)) if (name.startsWith(".minder-")) rmSync(join(work, name));
      }
      const cookie = Buffer.from(random.bytes(16)).toString("hex");
      const mine = join(work, `bed-1_${seq}`);
      sshd.cutAfter(bytes);
      sshd.cut();
      await start(seq, cookie);
      sshd.cutAfter(null);
      sshd.cut();
      const { minder, word } = await start(seq, cookie);
      expect({ bytes, word }).toEqual({ bytes, word: "went" });
      await until("the agent ran", () => existsSync(join(mine, "ran")));
      const stopped = await minder?.stop(mine, { cookie, graceMs: 0 });
      expect({ bytes, stopped }).toEqual({ bytes, stopped: { kind: "stopped" } });
      expect(readFileSync(join(mine, "ran"), "utf8")).toBe("ran\n");
      expect(processesNaming(mine)).toEqual([]);
      expect(readdirSync(locks)).toEqual([]);
    }
    expect(sshd.cuts()).toBeGreaterThan(seq / 2);
  } finally {
    await connections.close();
    await sshd.stop();
    await endLeavings(directory);
    rmSync(directory, { recursive: true, force: true });
  }
}, 600_000);
