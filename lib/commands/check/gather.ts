/**
 * Gathers what `check` judges: asks the server, looks at files, tries programs. Each look has a time limit, changes nothing, and
 * does not prevent the others. Trials use a scratch directory, which is removed afterwards.
 */
import { constants } from "node:fs";
import { access, lstat, mkdtemp, rm, stat, statfs } from "node:fs/promises";
import { dirname, isAbsolute, join } from "node:path";
import { parse } from "smol-toml";
import { agentEnvironment, passedEnvironment, usualTaskPath } from "../../hosts/agent-environment.ts";
import { chooseAgent, type ProgramSource } from "../../hosts/agent-program.ts";
import { type Base, lockDirectoryOf, type Surroundings, workDirectoryOf } from "../../config/locations.ts";
import { requestFor } from "../../server/call.ts";
import type { Config, Testbed } from "../../config/config.ts";
import { expandHome } from "../../config/home-paths.ts";
import type { Clock } from "../../doors/clock.ts";
import type { Http } from "../../doors/http.ts";
import type { Processes } from "../../doors/processes.ts";
import { openFactoryApi } from "../../server/factory-side.ts";
import { errorText } from "../../words/failure.ts";
import { askFactory } from "../lab-snapshot.ts";
import { checkBoards } from "./board-checks.ts";
import type { Inspected } from "../../hosts/host.ts";
import type { Minder } from "../../hosts/minder/minder.ts";
import { isReached } from "../../policy/free-testbeds.ts";
import { isFactoryRunning } from "../../store/store.ts";
import { isThere, readQuarantines, readRunningConfig, readTroubles, tryDatabase } from "./database.ts";
import type { Facts, Seen, Named, SeenPath } from "./facts.ts";

export interface Ground {
  surroundings: Surroundings;
  source: ProgramSource;
  uid: number | null;
  clock: Clock;
  http: Http;
  processes: Processes;
  /** The minder that would run agents, with its script in `directory`. */
  openMinder(config: Config, places: { directory: string; lockDirectory: string }): Minder;
  /** Whether a testbed's host or sp-runner service can be used. Leaves nothing there. */
  reach(config: Config, testbed: Testbed, scratch: string): Promise<Inspected>;
  /** Where jobs' programs are searched. */
  searchPath: string;
  /** The parent of the scratch directory. */
  temporaryDirectory: string;
}

const callTimeoutMs = 10_000;
/** What the minder's own shell finds. */
const systemPath = "/usr/bin:/bin:/usr/sbin:/sbin";

export async function gather(config: Config, base: Base, ground: Ground): Promise<Facts> {
  const scratch = await look(() => mkdtemp(join(ground.temporaryDirectory, "factory-check-")));
  try {
    return await gatherWith(config, base, ground, scratch);
  } finally {
    if (scratch.ok) await rm(scratch.value, { recursive: true, force: true });
  }
}

async function gatherWith(config: Config, base: Base, ground: Ground, scratch: Seen<string>): Promise<Facts> {
  const { surroundings, uid } = ground;
  const workDirectory = workDirectoryOf(config, base);
  const lockDirectory = await look(() => lockDirectoryOf(surroundings.env));
  // Not even its script is left in the real work directory.
  const openMinder = (locks: string): Minder =>
    ground.openMinder(config, { directory: valueOf(scratch), lockDirectory: locks });
  const isRunning = look(() => isFactoryRunning(base.database, isThere));
  const locks = look(() => openMinder(valueOf(lockDirectory)).locks());
  const looks = {
    tokenFiles: look(() => lookAtTokenFiles(config, ground)),
    ping: look(() => ping(config, ground)),
    workers: look(() => askWorkers(config, ground)),
    configDirectory: look(() => lookAt(dirname(base.config))),
    databaseDirectory: look(() => lookAt(dirname(base.database))),
    database: look(() => lookAt(base.database)),
    reaches: look(() => reachHosts(config, ground, valueOf(scratch))),
    databaseTrouble: look(() => tryDatabase(base.database, valueOf(scratch))),
    workDirectory: look(() => lookAt(workDirectory, { followsLinks: false })),
    lockDirectory: look(() => lookAt(valueOf(lockDirectory), { followsLinks: false })),
    freeBytes: look(() => readFreeBytes(workDirectory)),
    boardChecks: look(async () => await checkBoards(config, ground, await isRunning, await locks)),
    isFactoryRunning: isRunning,
    live: look(() => askFactory(ground, base)),
    troubles: look(() => readTroubles(base.database)),
    runningConfig: look(() => readRunningConfig(base.database)),
    quarantines: look(() => readQuarantines(base.database, valueOf(scratch), ground.clock)),
    locks,
    missingPrograms: look(() => findMissingPrograms(config, ground)),
    probe: look(() => probe(config, ground, openMinder(`${valueOf(scratch)}/locks`))),
    agent: look(() => tryAgent(config, ground, valueOf(scratch))),
    agentServer: look(() => tryServer(config, ground, valueOf(scratch))),
    runners: look(() => lookAtRunners(config, ground)),
  };
  const entries = Object.entries(looks).map(async ([name, made]) => [name, await made] as const);
  const found = Object.fromEntries(await Promise.all(entries)) as {
    [name in keyof typeof looks]: Awaited<(typeof looks)[name]>;
  };
  return { base, config, platform: surroundings.platform, uid, ...found };
}

