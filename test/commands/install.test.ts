/** What `service install` says at its end; test/long/systemd.ts installs. */
import { expect, test } from "bun:test";
import { findBase } from "../../lib/config/locations.ts";
import { reportInstalled } from "../../lib/commands/service/install.ts";
import type { Installed } from "../../lib/commands/service/installed.ts";
import type { ThisProcess } from "../../lib/commands/this-process.ts";
import { openDurableFiles } from "../../lib/doors/durable-files.ts";
import { openPlaces } from "../../lib/update/places.ts";

test("without a service the command that starts it can be pasted, and the program is named", () => {
  const lines: string[] = [];
  const around = { env: {}, home: "/home/a lab", workingDirectory: "/" };
  const here = { print: (line: string) => void lines.push(line), around } as unknown as ThisProcess;
  const places = openPlaces({ prefix: "/opt/the lab's", files: openDurableFiles() });
  const base = findBase({ "base-dir": "/home/a lab/$base" }, here.around);
  const installed = { kind: "user", places, base, unit: "u", link: "/l" } as Installed;
  reportInstalled(here, installed, { name: "1.0.0", isNew: true, isStarted: "no unit" });
  const start = lines.find((line) => line.startsWith("Start it"))?.replace(/^[^/']*: /, "") ?? "";
  const ran = Bun.spawnSync(["sh", "-c", `for word in ${start}; do echo "$word"; done`]);
  expect(ran.stdout.toString()).toBe(`${places.bootScript}\nrun\n--base-dir\n/home/a lab/$base\n`);
  expect(lines.join("\n")).toContain(places.bin);
});
