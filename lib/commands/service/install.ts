/**
 * `service install`: puts this executable into its prefix and starts it as a service, now and at each boot. A second run changes
 * only what differs, and never ends a daemon.
 */
import { dirname } from "node:path";
import bootScript from "../../service/boot.sh" with { type: "text" };
import { readConfigWithoutToken } from "../../config/locations.ts";
import { quoteCommand } from "../../hosts/ssh/argv.ts";
import { describeUnit } from "../../service/unit.ts";
import { lockStore } from "../../store/store.ts";
import { type Places, placeOf } from "../../update/places.ts";
import { compareVersions } from "../../update/version-order.ts";
import { FactoryError } from "../../words/failure.ts";
import { version } from "../../words/version.ts";
import { lookAround, type ThisProcess } from "../this-process.ts";
import { findInstalled, type Installed, orRefusal, type ServiceArgs } from "./installed.ts";

export async function installService(here: ThisProcess, args: ServiceArgs): Promise<number> {
  if (!here.isCompiled) {
    throw new FactoryError("Cannot install a checkout: it is not one executable", {
      hint: "scripts/install.sh --from-checkout builds one and installs that",
    });
  }
  const installed = await findInstalled(here, args, true);
  const config = readConfigWithoutToken(installed.base, await lookAround(here));
  const { places } = installed;
  await orRefusal(`install into ${places.prefix}`, () => here.durableFiles.makeDirectory(places.staging));
  const lock = lockStore(`${places.prefix}/install`);
  if (lock === null) {
    throw new FactoryError(`Cannot install into ${places.prefix}: another installation is at work there`, {
      hint: "Wait until it ends",
      exitCode: 75,
    });
  }
  try {
    const [isNew, name] = await orRefusal(`install into ${places.prefix}`, () =>
      placeProgram(here, installed, args),
    );
    const isStarted = await startService(here, installed, { isNew, name, elevates: config.general.elevate });
    reportInstalled(here, installed, { name, isNew, isStarted });
    return 0;
  } finally {
    lock.release();
  }
}

/** Returns whether it is newly installed, and its name. */
export async function placeProgram(
  { durableFiles: files, executable }: ThisProcess,
  { places, link }: Installed,
  { release = false }: ServiceArgs,
): Promise<[boolean, string]> {
  const sha256 = await files.sha256(executable);
  const own = placeOf(executable);
  // A build of this host has no version number of its own.
  const built = release ? version.version : `${version.version}-local.${sha256.slice(0, 12)}`;
  const name = own?.prefix === places.prefix ? own.version : built;
  await places.settle();
  if (release) await refuseOlder(places, name);
  const mark = await places.mark(name);
  if (mark?.kind === "bad") {
    throw new FactoryError(
      `Cannot install ${name}: it was rolled back here: ${mark.reason || "it did not start"}`,
      {
        hint: `Install another version; or remove ${places.prefix}/boot/${name}.bad to try this one again`,
        exitCode: 1,
      },
    );
  }
  if (!(await places.isPlaced(name, sha256))) {
    let draft = executable;
    if (!executable.startsWith(`${places.staging}/`)) {
      draft = `${places.staging}/${name}.${sha256.slice(0, 12)}`;
      await files.write(draft, (await files.readBytes(executable)) ?? new Uint8Array(), 0o755);
    }
    await places.place({ version: name, executable: draft, sha256, signed: null });
  }
  await files.makeDirectory(dirname(places.bootScript));
  await writeChanged(files, places.bootScript, bootScript, 0o755);
  if ((await files.readLink(link)) !== places.bin) {
    // A file of another program stays.
    if ((await files.size(link)) === null) {
      await files.makeDirectory(dirname(link));
      await files.setLink(link, places.bin);
    }
  }
  const isNew = (await places.current()) !== name;
  return [isNew, name];
}

/** A mirror or a proxy may have kept the install.sh of last month. */
async function refuseOlder(places: Places, name: string): Promise<void> {
  const current = await places.current();
  if (current === null || compareVersions(name, current) >= 0) return;
  if (["trial", "bad"].includes((await places.mark(current))?.kind ?? "good")) return;
  throw new FactoryError(`Cannot install ${name}: ${current} is installed, which is newer`, {
    hint: `If you want the older one: ${version.product} update --to ${name} --allow-downgrade`,
    exitCode: 1,
  });
}

async function writeChanged(
  files: ThisProcess["durableFiles"],
  path: string,
  text: string,
  mode: number,
): Promise<boolean> {
  const there = await files.readBytes(path);
  if (there !== null && new TextDecoder().decode(there) === text) return false;
  await files.makeDirectory(dirname(path));
  await files.write(path, text, mode);
  return true;
}

type Started = "was running" | "started" | "hands over" | "no unit";

async function startService(
  here: ThisProcess,
  { systemd, places, base, kind, unit, unitPath }: Installed,
  { isNew, name, elevates }: { isNew: boolean; name: string; elevates: boolean },
): Promise<Started> {
  const { durableFiles: files, print } = here;
  if (systemd === null) {
    if (isNew) await places.switchTo(name);
    return "no unit";
  }
  const { text, left } = describeUnit({
    kind,
    bootScript: places.bootScript,
    baseDirectory: base.directory,
    elevates,
    systemdVersion: systemd.version,
  });
  for (const line of left) print(line);
  if (await orRefusal(`write ${unitPath}`, () => writeChanged(files, unitPath, text, 0o644))) {
    await systemd.control("daemon-reload");
  }
  const { ActiveState: state } = await systemd.show(unit, "ActiveState");
  await systemd.control("enable", unit);
  if (isNew) await places.switchTo(name);
  if (state === "active" || state === "reloading") return isNew ? "hands over" : "was running";
  await systemd.control("start", unit);
  return "started";
}

export function reportInstalled(
  { print, around }: ThisProcess,
  { kind, places, unit, link, base }: Installed,
  { name, isNew, isStarted }: { name: string; isNew: boolean; isStarted: Started },
): void {
  print(`${version.product} ${name} ${isNew ? "is installed" : "was installed already"} in ${places.prefix}`);
  if (isStarted === "no unit") {
    const start = quoteCommand([places.bootScript, "run", "--base-dir", base.directory]);
    print(`The program: ${places.bin}`);
    print(`Start it, and start it again whenever it ends: ${start}`);
    return;
  }
  const what: Record<Started, string> = {
    "was running": "runs, and was left alone",
    started: "runs, and starts with this host",
    // It sees that the link names another version.
    "hands over": "hands over to it within seconds; its jobs run on",
    "no unit": "",
  };
  print(`${unit} ${what[isStarted]}`);
  if (kind === "user" && isStarted === "started") {
    print(`It ends when you log out, unless: sudo loginctl enable-linger ${around.env["USER"] ?? ""}`.trim());
  }
  const sudo = kind === "system" && around.env["SUDO_USER"] !== undefined ? "sudo " : "";
  const command = (around.env["PATH"] ?? "").split(":").includes(dirname(link))
    ? version.product
    : quoteCommand([link]);
  const where =
    base.directory === `${around.home}/Oxide/ci/factory`
      ? ""
      : ` ${quoteCommand(["--base-dir", base.directory])}`;
  print(`Its configuration, jobs and database are in ${base.directory}`);
  print(`Next: ${sudo}${command} check${where}    # what would keep jobs away`);
  print(`Log:  journalctl ${kind === "user" ? "--user " : ""}-f -u ${unit}`);
}
