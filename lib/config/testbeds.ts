/** The `[testbed.*]` and `[target.*]` sections. */
import type { z } from "zod";
import { expandHome, hiddenDirectory, isHiddenInInstance } from "./home-paths.ts";
import { type Complain, nearestWord, tomlKey } from "./problems.ts";
import { targetSchema, testbedSchema } from "./schema.ts";
import { isTargetName, isTestbedName, type SpType } from "./values.ts";
import { entriesOf, isTable, readSection } from "./section-reader.ts";
import type { TomlPath } from "./toml-lines.ts";
import { parseUlid } from "../words/ulid.ts";

export interface Testbed {
  /** Letters, digits, `.`, `_` and `-`, with a letter or digit first: directories, locks and workers carry it. */
  name: string;
  spType: SpType;
  /** Names from `Config.targets`, at least one, without repeats. */
  targets: string[];
  /** The agent runs there, over ssh; null: on this host. */
  host: string | null;
  sshUser: string;
  /** Null: the user's own ssh configuration decides. */
  sshPort: number | null;
  sshKey: string | null;
  /** Type and key, as in a known_hosts line; null: trust the first key seen. */
  hostKey: string | null;
  /** On `host`; may begin with `~/`. */
  agentPath: string | null;
  /** On `host`; may begin with `~/`. */
  workDir: string | null;
  /** If set, jobs go to this sp-runner service and `host` is null. */
  spRunnerUrl: string | null;
  testType: string;
  disableWatchdog: boolean;
  /** A path or a command line. `~` here and in `spRunnerConfig` is the home of the agent's user on its host. */
  spRunnerPath: string;
  spRunnerConfig: string;
  baseline: string;
  enabled: boolean;
  startTimeoutMs: number;
  jobTimeoutMs: number | null;
  silenceTimeoutMs: number | null;
  /** A command line that must succeed before the factory takes a lease for this testbed. */
  check: string | null;
  note: string;
}

export interface Target {
  name: string;
  /** The server's ULID; null: the factory cannot ask for leases of this target. */
  id: string | null;
}

export function readTargets(value: unknown, complain: Complain): Target[] {
  const targets: Target[] = [];
  const nameOfId = new Map<string, string>();
  for (const [name, section] of entriesOf(value, "target", complain)) {
    if (!isTargetName(name)) {
      const fix = "Use up to 128 characters, without spaces or control characters";
      complain(["target", name], "this name cannot be used", fix);
    }
    const target = readSection(targetSchema, section, ["target", name], complain);
    const id = target.id ?? parseUlid(name);
    const other = id === null ? undefined : nameOfId.get(id);
    if (other !== undefined) {
      const wrong = `[target.${tomlKey(other)}] has the same id`;
      complain(["target", name, "id"], wrong, "Keep one of the two sections");
    }
    if (id !== null) nameOfId.set(id, name);
    targets.push({ name, id });
  }
  return targets;
}

/** `user` is the default of `ssh_user`. */
export function readTestbeds(
  value: unknown,
  targets: Target[],
  owner: { home: string; user: string },
  complain: Complain,
): Testbed[] {
  const targetNames = new Set(targets.map((target) => target.name));
  const nameByLowerCase = new Map<string, string>();
  const testbeds: Testbed[] = [];
  for (const [name, section] of entriesOf(value, "testbed", complain)) {
    const at = ["testbed", name];
    if (!isTestbedName(name)) {
      const form = "letters, digits, dots, underscores and hyphens; begin with a letter or digit";
      complain(at, "this name cannot be used", `Use up to 64 ${form}`);
    }
    const twin = nameByLowerCase.get(name.toLowerCase());
    if (twin !== undefined) {
      const wrong = `[testbed.${tomlKey(twin)}] differs only in upper and lower case`;
      complain(at, wrong, "Rename one of the two");
    }
    nameByLowerCase.set(name.toLowerCase(), name);
    const testbed = readSection(testbedSchema, section, at, complain);
    const names = isTable(section) && Array.isArray(section["targets"]) ? section["targets"] : [];
    checkTargets(names, at, targetNames, complain);
    checkPlace(testbed, at, complain);
    // Incomplete if a problem was reported; parseConfig() then throws and nobody sees it.
    testbeds.push(plainTestbed(name, testbed as TestbedSection, owner));
  }
  return testbeds;
}

type TestbedSection = z.output<typeof testbedSchema>;

/** There must be one answer to where a testbed's jobs run. */
function checkPlace(testbed: Partial<TestbedSection>, at: TomlPath, complain: Complain): void {
  if (testbed.work_dir !== undefined && isHiddenInInstance(testbed.work_dir)) {
    complain([...at, "work_dir"], ...hiddenDirectory(testbed.work_dir));
  }
  if (testbed.host !== undefined && testbed.sp_runner_url !== undefined) {
    const fix = "Keep host to run an agent over ssh, or sp_runner_url to give jobs to an sp-runner";
    complain([...at, "sp_runner_url"], "host is also set", fix);
  }
}

function plainTestbed(
  name: string,
  testbed: TestbedSection,
  { home, user }: { home: string; user: string },
): Testbed {
  return {
    name,
    spType: testbed.sp_type,
    targets: [...new Set(testbed.targets ?? [])],
    host: testbed.host ?? null,
    sshUser: testbed.ssh_user ?? user,
    sshPort: testbed.ssh_port ?? null,
    sshKey: testbed.ssh_key === undefined ? null : expandHome(testbed.ssh_key, home),
    hostKey: testbed.host_key ?? null,
    agentPath: testbed.agent_path ?? null,
    workDir: testbed.work_dir ?? null,
    spRunnerUrl: testbed.sp_runner_url ?? null,
    testType: testbed.test_type,
    disableWatchdog: testbed.disable_watchdog,
    spRunnerPath: testbed.sp_runner_path,
    spRunnerConfig: testbed.sp_runner_config,
    baseline: testbed.baseline,
    enabled: testbed.enabled,
    startTimeoutMs: testbed.start_timeout,
    jobTimeoutMs: testbed.job_timeout ?? null,
    silenceTimeoutMs: testbed.silence_timeout ?? null,
    check: testbed.check ?? null,
    note: testbed.note,
  };
}

/** Each name must have a [target.*] section. */
function checkTargets(names: unknown[], at: TomlPath, known: Set<string>, complain: Complain): void {
  for (const [index, name] of names.entries()) {
    if (typeof name !== "string" || known.has(name)) continue;
    const near = nearestWord(name, known);
    const header = `[target.${tomlKey(name)}]`;
    const fix = near === null ? `Add ${header}` : `Did you mean "${near}"? If not, add ${header}`;
    complain([...at, "targets", index], `there is no ${header} section`, fix);
  }
}
