/**
 * A process for store.test.ts to kill: `lock PATH` holds the lock, `write PATH` commits instances forever,
 * `note PATH` their ends with what the journal says of them.
 * It prints a line after each commit. It ends only by a crash.
 */
import { writeSync } from "node:fs";
import { lockStore, openStore } from "../../lib/store/store.ts";
import { instanceOf, jobOf } from "../policy/scenes.ts";

const [verb, path] = process.argv.slice(2);
if (path === undefined) throw new Error("no path");

if (verb === "lock") {
  const lock = lockStore(path);
  writeSync(1, lock === null ? "refused\n" : "held\n");
  // Ends with its standard input, so that it never outlives the test.
  for await (const _ of Bun.stdin.stream()) void lock;
  lock?.release();
}

if (verb === "note") {
  const store = openStore({ path, nowMs: 0, directoryOf: ({ testbed }) => testbed });
  for (let seq = 1; ; seq += 1) {
    const begun = store.begin(instanceOf({ phase: "preparing", seq, worker: null }));
    store.advance(begun, { phase: "dropped", endedMs: seq }, { atMs: seq, entry: jobOf({ seq }) });
    writeSync(1, `${seq} dropped\n`);
  }
}

if (verb === "write") {
  const store = openStore({ path, nowMs: 0, directoryOf: ({ testbed }) => testbed });
  for (let seq = 1; ; seq += 1) {
    const begun = store.begin(instanceOf({ phase: "preparing", seq, worker: null }));
    writeSync(1, `${seq} preparing\n`);
    const running = store.advance(begun, { phase: "running", worker: `worker-${seq}` });
    writeSync(1, `${seq} running\n`);
    store.advance(running, { phase: "destroyed", endedMs: seq });
    writeSync(1, `${seq} destroyed\n`);
  }
}
