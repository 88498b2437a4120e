/**
 * The hosts behind ssh: a connection and a minder for each testbed that hangs there. Which machine a host is stands in a file
 * here, so that another one at its address is found out; all else is learnt again.
 */
import { z } from "zod";
import type { Config, Testbed } from "../../config/config.ts";
import { noCover } from "../covered-paths.ts";
import type { SshAddress, SshHost, SshPlace } from "../../words/domain.ts";
import type { Files } from "../../doors/files.ts";
import type { Random } from "../../doors/random.ts";
import type { Host, Inspected, Reached } from "../host.ts";
import { elevatedShell, openElevated } from "../minder/elevation.ts";
import { type Minder, openMinder } from "../minder/minder.ts";
import type { Transport } from "../minder/transport.ts";
import { copyAgent, type Executable, pathOfCopy, whyNotCopied } from "./agent-copy.ts";
import type { Connection } from "./connection.ts";
import type { Connections } from "./connection-pool.ts";
import { guarded } from "./guard.ts";
import { faultThere, remarksOn, triedThere, whyUnfit } from "./judge-survey.ts";
import { type Survey, surveyHost } from "./survey.ts";
import { tryServerThere } from "./try-server.ts";

export interface SshOptions {
  config: Config;
  connections: Connections;
  files: Files;
  random: Random;
  /** Private to this user, and kept: which machine each host is. */
  machineDirectory: string;
  lockDirectory: string;
  /** What is copied to a host without an agent; null: this program runs from a checkout. */
  executable(): Promise<Executable | null>;
}

export interface SshHosts {
  reach(testbed: Testbed): Promise<Reached>;
  /** Whether jobs could run there, as far as can be told without changing anything there or here. */
  inspect(testbed: Testbed): Promise<Inspected>;
  minderOf(place: SshPlace): Minder;
  /** Calls `onChange` when something of the instance there may have changed. */
  watch(place: SshPlace, cookie: string, onChange: () => void): { close(): void };
}

const reachHint = "set a proxy or a private certificate authority in general.agent_environment";
const defaultWorkDirectory = "~/.local/state/buildomat-factory";
const knownSchema = z.object({ host: z.string(), workDirectory: z.string(), machine: z.string() });
type KnownMachine = z.infer<typeof knownSchema>;

