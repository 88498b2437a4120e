/**
 * The hosts behind ssh: a connection and a minder for each testbed there. A file here records which machine each host is, so that
 * another machine at the same address is noticed. Everything else is found out again after a restart.
 */
import { z } from "zod";
import type { Config, Testbed } from "../../config/config.ts";
import { noCover } from "../covered-paths.ts";
import type { SshAddress, SshHost, SshPlace } from "../../words/place.ts";
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
  /** A private directory that is kept: it records which machine each host is. */
  machineDirectory: string;
  lockDirectory: string;
  /** The executable that is copied to hosts without an agent; null: this program runs from a checkout. */
  executable(): Promise<Executable | null>;
}

export interface SshHosts {
  reach(testbed: Testbed): Promise<Reached>;
  /** Whether jobs could run there, as far as is known without changing anything there or here. */
  inspect(testbed: Testbed): Promise<Inspected>;
  minderOf(place: SshPlace): Minder;
  /** Calls `onChange` when the instance there may have changed. */
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
    // A machine that lost its id does not get a new one: it may be another machine.
    if (seen.ok && seen.machine === null && before !== null && before.workDirectory !== seen.workDirectory) {
      seen = await survey(testbed, false);
    }
    if (!seen.ok) return seen;
    const other = whyOther(testbed, before, seen);
    if (other !== null) return { ok: false, reason: other };
    // Without an id, any machine would be accepted.
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
    // If we cannot read the directory, we cannot read its machine id.
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

  /** The machine that its host was at first contact; null: no contact yet, or the configuration now names another host. */
  async function machineBefore(testbed: Testbed): Promise<KnownMachine | null> {
    const text = await files.readText(machineFile(testbed));
    const before = text === null ? null : readKnown(text);
    return before?.host === testbed.host ? before : null;
  }

  /** Why this is not the machine that the testbed was attached to before; null: it is, or there was none. */
  function whyOther(
    testbed: Testbed,
    before: KnownMachine | null,
    { workDirectory, machine }: Survey,
  ): string | null {
    // If the configuration now names another directory, treat it as a first contact.
    if (before?.workDirectory !== workDirectory || before.machine === machine) return null;
    const what = `${testbed.host} is not the machine that this testbed was attached to before`;
    const name = `${workDirectory}/testbed-id`;
    if (machine !== null) {
      return `${what} (${name} differs); if it is the right one, remove ${machineFile(testbed)}`;
    }
    return `${what}, or its disk is not mounted (${name} is missing or empty); if it is the right one, write ${before.machine} into that file there`;
  }

  /** The agent there, or why there is none; null: use a copy of this program. */
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
      // The host may have been replaced just now: the next call checks again.
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

  /** How to reach an instance's host now, and the work directory there. */
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

/** Keys may have been replaced since the instance started; user and host stay as recorded. */
export function withKeysOfToday(testbeds: Testbed[], testbed: string, address: SshHost): SshHost {
  const today = testbeds.find(({ name }) => name === testbed);
  if (today?.host !== address.host || today.sshUser !== address.user) return address;
  return { ...address, key: today.sshKey, hostKey: today.hostKey };
}

function machineText({ host }: SshAddress, { workDirectory, machine }: Survey): string {
  return JSON.stringify({ host, workDirectory, machine });
}

/** A record that cannot be read counts as no record. */
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
