#!/usr/bin/env bun
/**
 * The command tree and the exit codes, and the only file that wires real parts together.
 * Exit codes: 0, 1 failed, 2 usage, configuration or a place that cannot be written, 75 already running.
 */
import { accessSync, constants, existsSync, mkdirSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, isAbsolute, resolve } from "node:path";
import { type ArgsDef, type CommandDef, parseArgs, renderUsage } from "citty";
import { type Config, parseConfig } from "./lib/config.ts";
import { createDaemon } from "./lib/daemon/daemon.ts";
import { type AgentProgram, openKnown } from "./lib/daemon/known.ts";
import { directoryName, instanceName } from "./lib/domain.ts";
import { openClock } from "./lib/doors/clock.ts";
import { openFiles } from "./lib/doors/files.ts";
import { openHttp } from "./lib/doors/http.ts";
import { openProcesses } from "./lib/doors/processes.ts";
import { openRandom } from "./lib/doors/random.ts";
import { openFactoryApi } from "./lib/factory-api.ts";
import { FactoryError } from "./lib/failure.ts";
import { type Log, openLog } from "./lib/log.ts";
import { localTransport, openMinder } from "./lib/minder/minder.ts";
import type { Secret } from "./lib/secret.ts";
import { lockStore, openStore } from "./lib/store.ts";
import { versionLine } from "./lib/version.ts";

const exitAlreadyRunning = 75;

// Commands other than `run` are loaded when they are asked for: the agent starts with every job.

/** How this program is started again: the executable alone, or Bun with this file. Read at start: Bun remembers it. */
const isCompiled = import.meta.path.startsWith("/$bunfs/");
const self = isCompiled ? [process.execPath] : [process.execPath, import.meta.path];

const clock = openClock();
const random = openRandom();
const processes = openProcesses({ clock });
const searchPath = process.env["PATH"] ?? "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";

const placeArgs: ArgsDef = {
  config: { type: "string", alias: "f", valueHint: "FILE", description: "configuration (BASE/config.toml)" },
  database: { type: "string", alias: "d", valueHint: "FILE", description: "database (BASE/data.sqlite3)" },
  "base-dir": {
    type: "string",
    valueHint: "BASE",
    description: "directory of all three ($FACTORY_BASE, else ~/Oxide/ci/factory)",
  },
};

interface Places {
  config?: string;
  database?: string;
  "base-dir"?: string;
}

interface Command {
  description: string;
  args?: ArgsDef;
  isHidden?: boolean;
  /** Given all words after the command's, unparsed. */
  takesRest?: boolean;
  run(args: Record<string, unknown>, rest: string[]): Promise<number>;
}

const runCommand: Command = {
  description: "Lease jobs and run them until stopped (also without a command)",
  args: placeArgs,
  run: (args) => runFactory(args),
};

const commands: Record<string, Command> = {
  run: runCommand,
  demo: {
    description: "Show it at work: eight jobs on three simulated testbeds, under 20 s",
    run: async () => {
      const { runDemo } = await import("./lib/demo/demo.ts");
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
      const { runBmat } = await import("./lib/agent/bmat.ts");
      return await runBmat(rest, { clock, env: process.env });
    },
  },
};

function print(line: string): void {
  // citty colours its usage also where nobody sees colours.
  process.stdout.write(`${process.stdout.isTTY ? line : Bun.stripANSI(line)}\n`);
}

function readConfig(args: Places, user: string): { config: Config; database: string } {
  const base = resolve(args["base-dir"] ?? process.env["FACTORY_BASE"] ?? `${homedir()}/Oxide/ci/factory`);
  const path = resolve(args.config ?? `${base}/config.toml`);
  if (process.env["NODE_TLS_REJECT_UNAUTHORIZED"] === "0") {
    throw new FactoryError(
      "Cannot start: NODE_TLS_REJECT_UNAUTHORIZED=0 would let anybody pose as the server",
      {
        hint: "Unset it; a private certificate authority goes into NODE_EXTRA_CA_CERTS",
      },
    );
  }
  const config = parseConfig({
    text: readUserFile(path, "Write one there (README shows it), or name another with -f or --base-dir"),
    path,
    env: process.env,
    home: homedir(),
    user,
    platform: process.platform,
    workingDirectory: process.cwd(),
    systemdCredential: readCredential(),
    readTokenFile: (tokenPath) => readFileSync(tokenPath, "utf8"),
  });
  return { config, database: resolve(args.database ?? `${base}/data.sqlite3`) };
}

function readUserFile(path: string, hint: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const isMissing = (error as NodeJS.ErrnoException).code === "ENOENT";
    throw new FactoryError(`Cannot read ${path}: ${(error as Error).message}`, {
      hint: isMissing ? hint : "It must be a file that this user may read",
      cause: error,
    });
  }
}