export function openSshHosts(options: SshOptions): SshHosts {
  const { config, connections, files, random, lockDirectory } = options;
  const minders = new Map<string, Minder>();
  let executable: Promise<Executable | null> | null = null;

  function minderAt(testbed: string, address: SshHost, directory: string): Minder {
    const key = JSON.stringify([testbed, address, directory]);
    const known = minders.get(key);
    if (known !== undefined) return known;
    const transport = guarded(connections.to(address), address, directory);
    const minder = openMinder({ ...elevated(address, transport), random, directory, lockDirectory });
    minders.set(key, minder);
    return minder;
  }

  async function survey(testbed: Testbed, isLook: boolean): ReturnType<typeof surveyHost> {
    const address = addressOf(testbed);
    const request = {
      workDirectory: testbed.workDir ?? defaultWorkDirectory,
      agentPath: testbed.agentPath,
      isLook,
    };
    const seen = await surveyHost(connections.to(address), request, random);
    if (seen.ok || seen.reason.includes(address.host)) return seen;
    return { ok: false, reason: `${address.host}: ${seen.reason}` };
  }

  async function reach(testbed: Testbed): Promise<Reached> {
    const address = addressOf(testbed);
    const connection = connections.to(address);
    const before = await machineBefore(testbed);
    let seen = await survey(testbed, before !== null);
    // A machine that had a name is given no other one: it may not be the one that it was.
    if (seen.ok && seen.machine === null && before !== null && before.workDirectory !== seen.workDirectory) {
      seen = await survey(testbed, false);
    }
    if (!seen.ok) return seen;
    const other = whyOther(testbed, before, seen);
    if (other !== null) return { ok: false, reason: other };
    // Without one any machine would do.
    if (seen.machine === null) {
      return {
        ok: false,
        reason: `${address.host}: ${seen.workDirectory}/testbed-id there is empty; remove it`,
      };
    }
    await noteMachine(machineFile(testbed), machineText(address, seen));
    const agent = await agentAt(testbed, connection, seen);
    if (!agent.ok) return { ok: false, reason: `${address.host}: ${agent.reason}` };
    const { uid, machine } = seen;
    const ssh = { ...address, uid, machine, elevation: elevationAt(seen) };
    return {
      ok: true,
      host: {
        minder: minderAt(testbed.name, ssh, seen.workDirectory),
        agent: agent.agent,
        workDirectory: seen.workDirectory,
        cover: noCover,
        path: seen.path,
        user: { name: seen.user, home: seen.home },
        environment: {},
        ssh,
      },
    };
  }

  async function inspect(testbed: Testbed): Promise<Inspected> {
    const seen = await survey(testbed, true);
    if (!seen.ok) return seen;
    const { host } = addressOf(testbed);
    const fault = faultThere(testbed, seen);
    const other = whyOther(testbed, await machineBefore(testbed), seen);
    // In a directory that is closed to us no name of a machine can be read.
    if (other !== null && (seen.machine !== null || fault === null)) return { ok: false, reason: other };
    const agent = agentThere(testbed, seen);
    const reason =
      fault ??
      (agent === null
        ? whyNotCopied(seen, await options.executable())
        : agent.ok
          ? unfit(seen)
          : agent.reason);
    if (reason !== null) return { ok: false, reason: `${host}: ${reason}` };
    const { baseurl, agentEnvironment: environment } = config.general;
    const copied = agent === null ? await options.executable() : null;
    const program = copied === null ? null : pathOfCopy(seen, copied);
    const trial = await tryServerThere(
      connections.to(addressOf(testbed)),
      { baseurl, program, environment },
      random,
    );
    if (trial.kind === "failed") {
      return {
        ok: false,
        isServerSilent: true,
        reason: `${host}: an agent there cannot reach ${baseurl}: ${trial.reason}; ${reachHint}`,
      };
    }
    const tried =
      trial.kind === "reached"
        ? `${host}: it reaches the server`
        : `${host}: cannot try whether it reaches the server: it has neither curl nor wget`;
    return {
      ok: true,
      remarks: remarksOn(testbed, seen).map((remark) => `${host}: ${remark}`),
      tried: [
        `${host}: ${triedThere(testbed, seen, agent?.ok === true ? (agent.agent.argv[0] ?? null) : null)}`,
        tried,
      ],
    };
  }

  async function noteMachine(path: string, text: string): Promise<void> {
    if ((await files.readText(path)) !== text) await files.writePrivate(path, text, { replace: true });
  }

  const machineFile = ({ name }: Testbed): string => `${options.machineDirectory}/${name}`;

  /** As which machine its host was got to know; null: not yet, or the configuration names another host by now. */
  async function machineBefore(testbed: Testbed): Promise<KnownMachine | null> {
    const text = await files.readText(machineFile(testbed));
    const before = text === null ? null : readKnown(text);
    return before?.host === testbed.host ? before : null;
  }

  /** Why this is not the machine that the testbed hung on before; null: it is, or there was none. */
  function whyOther(
    testbed: Testbed,
    before: KnownMachine | null,
    { workDirectory, machine }: Survey,
  ): string | null {
    // Where the configuration names another directory by now, that one is got to know.
    if (before?.workDirectory !== workDirectory || before.machine === machine) return null;
    const what = `${testbed.host} is not the machine that this testbed was attached to before`;
    const name = `${workDirectory}/testbed-id`;
    if (machine !== null) {
      return `${what} (${name} differs); if it is the right one, remove ${machineFile(testbed)}`;
    }
    return `${what}, or its disk is not mounted (${name} is missing or empty); if it is the right one, write ${before.machine} into that file there`;
  }

  /** The agent that is there, or why none is used; null: this program is, if it can be copied. */
  function agentThere(
    testbed: Testbed,
    seen: Survey,
  ): { ok: true; agent: Host["agent"] } | { ok: false; reason: string } | null {
    const isWanted = testbed.agentPath !== null || config.general.agent !== "builtin";
    if (seen.agent !== null && isWanted) {
      return { ok: true, agent: { kind: "external", argv: [seen.agent], bmat: [seen.agent] } };
    }
    if (testbed.agentPath === null) return null;
    return { ok: false, reason: `its agent_path ${testbed.agentPath} is not there or cannot be run` };
  }

  async function agentAt(
    testbed: Testbed,
    connection: Connection,
    seen: Survey,
  ): Promise<{ ok: true; agent: Host["agent"] } | { ok: false; reason: string }> {
    const there = agentThere(testbed, seen);
    if (there !== null) return there;
    executable ??= options.executable().catch((error: unknown) => {
      // It may have been replaced just now: the next one who asks is told anew.
      executable = null;
      throw error;
    });
    const copied = await copyAgent(connection, seen, await executable, random);
    if (!copied.ok) return copied;
    const { path } = copied;
    return { ok: true, agent: { kind: "built-in", argv: [path, "agent"], bmat: [path, "bmat"] } };
  }

  function elevationAt({ system, uid }: Survey): SshHost["elevation"] {
    const isIllumos = system === "SunOS";
    if (!(config.general.elevateElsewhere ?? isIllumos)) return null;
    if (uid === 0) return "root";
    return isIllumos ? "pfexec" : "sudo";
  }

  const unfit = (seen: Survey): string | null =>
    whyUnfit(seen, elevationAt(seen) !== null, config.general.isolate);

  /** How an instance's host is reached today, and the work directory there. */
  function wayTo({ ssh, directory }: SshPlace): [string, SshHost, string] {
    const [, work = "", testbed = ""] = /^(.*)\/(.*)_\d+$/.exec(directory) ?? [];
    return [testbed, withKeysOfToday(config.testbeds, testbed, ssh), work];
  }

  return {
    reach,
    inspect,
    minderOf: (place) => minderAt(...wayTo(place)),
    watch: (place, cookie, onChange) => {
      const [, address] = wayTo(place);
      return connections.to(address).watch({ cookie, directory: place.directory }, onChange);
    },
  };
}

