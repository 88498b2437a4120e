/**
 * Started by a test: updates a prefix, or rolls it back, and kills itself before the given call of its files' door.
 * Words: PREFIX MIRROR PUBLIC-KEY "update"|"roll back" CALL
 */
import { lockStore } from "../../lib/store/file.ts";
import { openClock } from "../../lib/doors/clock.ts";
import { type DurableFiles, openDurableFiles } from "../../lib/doors/durable-files.ts";
import { openHttp } from "../../lib/doors/http.ts";
import { openProcesses } from "../../lib/doors/processes.ts";
import { openPlaces } from "../../lib/update/places.ts";
import { openUpdater } from "../../lib/update/updater.ts";

const [prefix = "", url = "", key = "", what = "", call = "0"] = process.argv.slice(2);
let left = Number(call);

/** Reads change nothing, so that a kill before one is a kill behind the change before it. */
const changes: (keyof DurableFiles)[] = [
  "makeDirectory",
  "write",
  "setLink",
  "rename",
  "setMode",
  "remove",
  "openAt",
  "unpack",
];
// A small disk does, for a small executable.
const real = { ...openDurableFiles(), freeBytes: () => Promise.resolve(Infinity) };
const files = new Proxy(real, {
  get: (target, name: keyof DurableFiles) => {
    if (changes.includes(name) && (left -= 1) === 0) process.kill(process.pid, "SIGKILL");
    return target[name];
  },
});

const clock = openClock();
const places = openPlaces({ prefix, files });
const updater = openUpdater({
  places,
  files,
  http: openHttp({ clock }),
  processes: openProcesses({ clock }),
  clock,
  keys: [key],
  running: (await places.current()) ?? "0.0.0",
  target: "linux-x64",
  url,
  configPath: "/config",
  channel: "stable",
  database: () => ({ least: 6, knows: 100 }),
  selfTest: { args: [], env: { PATH: "/usr/bin:/bin" } },
  takeLock: () => lockStore(`${prefix}/install`),
  report: () => undefined,
  onProgress: () => undefined,
  signal: new AbortController().signal,
});

if (what === "update") {
  const version = await updater.prepare({ wanted: null, allowDowngrade: false, retry: false });
  if (version !== null) await updater.switchTo(version);
} else {
  await places.settle();
  if ((await places.current()) !== "1.0.0") await updater.rollBack("asked for");
}
