/** `service uninstall`: waits for running jobs and removes everything but the base directory; with `--purge` also that. */
import { FactoryError } from "../../words/failure.ts";
import { isFactoryRunning } from "../../store/store.ts";
import { controlDirectoryOf } from "../../control/socket-path.ts";
import { schemaPathOf } from "../schema.ts";
import type { ThisProcess } from "../this-process.ts";
import { countJobs, findInstalled, type Installed, orRefusal, type ServiceArgs } from "./installed.ts";

const pollMs = 500;

export async function uninstallService(here: ThisProcess, args: ServiceArgs): Promise<number> {
  const installed = await findInstalled(here, args);
  const { durableFiles: files, print } = here;
  const { systemd, places, unitPath, hasUnit, link, base } = installed;
  if ((await files.size(places.prefix)) === null && !hasUnit && args.purge !== true) {
    print(`Nothing is installed in ${places.prefix}`);
    return 0;
  }
  await askWhetherSure(here, installed, args);
  if (systemd !== null && hasUnit) await endService(here, installed);
  else await needEnded(here, installed);
  await orRefusal(`uninstall ${places.prefix}`, async () => {
    if ((await files.readLink(link)) === places.bin) await files.remove(link);
    if (systemd !== null && hasUnit) {
      await files.remove(unitPath);
      await systemd.control("daemon-reload");
    }
    await places.removeAll();
  });
  const isGone = args.purge === true && (await purge(here, installed));
  print(isGone ? "Nothing of it is left" : `Nothing of it is left but ${base.directory}`);
  return 0;
}

async function askWhetherSure(
  { openTerminal }: ThisProcess,
  { places, base }: Installed,
  args: ServiceArgs,
): Promise<void> {
  if (args.yes === true) return;
  const terminal = openTerminal();
  if (terminal === null) throw new FactoryError("uninstall asks first: without a terminal, add --yes");
  try {
    const what = args.purge === true ? `${places.prefix} and ${base.directory}` : places.prefix;
    const answer = await terminal.ask(`Remove ${what}? [y/N] `);
    if (!/^y(?:es)?$/i.test(answer)) throw new FactoryError("Nothing was changed", { exitCode: 1 });
  } finally {
    terminal.close();
  }
}

/** The daemon takes no new job, and the service stops when all jobs have ended. Ctrl+C leaves it draining. */
async function endService(here: ThisProcess, { systemd, unit, base }: Installed): Promise<void> {
  if (systemd === null) return;
  const { clock, print } = here;
  const { MainPID: pid = "0" } = await systemd.show(unit, "MainPID");
  const jobs = await countJobs(here, base);
  if (jobs > 0) {
    if (pid === "0") throw refuseWithoutDaemon(jobs, unit);
    print(`${jobs} ${jobs === 1 ? "job runs" : "jobs run"}: waiting until nothing does`);
    await systemd.control("disable", unit);
    await systemd.control("kill", "--kill-who=main", "--signal=USR1", unit);
    while ((await systemd.show(unit, "MainPID"))["MainPID"] === pid) await clock.sleep(pollMs);
  }
  await systemd.control("disable", "--now", unit);
}

/** Does not end a factory that another supervisor runs. */
async function needEnded(here: ThisProcess, { base, unit }: Installed): Promise<void> {
  if (await isFactoryRunning(base.database, here.files.isThere)) {
    throw new FactoryError(`Cannot uninstall: a factory runs on ${base.database}`, {
      hint: "Send it SIGUSR1: it ends when its jobs have ended. Its supervisor must not start it again",
      exitCode: 1,
    });
  }
  const jobs = await countJobs(here, base);
  if (jobs > 0) throw refuseWithoutDaemon(jobs, unit);
}

/** Without a daemon nothing ends them, and their workers stay on the server. */
function refuseWithoutDaemon(jobs: number, unit: string): FactoryError {
  return new FactoryError(
    `Cannot uninstall: ${jobs} ${jobs === 1 ? "job is" : "jobs are"} left to the next start of ${unit}`,
    { hint: "Start it and uninstall then, which waits for them; `clear` ends what cannot end", exitCode: 1 },
  );
}

/** Removes what the program made, and its configuration. False: the directory holds something else, and stays. */
async function purge({ durableFiles: files }: ThisProcess, { base }: Installed): Promise<boolean> {
  const made = [
    base.config,
    schemaPathOf(base.config),
    ...["", "-wal", "-shm", ".lock"].map((end) => base.database + end),
    controlDirectoryOf(base.database),
    `${base.directory}/work`,
  ];
  for (const path of made) await files.remove(path);
  if ((await files.list(base.directory)).length > 0) return false;
  await files.remove(base.directory);
  return true;
}