/** A key may have been replaced since an instance was begun. Who and where it is stays as recorded. */
export function withKeysOfToday(testbeds: Testbed[], testbed: string, address: SshHost): SshHost {
  const today = testbeds.find(({ name }) => name === testbed);
  if (today?.host !== address.host || today.sshUser !== address.user) return address;
  return { ...address, key: today.sshKey, hostKey: today.hostKey };
}

function machineText({ host }: SshAddress, { workDirectory, machine }: Survey): string {
  return JSON.stringify({ host, workDirectory, machine });
}

/** A file that cannot be read says nothing of the machine. */
function readKnown(text: string): KnownMachine | null {
  try {
    return knownSchema.safeParse(JSON.parse(text)).data ?? null;
  } catch {
    return null;
  }
}

function elevated(
  { elevation, uid, user }: SshHost,
  transport: Transport,
): { transport: Transport; shell?: string; elevation?: { uid: number } } {
  if (elevation === null) return { transport };
  const platform = elevation === "pfexec" ? "illumos" : "linux";
  return {
    transport: elevation === "root" ? transport : openElevated({ transport, platform, user }),
    shell: elevatedShell,
    elevation: { uid },
  };
}

export function addressOf({ host, sshUser, sshPort, sshKey, hostKey }: Testbed): SshAddress {
  return {
    host: host ?? "",
    user: sshUser,
    port: sshPort,
    key: sshKey,
    hostKey,
  };
}