async function look<T>(make: () => T | Promise<T>): Promise<Seen<T>> {
  try {
    return { ok: true, value: await make() };
  } catch (error) {
    return { ok: false, reason: errorText(error) };
  }
}

function valueOf<T>(made: Seen<T>): T {
  if (made.ok) return made.value;
  throw new Error(made.reason);
}

async function ping({ general, token }: Config, { http, clock }: Ground) {
  const server = { http, baseurl: general.baseurl, token };
  const request = requestFor(server, { method: "GET", path: "/0/factory/ping", timeoutMs: callTimeoutMs });
  const beforeMs = clock.wallMs();
  const reply = await http.request(request);
  return { reply, wallMs: (beforeMs + clock.wallMs()) / 2 };
}

function askWorkers({ general, token }: Config, { http }: Ground) {
  const hurried: Http = {
    ...http,
    request: (wanted) => http.request({ ...wanted, timeoutMs: callTimeoutMs }),
  };
  return openFactoryApi({ http: hurried, baseurl: general.baseurl, token }).workers();
}

async function lookAt(path: string, { followsLinks = true } = {}): Promise<SeenPath> {
  const may = async (mode: number, what = path): Promise<boolean> =>
    await access(what, mode).then(
      () => true,
      () => false,
    );
  try {
    const seen = await (followsLinks ? stat(path) : lstat(path));
    const isDirectory = seen.isDirectory();
    const other = seen.isSymbolicLink() ? "link" : "other";
    return {
      path,
      kind: isDirectory ? "directory" : seen.isFile() ? "file" : other,
      mode: seen.mode & 0o7777,
      uid: seen.uid,
      isReadable: await may(constants.R_OK),
      isWritable: await may(isDirectory ? constants.W_OK | constants.X_OK : constants.W_OK),
      isExecutable: await may(constants.X_OK),
    };
  } catch (error) {
    if (!isAbsent(error)) throw error;
    const isWritable = await may(constants.W_OK | constants.X_OK, await nearestDirectory(path));
    return { path, kind: "missing", mode: 0, uid: 0, isReadable: false, isWritable, isExecutable: false };
  }
}

/** The path, or its nearest parent that exists. */
async function nearestDirectory(path: string): Promise<string> {
  for (let nearest = path; ; nearest = dirname(nearest)) {
    const seen = await stat(nearest).catch(() => null);
    if (seen !== null || nearest === "/") return nearest;
  }
}

/** The configuration contains the token or names its file. */
async function lookAtTokenFiles(config: Config, { surroundings }: Ground): Promise<SeenPath[]> {
  const { factory } = parse(surroundings.readText(config.path)) as { factory?: Record<string, unknown> };
  const { token, token_file: file } = factory ?? {};
  const paths = [
    ...(typeof token === "string" ? [config.path] : []),
    ...(typeof file === "string" ? [expandHome(file, surroundings.home)] : []),
  ];
  return await Promise.all(paths.map((path) => lookAt(path)));
}

async function readFreeBytes(path: string): Promise<number> {
  const { bavail, bsize } = await statfs(await nearestDirectory(path));
  return bavail * bsize;
}

