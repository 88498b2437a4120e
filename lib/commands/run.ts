/** The verb `run`: wires the daemon to this host, its database and its server, and ends it on a signal. */
import { accessSync, constants, mkdirSync } from "node:fs";
import type { Config } from "../config/config.ts";
import { type BaseArgs, findBase, placesOf, readConfig } from "../config/locations.ts";
import type { Controlled } from "../control/routes.ts";
import { createDaemon } from "../daemon/daemon.ts";
import { openReload } from "../daemon/reload.ts";
import { describeRest, describeTakenOver, reportLeft, standingOf } from "../daemon/hand-over.ts";
import { openInstances } from "../daemon/instance-memory.ts";
import { openMemory } from "../daemon/memory.ts";
import type { Hosts } from "../hosts/host.ts";
import { noteNow } from "../daemon/journal.ts";
import { passedEnvironment, proxySecrets } from "../hosts/agent-environment.ts";
import { closeUnused, openLabConnections, openLabHosts } from "../hosts/wiring.ts";
import { openSharedRunners } from "../runner/answer-cache.ts";
import { type FactoryApi, openFactoryApi } from "../server/factory-side.ts";
import type { Snapshot } from "../status/snapshot.ts";
import { lockStore } from "../store/store.ts";
import { parseInstanceName } from "../words/domain.ts";
import { FactoryError } from "../words/failure.ts";
import { type Log, openLog } from "../words/logger.ts";
import { redactTexts, type Secret } from "../words/secret.ts";
import { version, versionLine } from "../words/version.ts";
import { openOwnStore } from "./database.ts";
import { openOwnControl } from "./own-control.ts";
import { readInstanceFile } from "./instance-file.ts";
import { startUpdates } from "./own-updater.ts";
import { writeSchema } from "./schema.ts";
import { startOwnNotifier } from "./notify.ts";
import { openOwnWeb } from "./own-web.ts";
import { programOf, type ThisProcess } from "./this-process.ts";

const exitAlreadyRunning = 75;
/** The one code after which the unit starts nothing. Not 0: a new version that is broken may end with that, and must be started again. */
const exitDrained = 90;

/** The loop sleeps for 2 s at the most. */
const longestTurnMs = 30_000;

