/**
 * Puts together the hosts of a lab: this one, as root if the configuration requires it, and those behind ssh. The caller passes
 * what it knows about this process.
 */
import { dirname } from "node:path";
import { type AgentProgram, chooseAgent, type ProgramSource } from "./agent-program.ts";
import { passedEnvironment } from "./agent-environment.ts";
import type { Base, Surroundings } from "../config/locations.ts";
import type { Config, Testbed } from "../config/config.ts";
import type { Clock } from "../doors/clock.ts";
import { coverOf } from "./covered-paths.ts";
import type { Files } from "../doors/files.ts";
import type { Processes } from "../doors/processes.ts";
import type { Random } from "../doors/random.ts";
import type { Host, Hosts, Inspected } from "./host.ts";
import { elevatedShell, openElevated } from "./minder/elevation.ts";
import { type Minder, openMinder } from "./minder/minder.ts";
import { chooseScope } from "./minder/scope.ts";
import { localTransport, type Transport } from "./minder/transport.ts";
import type { Executable } from "./ssh/agent-copy.ts";
import { type Connections, openConnections } from "./ssh/connection-pool.ts";
import { addressOf, openSshHosts, withKeysOfToday } from "./ssh/far-host.ts";
import type { Instance } from "../words/domain.ts";
import { version } from "../words/version.ts";

export interface Program extends ProgramSource {
  /** Only a built executable can be copied to other hosts; a checkout cannot. */
  isCompiled: boolean;
  uid: number;
  /** This program's PATH, which agents on this host get too. */
  searchPath: string;
  surroundings: Surroundings;
  processes: Processes;
  files: Files;
  random: Random;
  clock: Clock;
}

export interface HostDirectories {
  /** The directory of this host's instance directories. */
  workDirectory: string;
  lockDirectory: string;
}

/** The minder of this host. If agents run as root and this program does not, it uses sudo or pfexec. */
export function openHostMinder(
  { general }: Config,
  { workDirectory, lockDirectory }: HostDirectories,
  { processes, random, uid, surroundings }: Pick<Program, "processes" | "random" | "uid" | "surroundings">,
): Minder {
  const place = { random, directory: workDirectory, lockDirectory };
  const scope = chooseScope({ env: surroundings.env, uid });
  const transport = localTransport({ processes });
  const lasting = scope === null ? undefined : localTransport({ processes, scope });
  if (!general.elevate) return openMinder({ ...place, transport, lasting });
  const { platform, user } = surroundings;
  const elevated = (each: Transport): Transport =>
    uid === 0 ? each : openElevated({ transport: each, platform, user });
  return openMinder({
    ...place,
    transport: elevated(transport),
    lasting: lasting === undefined ? undefined : elevated(lasting),
    shell: elevatedShell,
    elevation: { uid },
  });
}

/** `connections` outlive the configuration: another call with them gives the hosts of another one. */
export function openLabHosts(
  config: Config,
  places: HostDirectories & { base: Base },
  program: Program,
  connections: Connections,
): Hosts {
  const { base, workDirectory } = places;
  const { self, searchPath, surroundings } = program;
  const { user, home } = surroundings;
  const here: Host = {
    minder: openHostMinder(config, places, program),
    agent: chooseAgent(config, program),
    workDirectory,
    cover: coverOf(config, { base, workDirectory, surroundings, program: filesOf(program) }),
    path: searchPath,
    user: { name: user, home },
    environment: passedEnvironment(surroundings),
    ssh: null,
  };
  const ssh = openFarHosts(config, connections, places, program);
  const builtIn: AgentProgram = { kind: "built-in", argv: [...self, "agent"], bmat: [...self, "bmat"] };
  return {
    here,
    builtIn,
    minderOf: (place) => (place.way === "ssh" ? ssh.minderOf(place) : here.minder),
    reach: ssh.reach,
    watch: ssh.watch,
    close: connections.close,
  };
}

/** Closes the connections to hosts on which no testbed hangs any more and no instance runs. */
export async function closeUnused(
  connections: Connections,
  { testbeds }: Pick<Config, "testbeds">,
  instances: readonly Instance[],
): Promise<void> {
  const configured = testbeds.filter(({ host }) => host !== null).map(addressOf);
  const running = instances.flatMap(({ testbed, place }) =>
    place.way === "ssh" ? [withKeysOfToday(testbeds, testbed, place.ssh)] : [],
  );
  await connections.keepOnly([...configured, ...running]);
}

/** Whether jobs could run on a testbed's host; nothing is changed there. `scratch` is only for this call. */
export async function inspectFarHost(
  config: Config,
  testbed: Testbed,
  { scratch, ...places }: HostDirectories & { scratch: string },
  program: Program,
): Promise<Inspected> {
  const connections = openLabConnections(scratch, program);
  try {
    return await openFarHosts(config, connections, places, program).inspect(testbed);
  } finally {
    await connections.close();
  }
}

/** `directory` holds their sockets. `isStaying`: a long-running program keeps a line to each host. */
export function openLabConnections(directory: string, program: Program, isStaying = false): Connections {
  const { processes, files, surroundings, searchPath, clock, random } = program;
  const { env, home, user } = surroundings;
  const agent = env["SSH_AUTH_SOCK"];
  return openConnections({
    processes,
    files,
    // ssh finds the user's keys and configuration by these.
    env: {
      PATH: searchPath,
      HOME: home,
      USER: user,
      LOGNAME: user,
      LC_ALL: "C",
      // No window may ask for a password either.
      SSH_ASKPASS_REQUIRE: "never",
      ...(agent === undefined ? {} : { SSH_AUTH_SOCK: agent }),
    },
    directory,
    ...(isStaying ? { lines: { clock, random } } : {}),
  });
}

function openFarHosts(
  config: Config,
  connections: Connections,
  { workDirectory, lockDirectory }: HostDirectories,
  program: Program,
): ReturnType<typeof openSshHosts> {
  const { files, random } = program;
  return openSshHosts({
    config,
    connections,
    files,
    random,
    machineDirectory: `${workDirectory}/.machines`,
    lockDirectory,
    executable: () => readOwnExecutable(program),
  });
}

/** The checkout: the directory of the script that the executable runs. */
function filesOf({ isCompiled, executable, self }: Program): string[] {
  const script = self.at(-1);
  return [executable, ...(isCompiled || script === undefined ? [] : [dirname(script)])];
}

/** The executable for other hosts that have no agent. */
async function readOwnExecutable({
  isCompiled,
  executable: path,
  searchPath,
  processes,
  files,
}: Program): Promise<Executable | null> {
  if (!isCompiled) return null;
  const asked = await processes.run({
    argv: ["uname", "-sm"],
    env: { PATH: searchPath },
    timeoutMs: 5_000,
    maxBytes: 256,
  });
  const [system = "", cpu = ""] = asked.ok ? asked.stdout.trim().split(" ") : [];
  const { size: bytes = 0 } = (await files.readPiece(path, 0, 0)) ?? {};
  return { path, version: version.version, sha256: await files.sha256(path), bytes, system, cpu };
}
