#!/usr/bin/env bun
/**
 * The command tree and the exit codes, and the only file that wires real parts together.
 * Exit codes: 0, 1 failed, 2 usage, configuration or a place that cannot be written, 75 already running.
 */
import { accessSync, constants, existsSync, mkdirSync, mkdtempSync, readFileSync, writeSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import type { ArgsDef } from "citty";
import { passedEnvironment, proxySecrets } from "./lib/hosts/agent-environment.ts";
import {
  type BaseArgs,
  findBase,
  lockDirectoryOf,
  readConfig,
  readTestbeds,
  type Surroundings,
  workDirectoryOf,
} from "./lib/config/locations.ts";
import { type Command, runCommandLine, usageError } from "./lib/commands/command-line.ts";
import type { Config } from "./lib/config/config.ts";
import { type Reading, readingOf } from "./lib/config/reading.ts";
import { createDaemon } from "./lib/daemon/daemon.ts";
import { describeLeft, describeTakenOver } from "./lib/daemon/hand-over.ts";
import { openKnown } from "./lib/daemon/memory.ts";
import { directoryName, type Health, type Instance, instanceName, type Trouble } from "./lib/words/domain.ts";
import { openClock } from "./lib/doors/clock.ts";
import { openFiles } from "./lib/doors/files.ts";
import { openHttp } from "./lib/doors/http.ts";
import { openProcesses } from "./lib/doors/processes.ts";
import { openRandom } from "./lib/doors/random.ts";
import { openTerminal } from "./lib/doors/terminal.ts";
import { openFactoryApi } from "./lib/server/factory-side.ts";
import { errorText, FactoryError } from "./lib/words/failure.ts";
import {
  inspectFarHost,
  openHostMinder,
  openLabConnections,
  openLabHosts,
  type Program,
} from "./lib/hosts/all-hosts.ts";
import { type Log, openLog } from "./lib/words/logger.ts";
import type { Secret } from "./lib/words/secret.ts";
import { setupArgs } from "./lib/commands/setup/flags.ts";
import { readFarPiece } from "./lib/hosts/ssh/far-file.ts";
import { withKeysOfToday } from "./lib/hosts/ssh/ssh-hosts.ts";
import { openSpRunnerApi, type SpRunnerApi } from "./lib/runner/sp-runner.ts";
import { shareRunner } from "./lib/runner/answer-cache.ts";
import {
  isLocked,
  isPassing,
  lockStore,
  openStore,
  openStoreForReading,
  type Store,
  type StoreReader,
} from "./lib/store/store.ts";
import { versionLine } from "./lib/words/version.ts";

const exitAlreadyRunning = 75;

// Commands other than `run` are loaded when they are asked for: the agent starts with every job.

/** How this program is started again: the executable alone, or Bun with this file. Read at start: Bun remembers it. */
const isCompiled = import.meta.path.startsWith("/$bunfs/");
// Where it is started, e.g. by a job, a stray .env or bunfig.toml must not count.
const ofBun = ["--no-env-file", "--config=/dev/null"];
const self = isCompiled ? [process.execPath] : [process.execPath, ...ofBun, import.meta.path];

const clock = openClock();
const random = openRandom();
const processes = openProcesses({ clock });
const files = openFiles();
const searchPath = process.env["PATH"] ?? "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";

/** Where everything is, for a command that needs no configuration. */
const placeArgs: ArgsDef = {
  database: { type: "string", alias: "d", valueHint: "FILE", description: "database (BASE/data.sqlite3)" },
  "base-dir": {
    type: "string",
    valueHint: "BASE",
    description: "directory of all three ($FACTORY_BASE, else ~/Oxide/ci/factory)",
  },
};

const baseArgs: ArgsDef = {
  config: { type: "string", alias: "f", valueHint: "FILE", description: "configuration (BASE/config.toml)" },
  ...placeArgs,
};

const commands: Record<string, Command> = {
  run: {
    description: "Lease jobs and run them until stopped (also without a command)",
    args: baseArgs,
    run: (args) => runFactory(args),
  },
  setup: {
    description: "Write the configuration of a new factory; asks what the flags leave open",
    args: setupArgs,
    run: (args, rest) => setUpFactory(args, rest),
  },
  check: {
    description: "Look for all that would keep jobs from running here, and say how to mend it",
    args: { ...baseArgs, json: { type: "boolean", description: "one JSON document, for programs" } },
    run: (args) => checkHost(args),
  },
  status: {
    description: "What each testbed does, whether the factory runs or not",
    args: { ...baseArgs, json: { type: "boolean", description: "one JSON document, for programs" } },
    run: (args) => showStatus(args),
  },
  logs: {
    description: "The log of the job agent that runs on a testbed, or ran there last",
    args: {
      instance: { type: "positional", description: "TESTBED, or one instance of it: TESTBED/SEQ" },
      follow: { type: "boolean", alias: "f", description: "go on until the instance ends" },
      file: {
        type: "string",
        valueHint: "PATH",
        description: "another file of the instance's directory (agent.log)",
      },
      ...placeArgs,
    },
    run: (args) => showInstanceLog(args),
  },
  clear: {
    description:
      "Say that nothing is left running on a testbed, where the factory cannot tell; lifts a quarantine",
    args: {
      testbed: { type: "positional", description: "TESTBED" },
      because: { type: "string", valueHint: "TEXT", description: "what the job's owner reads" },
      yes: { type: "boolean", description: "do not ask" },
      ...baseArgs,
    },
    run: (args) => clearTestbedByWord(args),
  },
  demo: {
    description: "Show it at work: ten jobs on five simulated testbeds, under 20 s",
    run: async () => {
      const { runDemo } = await import("./lib/commands/demo/demo.ts");
      return await runDemo({ self, clock, random, http: openHttp({ clock }), processes, print });
    },
  },
  devserver: {
    description: "An embedded buildomat server, for development only",
    args: { port: { type: "string", valueHint: "PORT", description: "on 127.0.0.1 (a free one)" } },
    run: (args) => runDevserver(args["port"] as string | undefined),
  },
  agent: {
    description: "The built-in job agent",
    isHidden: true,
    takesRest: true,
    run: async (_, rest) => {
      const { runAgentCommand } = await import("./lib/agent/command.ts");
      return await runAgentCommand(rest, { self, clock, random, http: openHttp({ clock }) });
    },
  },
  bmat: {
    description: "The in-job control program",
    isHidden: true,
    takesRest: true,
    run: async (_, rest) => {
      const { runBmat } = await import("./lib/agent/bmat/bmat.ts");
      return await runBmat(rest, { clock, env: process.env });
    },
  },
};

function print(line: string): void {
  // citty colours its usage also where nobody sees colours.
  process.stdout.write(`${process.stdout.isTTY ? line : Bun.stripANSI(line)}\n`);
}

async function lookAround(): Promise<Surroundings> {
  return {
    env: process.env,
    home: homedir(),
    user: await userName(),
    platform: process.platform,
    workingDirectory: process.cwd(),
    readText: (path) => readFileSync(path, "utf8"),
  };
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

function openFactoryLog(secrets: Secret[]): Log {
  return openLog({
    clock,
    format: process.stderr.isTTY ? "people" : "json",
    level: process.env["FACTORY_LOG"] === "debug" ? "debug" : "info",
    secrets,
    write: (line) => process.stderr.write(line),
  });
}

/** Who runs this program. Not every supervisor sets USER, and Bun knows no other way. */
async function userName(): Promise<string> {
  const named = process.env["USER"];
  if (named !== undefined && named !== "") return named;
  const asked = await processes.run({
    argv: ["id", "-un"],
    env: { PATH: searchPath },
    timeoutMs: 5_000,
    maxBytes: 256,
  });
  return asked.ok && asked.exitCode === 0 ? asked.stdout.trim() : "nobody";
}

function programIn(surroundings: Surroundings): Program {
  return {
    self,
    isCompiled,
    executable: process.execPath,
    exists: existsSync,
    uid: process.getuid?.() ?? 0,
    searchPath,
    surroundings,
    processes,
    files,
    random,
    clock,
  };
}

/** One client for each service, which all of its boards share. */
function openRunners(): (baseurl: string) => SpRunnerApi {
  const open = new Map<string, SpRunnerApi>();
  return (baseurl) => {
    const runner =
      open.get(baseurl) ?? shareRunner(openSpRunnerApi({ http: openHttp({ clock }), baseurl }), clock);
    open.set(baseurl, runner);
    return runner;
  };
}

async function runFactory(args: BaseArgs): Promise<number> {
  process.umask(0o077);
  const surroundings = await lookAround();
  const base = findBase(args, surroundings);
  const config = readConfig(base, surroundings);
  const { database } = base;
  const log = openFactoryLog([
    config.token,
    ...proxySecrets(passedEnvironment(surroundings), config.general.agentEnvironment),
  ]);
  // What Bun would print of an error of this program's own may hold a secret.
  const die = (error: unknown): never => {
    log.error(`ends on a fault of its own: ${Bun.inspect(error)}`);
    process.exit(1);
  };
  process.on("uncaughtException", die);
  process.on("unhandledRejection", die);
  const lock = lockStore(database);
  if (lock === null) {
    throw new FactoryError(`Cannot start: another factory is running on ${database}`, {
      hint: "Stop it first, or name another database with -d",
      exitCode: exitAlreadyRunning,
    });
  }
  const workDirectory = workDirectoryOf(config, base);
  makeDirectory(workDirectory, "general.work_dir (or BUILDOMAT_WORK_DIR) names another place");
  const lockDirectory = lockDirectoryOf(process.env);
  const store = openOwnStore(database, workDirectory);
  noteReading(store, readingOf(config), log);
  const hosts = openLabHosts(config, { base, workDirectory, lockDirectory }, programIn(surroundings));
  const daemon = createDaemon({
    config,
    store,
    api: openFactoryApi({ http: openHttp({ clock }), baseurl: config.general.baseurl, token: config.token }),
    hosts,
    openRunner: openRunners(),
    clock,
    random,
    files,
    processes,
    log,
    known: openKnown(store),
  });
  let stopsAsked = 0;
  const stop = (signal: string): void => {
    stopsAsked += 1;
    if (stopsAsked > 1) process.exit(0);
    log.info(`${signal}: stopping; agents are left running`);
    daemon.stop();
  };
  process.on("SIGTERM", () => stop("SIGTERM"));
  process.on("SIGINT", () => stop("SIGINT"));
  process.on("SIGUSR1", () => {
    log.info("SIGUSR1: draining; nothing new is taken");
    daemon.drain();
  });
  process.on("SIGHUP", () =>
    log.warn("SIGHUP: the configuration is read at the start only; restart to change it"),
  );
  warnOfIdle(config, log);
  log.info(`${versionLine()}: started on ${database}`);
  const takenOver = describeTakenOver(store.open());
  if (takenOver !== null) log.info(takenOver);
  const { held } = await daemon.run().catch((error: unknown) => {
    if (error instanceof FactoryError) throw error;
    return die(error);
  });
  const isDrained = stopsAsked === 0;
  for (const { testbed, seq, worker } of isDrained ? held : []) {
    const about = {
      testbed,
      instance: instanceName({ testbed, seq }),
      ...(worker === null ? {} : { worker }),
    };
    log.warn("held on the server and left as it is: release the worker there, then start again", about);
  }
  log.info(describeLeft(held, isDrained));
  await hosts.close();
  store.close();
  lock.release();
  return 0;
}

/** The caller holds its lock. */
function openOwnStore(path: string, workDirectory: string): Store {
  const directoryOf = (row: Pick<Instance, "testbed" | "seq">): string =>
    `${workDirectory}/${directoryName(row)}`;
  return openStore({ path, nowMs: clock.wallMs(), directoryOf });
}

/** For `status` and `check`, which read the file as it is then. A full disk keeps no factory from starting. */
function noteReading(store: Store, reading: Reading, log: Log): void {
  if (store.reading()?.hash === reading.hash) return;
  try {
    store.setReading(reading);
  } catch (error) {
    if (!isPassing(error)) throw error;
    log.warn(`cannot note what was read of the configuration: ${errorText(error)}`);
  }
}

/** What is configured and takes no jobs all the same, told once. */
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

async function checkHost(args: BaseArgs & { json?: boolean }): Promise<number> {
  const { runCheck } = await import("./lib/commands/check/check.ts");
  const { reachService } = await import("./lib/commands/check/reach-service.ts");
  const surroundings = await lookAround();
  const program = programIn(surroundings);
  const base = findBase(args, surroundings);
  return await runCheck({
    base,
    surroundings,
    source: program,
    uid: process.getuid?.() ?? null,
    clock,
    http: openHttp({ clock }),
    processes,
    openMinder: (config, { directory, lockDirectory }) =>
      openHostMinder(config, { workDirectory: directory, lockDirectory }, program),
    reach: async (config, testbed, scratch) => {
      const { name, spRunnerUrl: baseurl } = testbed;
      if (baseurl !== null) return await reachService({ http: openHttp({ clock }), baseurl }, name);
      const workDirectory = workDirectoryOf(config, base);
      const lockDirectory = lockDirectoryOf(process.env);
      return await inspectFarHost(config, testbed, { workDirectory, lockDirectory, scratch }, program);
    },
    searchPath,
    temporaryDirectory: tmpdir(),
    isJson: args.json === true,
    print,
  });
}

/** The database of a base, for reading; null where no factory has made one yet. */
async function openForReading(database: string): Promise<StoreReader | null> {
  const isThere = await files.isThere(database).catch((error: unknown) => {
    throw new FactoryError(`Cannot read the database ${database}: ${errorText(error)}`, {
      hint: "Run this as the factory's user",
      cause: error,
    });
  });
  if (!isThere) return null;
  const store = openStoreForReading(database);
  if (store !== null) return store;
  throw new FactoryError(`Cannot read the database ${database}: it has no table of this factory's`, {
    hint: "A Rust factory's file is taken over at this one's first start; else -d names the wrong file",
  });
}

/** What it gives, or why the user's files do not let it. */
function orFactoryError<T>(read: () => T): T | FactoryError {
  try {
    return read();
  } catch (error) {
    if (error instanceof FactoryError) return error;
    throw error;
  }
}

async function showStatus(args: BaseArgs & { json?: boolean }): Promise<number> {
  const surroundings = await lookAround();
  const base = findBase(args, surroundings);
  const config = orFactoryError(() => readConfig(base, surroundings));
  const { chooseShown } = await import("./lib/status/shown-testbeds.ts");
  const { describeTestbeds } = await import("./lib/status/snapshot.ts");
  const { statusJson, statusTable } = await import("./lib/status/table.ts");
  const store = await openForReading(base.database);
  const isRunning = (await files.isThere(`${base.database}.lock`)) && isLocked(base.database);
  const shown = chooseShown(config, { path: base.config, reading: store?.reading() ?? null, isRunning });
  const status = {
    isRunning,
    database: base.database,
    remarks: shown.remarks,
    testbeds: describeTestbeds({
      config: shown,
      unread: shown.unread,
      latest: store?.latest() ?? [],
      health: store?.health() ?? new Map<string, Health>(),
      troubles: store?.troubles() ?? new Map<string, Trouble>(),
      now: { bootId: clock.bootId, uptimeMs: clock.uptimeMs() },
      wallMs: clock.wallMs(),
    }),
  };
  store?.close();
  const columns = process.stdout.isTTY ? 120 : null;
  for (const line of args.json === true ? [statusJson(status)] : statusTable(status, columns)) print(line);
  return 0;
}

async function showInstanceLog(
  args: BaseArgs & { instance?: string; follow?: boolean; file?: string },
): Promise<number> {
  if (args.instance === undefined) throw usageError("logs needs a testbed or an instance");
  const surroundings = await lookAround();
  const base = findBase(args, surroundings);
  const { showLog } = await import("./lib/commands/logs.ts");
  const store = await openForReading(base.database);
  const interrupted = new AbortController();
  process.once("SIGINT", () => interrupted.abort());
  const directory = mkdtempSync(`${tmpdir()}/factory-logs-`);
  const connections = openLabConnections(directory, programIn(surroundings));
  const testbeds = readTestbeds(base, surroundings);
  const shown = showLog({
    name: args.instance,
    file: args.file ?? "agent.log",
    follows: args.follow === true,
    signal: interrupted.signal,
    instances: store === null ? [] : [...store.open(), ...store.ended()],
    open: () => store?.open() ?? [],
    readPiece: async ({ testbed, place: { ssh } }, path, offset, maxBytes) => {
      if (ssh === undefined) return await files.readPiece(path, offset, maxBytes);
      const connection = connections.to(withKeysOfToday(testbeds, testbed, ssh));
      return await readFarPiece(connection, { path, offset, maxBytes, random });
    },
    clock,
    isTerminal: process.stdout.isTTY,
    write: (bytes) => writeSync(process.stdout.fd, bytes),
    tell: (line) => process.stderr.write(`${line}\n`),
  });
  try {
    return await shown;
  } finally {
    store?.close();
    await connections.close();
    await files.removeTree(directory);
  }
}

async function clearTestbedByWord(
  args: BaseArgs & { testbed?: string; because?: string; yes?: boolean },
): Promise<number> {
  if (args.testbed === undefined) throw usageError("clear needs a testbed");
  process.umask(0o077);
  const surroundings = await lookAround();
  const base = findBase(args, surroundings);
  const config = readConfig(base, surroundings);
  const { clearTestbed } = await import("./lib/commands/clear.ts");
  const { openWordWriter } = await import("./lib/store/operator-words.ts");
  const { database } = base;
  const places = {
    base,
    workDirectory: workDirectoryOf(config, base),
    lockDirectory: lockDirectoryOf(process.env),
  };
  const directory = mkdtempSync(`${tmpdir()}/factory-clear-`);
  const hosts = openLabHosts(config, places, programIn(surroundings), directory);
  const http = openHttp({ clock });
  let store: StoreReader | null = null;
  try {
    store = await openForReading(database);
    return await clearTestbed({
      testbed: args.testbed,
      because: args.because,
      isSure: args.yes === true,
      config,
      store,
      hosts,
      api: openFactoryApi({ http, baseurl: config.general.baseurl, token: config.token }),
      openRunner: (baseurl) => openSpRunnerApi({ http, baseurl }),
      clock,
      isRunning: () => existsSync(`${database}.lock`) && isLocked(database),
      terminal: openTerminal(),
      takeStore: () => {
        const lock = lockStore(database);
        if (lock === null) return null;
        const taken = openOwnStore(database, places.workDirectory);
        return { store: taken, close: () => void [taken.close(), lock.release()] };
      },
      openWriter: () => openWordWriter(database),
      print,
    });
  } finally {
    store?.close();
    await hosts.close();
    await files.removeTree(directory);
  }
}

async function setUpFactory(args: Record<string, unknown>, words: string[]): Promise<number> {
  const { runSetup } = await import("./lib/commands/setup/setup.ts");
  return await runSetup(args, words, {
    around: await lookAround(),
    files,
    terminal: openTerminal(),
    http: openHttp({ clock }),
    print,
    program: self,
  });
}

async function runDevserver(port: string | undefined): Promise<number> {
  if (port !== undefined && !/^\d{1,4}$|^[1-5]\d{4}$|^6[0-4]\d{3}$/.test(port)) {
    throw usageError(`--port takes a number up to 64999, not "${port}"`);
  }
  const { startDevserver } = await import("./lib/devserver/server.ts");
  const adminToken = Buffer.from(random.bytes(16)).toString("hex");
  const server = listenAt(Number(port ?? 0), (at) => startDevserver({ clock, random, port: at, adminToken }));
  print(`development buildomat server, nothing is kept: ${server.url}`);
  print(`admin token: ${adminToken}`);
  await new Promise<void>((end) => {
    process.on("SIGTERM", () => end());
    process.on("SIGINT", () => end());
  });
  await server.stop();
  return 0;
}

function listenAt<T>(port: number, start: (port: number) => T): T {
  try {
    return start(port);
  } catch (error) {
    throw new FactoryError(`Cannot listen on port ${port}: ${errorText(error)}`, {
      hint: "Name another one with --port, or none: a free one is then taken",
    });
  }
}

if (import.meta.main) {
  try {
    process.exit(
      await runCommandLine(process.argv.slice(2), {
        name: "buildomat-factory-sp-test",
        description: "Runs a buildomat server's hardware-test jobs on the testbeds of this lab",
        commands,
        usual: "run",
        version: versionLine(),
        print,
      }),
    );
  } catch (error) {
    if (!(error instanceof FactoryError)) throw error;
    process.stderr.write(`${error.message}\n${error.hint === undefined ? "" : `  ${error.hint}\n`}`);
    process.exit(error.exitCode);
  }
}