async function reachHosts(
  config: Config,
  { reach }: Ground,
  scratch: string,
): Promise<Map<string, Inspected>> {
  const far = config.testbeds.filter((testbed) => testbed.enabled && isReached(testbed));
  const reached = far.map(async (testbed) => [testbed.name, await reach(config, testbed, scratch)] as const);
  return new Map(await Promise.all(reached));
}

async function findMissingPrograms({ general }: Config, { searchPath, surroundings }: Ground) {
  const needsNamespaces = general.isolate !== "off" && surroundings.platform === "linux";
  return {
    ofJobs: await missingOf(["bash"], searchPath),
    ofIsolation: needsNamespaces
      ? await missingOf(["unshare", "setpriv", "mount", "pivot_root"], systemPath)
      : [],
  };
}

async function missingOf(names: string[], path: string): Promise<string[]> {
  const found = await Promise.all(names.map((name) => findProgram(name, path)));
  return names.filter((_, index) => found[index] === null);
}

/** The first executable file of that name on `path`; for an absolute name, what is there. */
async function findProgram(name: string, path: string): Promise<SeenPath | null> {
  if (isAbsolute(name)) {
    const place = await lookAt(name);
    return place.kind === "missing" ? null : place;
  }
  if (name.includes("/")) return null;
  for (const directory of path.split(":").filter((each) => isAbsolute(each))) {
    const place = await lookAt(join(directory, name)).catch(() => null);
    if (place?.kind === "file" && place.isExecutable) return place;
  }
  return null;
}

function probe(config: Config, { source }: Ground, minder: Minder) {
  const { kind, argv } = chooseAgent(config, source);
  const external = kind === "external" ? argv[0] : undefined;
  return minder.probe(argv.slice(0, 1), { external, isolate: config.general.isolate });
}

async function tryAgent(config: Config, ground: Ground, scratch: string) {
  const program = chooseAgent(config, ground.source);
  const [path = ""] = program.argv;
  const place = await lookAt(path);
  if (place.kind !== "file" || !place.isExecutable) return { program, place, run: null };
  const run = await ground.processes.run({
    argv: [...program.argv, "--help"],
    env: { PATH: ground.searchPath, HOME: scratch },
    cwd: "/",
    timeoutMs: callTimeoutMs,
    maxBytes: 4096,
  });
  return { program, place, run };
}

/** As an agent on this host would, whichever agent is configured. */
async function tryServer(
  config: Config,
  { source, surroundings, searchPath, processes }: Ground,
  scratch: string,
) {
  if (!config.testbeds.some(({ enabled, host }) => enabled && host === null)) return null;
  const { user, home } = surroundings;
  const host = { path: searchPath, user: { name: user, home }, environment: passedEnvironment(surroundings) };
  return await processes.run({
    argv: [...source.self, "agent", "try", config.general.baseurl],
    env: { ...agentEnvironment(config, host), HOME: scratch },
    cwd: "/",
    timeoutMs: callTimeoutMs + 5_000,
    maxBytes: 4096,
  });
}

/** One for each command and for each configuration, of the testbeds whose jobs run on this host. */
async function lookAtRunners(config: Config, { source, surroundings }: Ground) {
  const { testbeds, general } = config;
  const { home } = surroundings;
  const isBuiltIn = chooseAgent(config, source).kind === "built-in";
  const searchPath = (isBuiltIn ? general.agentEnvironment["PATH"] : undefined) ?? usualTaskPath;
  const local = testbeds.filter(
    ({ enabled, host, spRunnerUrl }) => enabled && host === null && spRunnerUrl === null,
  );
  const findEach = async (
    named: (testbed: Testbed) => string,
    find: (text: string) => Promise<SeenPath | null>,
  ): Promise<Named[]> =>
    await Promise.all(
      Array.from(Map.groupBy(local, named), async ([text, group]) => {
        return { text, place: await find(text), testbeds: group.map(({ name }) => name) };
      }),
    );
  return {
    searchPath,
    programs: await findEach(
      ({ spRunnerPath }) => spRunnerPath,
      (command) => findProgram(expandHome(command.trim().split(/\s+/)[0] ?? "", home), searchPath),
    ),
    configurations: await findEach(
      ({ spRunnerConfig }) => spRunnerConfig,
      (path) => lookAt(expandHome(path, home)),
    ),
  };
}

function isAbsent(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR");
}