/** systemd hands a unit's secrets over as files (systemd.exec, LoadCredential). */
function readCredential(): string | null {
  const directory = process.env["CREDENTIALS_DIRECTORY"];
  const path = `${directory}/factory-token`;
  return directory !== undefined && existsSync(path) ? readFileSync(path, "utf8") : null;
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

function chooseAgent({ general, path: configPath }: Config): AgentProgram {
  if (general.elevate && process.getuid?.() !== 0) {
    throw new FactoryError(
      `Cannot elevate agents yet, as ${configPath} asks with general.use_privilege_elevation`,
      {
        hint: "Set it to false, or run this program as root",
      },
    );
  }
  const beside = `${dirname(process.execPath)}/buildomat-agent`;
  const path = general.agent ?? (existsSync(beside) ? beside : "builtin");
  if (path !== "builtin") return { kind: "external", argv: [path], bmat: [path] };
  return { kind: "built-in", argv: [...self, "agent"], bmat: [...self, "bmat"] };
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

async function runFactory(args: Places): Promise<number> {
  process.umask(0o077);
  const user = { name: await userName(), home: homedir() };
  const { config, database } = readConfig(args, user.name);
  const log = openFactoryLog([config.token]);
  const lock = lockStore(database);
  if (lock === null) {
    throw new FactoryError(`Cannot start: another factory is running on ${database}`, {
      hint: "Stop it first, or name another database with -d",
      exitCode: exitAlreadyRunning,
    });
  }
  const workDirectory = config.general.workDir ?? `${dirname(database)}/work`;
  makeDirectory(workDirectory, "general.work_dir (or BUILDOMAT_WORK_DIR) names another place");
  const lockDirectory = process.env["FACTORY_LOCK_DIR"] ?? "/var/lock/buildomat-factory-sp-test";
  if (!isAbsolute(lockDirectory)) {
    throw new FactoryError(`Cannot use FACTORY_LOCK_DIR="${lockDirectory}": it is not an absolute path`);
  }
  const store = openStore({
    path: database,
    nowMs: clock.wallMs(),
    directoryOf: (row) => `${workDirectory}/${directoryName(row)}`,
  });
  const daemon = createDaemon({
    config,
    store,
    api: openFactoryApi({ http: openHttp({ clock }), baseurl: config.general.baseurl, token: config.token }),
    minder: openMinder({
      transport: localTransport({ processes }),
      random,
      directory: workDirectory,
      lockDirectory,
    }),
    agent: chooseAgent(config),
    workDirectory,
    path: searchPath,
    user,
    clock,
    random,
    files: openFiles(),
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
  const { held } = await daemon.run();
  for (const { testbed, seq, worker } of held) {
    const about = {
      testbed,
      instance: instanceName({ testbed, seq }),
      ...(worker === null ? {} : { worker }),
    };
    if (stopsAsked > 0) log.info("left running: the next start takes it over", about);
    else log.warn("held on the server and left as it is: release the worker there, then start again", about);
  }
  store.close();
  lock.release();
  return 0;
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
  for (const { name } of testbeds.filter(({ host, spRunnerUrl }) => host !== null || spRunnerUrl !== null)) {
    log.warn("no jobs are taken: testbeds of other hosts and sp-runner services are not served yet", {
      testbed: name,
    });
  }
}

async function runDevserver(port: string | undefined): Promise<number> {
  if (port !== undefined && !/^\d{1,4}$|^[1-5]\d{4}$|^6[0-4]\d{3}$/.test(port)) {
    throw usageError(`--port takes a number up to 64999, not "${port}"`);
  }
  const { startDevserver } = await import("./lib/devserver/server.ts");
  const adminToken = Buffer.from(random.bytes(16)).toString("hex");
  const server = startDevserver({ clock, random, port: Number(port ?? 0), adminToken });
  print(`development buildomat server, nothing is kept: ${server.url}`);
  print(`admin token: ${adminToken}`);
  await new Promise<void>((end) => {
    process.on("SIGTERM", () => end());
    process.on("SIGINT", () => end());
  });
  await server.stop();
  return 0;
}

/** The whole program: words in, exit code out. */
async function main(words: string[]): Promise<number> {
  const [first] = words;
  if (first === "--version" || first === "-V") {
    print(versionLine());
    return 0;
  }
  const isFlag = first === undefined || first.startsWith("-");
  if (first === "--help" || first === "-h" || first === "help") {
    print(await renderUsage(program()));
    print("\nWithout a command, as for `run`:");
    print(await renderUsage(definition("run", runCommand)));
    return 0;
  }
  const name = isFlag ? "run" : first;
  const command = commands[name];
  if (command === undefined) throw usageError(`Unknown command "${name}"`);
  const rest = isFlag ? words : words.slice(1);
  if (command.takesRest === true) return await command.run({}, rest);
  if (rest.includes("--help") || rest.includes("-h")) {
    print(await renderUsage(definition(name, command), program()));
    return 0;
  }
  return await command.run(readArgs(command.args ?? {}, rest), rest);
}

function readArgs(definitions: ArgsDef, rest: string[]): Record<string, unknown> {
  const known = Object.entries(definitions).flatMap(([name, arg]) => [
    name,
    camelCase(name),
    ...("alias" in arg ? [arg.alias].flat() : []),
  ]);
  const parsed = parseArgs(rest, definitions);
  const unknown = Object.keys(parsed).find((name) => name !== "_" && !known.includes(name)) ?? parsed._[0];
  if (unknown !== undefined) throw usageError(`Unknown argument "${unknown}"`);
  const empty = Object.keys(definitions).find((name) => parsed[name] === "");
  if (empty !== undefined) throw usageError(`--${empty} needs a value`);
  return parsed;
}

function camelCase(name: string): string {
  return name.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase());
}

function usageError(message: string): FactoryError {
  return new FactoryError(message, { hint: "buildomat-factory-sp-test --help shows what there is" });
}

function definition(name: string, { description, args }: Command): CommandDef {
  return { meta: { name, description }, args: args ?? {} };
}

function program(): CommandDef {
  const shown = Object.entries(commands).filter(([, { isHidden }]) => isHidden !== true);
  return {
    meta: {
      name: "buildomat-factory-sp-test",
      description: "Runs a buildomat server's hardware-test jobs on the testbeds of this lab",
    },
    subCommands: Object.fromEntries(shown.map(([name, command]) => [name, definition(name, command)])),
  };
}

if (import.meta.main) {
  try {
    process.exit(await main(process.argv.slice(2)));
  } catch (error) {
    if (!(error instanceof FactoryError)) throw error;
    process.stderr.write(`${error.message}\n${error.hint === undefined ? "" : `  ${error.hint}\n`}`);
    process.exit(error.exitCode);
  }
}