export async function runFactory(here: ThisProcess, args: BaseArgs): Promise<number> {
  here.setUmask(0o077);
  const program = await programOf(here);
  const { surroundings, clock } = program;
  const base = findBase(args, surroundings);
  const config = readConfig(base, surroundings);
  const { database } = base;
  const secretsOf = ({ token, general, notify }: Config): Secret[] => [
    token,
    ...[notify.webhook, notify.secret].filter((secret) => secret !== null),
    ...proxySecrets(general.agentEnvironment),
  ];
  const secrets = [...proxySecrets(passedEnvironment(surroundings)), ...secretsOf(config)];
  const log = openFactoryLog(here, secrets);
  // What Bun would print of an error of this program's own may hold a secret.
  const die = (error: unknown): never => {
    log.error(`ends on a fault of its own: ${Bun.inspect(error)}`);
    here.exit(1);
  };
  here.onFault(die);
  const lock = lockStore(database);
  if (lock === null) {
    throw new FactoryError(`Cannot start: another factory is running on ${database}`, {
      hint: "Stop it first, or name another database with -d",
      exitCode: exitAlreadyRunning,
    });
  }
  const places = placesOf(config, base, surroundings.env);
  const { workDirectory } = places;
  makeDirectory(workDirectory, "general.work_dir (or BUILDOMAT_WORK_DIR) names another place");
  const store = openOwnStore(database, workDirectory, clock);
  const connections = openLabConnections(`${workDirectory}/.ssh`, program, true);
  /** What of the daemon's parts is made of the configuration. */
  const partsOf = (of: Config): { config: Config; api: FactoryApi; hosts: Hosts } => ({
    config: of,
    api: openFactoryApi({ http: here.http, baseurl: of.general.baseurl, token: of.token }),
    hosts: openLabHosts(of, places, program, connections),
  });
  const known = openMemory(store, clock);
  const daemon = createDaemon({
    ...here,
    ...partsOf(config),
    store,
    openRunner: openSharedRunners(here),
    log,
    supervisor: here.openSupervisor((line) => log.warn(line)),
    known,
  });
  let stopsAsked = 0;
  const stop = (signal: string): void => {
    stopsAsked += 1;
    if (stopsAsked > 1) here.exit(0);
    log.info(`${signal}: stopping${known.instances.size > 0 ? "; agents are left running" : ""}`);
    daemon.stop();
  };
  here.on("SIGTERM", () => stop("SIGTERM"));
  here.on("SIGINT", () => stop("SIGINT"));
  here.on("SIGUSR1", () => {
    log.info("SIGUSR1: draining; nothing new is taken");
    daemon.drain();
  });
  warnOfIdle(config, log);
  log.info(`${versionLine()}: started on ${database}`);
  const takenOver = describeTakenOver(store.open());
  if (takenOver !== null) log.info(takenOver);
  const noteFactory = (is: string, lines: string[]): void =>
    noteNow({ store, clock }, { what: "factory", is, lines });
  noteFactory("started", [version.version, ...(takenOver === null ? [] : [takenOver])]);
  const openUpdates = (of: Config): ReturnType<typeof startUpdates> =>
    startUpdates(here, {
      config: of,
      base,
      log,
      look: () => standingOf(known),
      setAsking: daemon.setAsking,
      handOver: () => {
        stopsAsked += 1;
        daemon.stop();
      },
      die,
    });
  let inUse = config;
  let updates = Promise.resolve(openUpdates(config));
  const { reload, watch } = openReload({
    ...here,
    config,
    store,
    known,
    log,
    secrets,
    secretsOf,
    read: () => readConfig(base, surroundings),
    use: (of, before) => {
      inUse = of;
      daemon.reconfigure(partsOf(of));
      warnOfIdle(of, log);
      void closeUnused(connections, of, openInstances(known)).catch(die);
      if (JSON.stringify(of.update) === JSON.stringify(before.update)) return;
      updates = updates.then(async (open) => {
        await open.stop();
        daemon.setAsking(true);
        return openUpdates(of);
      });
    },
  });
  /** A server or a program may echo a secret that it was sent, and not everybody who may look may know it. */
  const snapshot = (): Snapshot => redactTexts(daemon.snapshot(database), secrets);
  const looked: Pick<Controlled, "snapshot" | "history" | "log"> = {
    snapshot,
    history: (query) => redactTexts(store.journal(query), secrets),
    log: async (name, file, offset) => {
      const named = parseInstanceName(name);
      const instance = named === null ? null : store.instance(named);
      // Other files hold what not everybody may see who may look.
      if (instance === null || file !== "agent.log") return null;
      const reach = { ...here, connections, testbeds: inUse.testbeds };
      return await readInstanceFile(reach, instance, file, offset);
    },
  };
  const control = await openOwnControl(here, {
    database,
    operators: config.general.operators,
    log,
    controlled: {
      act: (act, who, signal) =>
        act.verb === "reload"
          ? reload(`asked by ${who}`, { who, note: act.note })
          : daemon.act(act, who, signal),
      ...looked,
    },
  });
  const web = openOwnWeb(here, {
    web: config.web,
    log,
    secrets,
    shown: {
      ...looked,
      tally: known.tally,
      isTurning: () => clock.uptimeMs() - known.turnedMs < longestTurnMs,
    },
  });
  const notifier = startOwnNotifier(here, {
    log,
    store,
    notify: () => inUse.notify,
    snapshot,
  });
  void writeSchema(here.files, base.config, "if it is another version's").catch(() => undefined);
  here.on("SIGHUP", () => void reload("SIGHUP").catch(die));
  const ended = new AbortController();
  const watching = watch(ended.signal).catch(die);
  const { held } = await daemon.run().catch((error: unknown) => {
    if (error instanceof FactoryError) throw error;
    return die(error);
  });
  const isDrained = stopsAsked === 0;
  reportLeft(log, held, isDrained);
  noteFactory(isDrained ? "drained" : "stopped", [describeRest(held, isDrained)]);
  await control.close();
  web.close();
  await notifier.stop();
  ended.abort();
  await watching;
  await (await updates).stop();
  await connections.close();
  store.close();
  lock.release();
  return isDrained && surroundings.env["FACTORY_BOOT"] !== undefined ? exitDrained : 0;
}

function openFactoryLog({ clock, errors, around }: ThisProcess, secrets: Secret[]): Log {
  return openLog({
    clock,
    format: errors.isTerminal ? "people" : "json",
    level: around.env["FACTORY_LOG"] === "debug" ? "debug" : "info",
    secrets,
    write: (line) => errors.write(line),
  });
}

function makeDirectory(path: string, hint: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    accessSync(path, constants.W_OK | constants.X_OK);
  } catch (error) {
    throw new FactoryError(`Cannot use the work directory ${path}: ${(error as Error).message}`, {
      hint: `It must be a directory that this user can write to; ${hint}`,
      cause: error,
    });
  }
}

/** What is configured and takes no jobs all the same, logged once. */
function warnOfIdle({ targets, testbeds }: Config, log: Log): void {
  for (const { name } of targets.filter(({ id }) => id === null)) {
    log.warn("no jobs can be asked for: the server knows targets by ULID only; add `id` to its section", {
      target: name,
    });
  }
  if (!testbeds.some(({ enabled }) => enabled)) {
    log.warn("no jobs are taken: no testbed is configured and enabled");
  }
}
