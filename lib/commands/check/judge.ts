/**
 * What the facts mean for jobs: findings in the order in which an engineer would fix them. Pure: the same facts give the
 * same findings.
 */
import { ConfigError, type Testbed } from "../../config/config.ts";
import { errorText, FactoryError } from "../../words/failure.ts";
import { isReached, servedTargets } from "../../policy/free-testbeds.ts";
import type { Facts } from "./facts.ts";
import { error, type Finding, ok, warning } from "./finding.ts";
import {
  isShared,
  judgeLive,
  judgeQuarantine,
  judgeRunning,
  judgeRunningConfig,
  judgeShared,
  judgeTrouble,
} from "./judge-factory.ts";
import {
  elevationTrouble,
  judgeAgent,
  judgeAgentServer,
  judgeElevation,
  judgeIsolation,
  judgePrograms,
  judgeRunners,
} from "./judge-host.ts";
import { judgeBase, judgeFreeSpace, judgeLockDirectory, judgeTokenFiles, judgeWork } from "./judge-places.ts";
import { judgeServer, judgeTargets, judgeWorkers } from "./judge-server.ts";

export function judge(facts: Facts): Finding[] {
  const { config, isFactoryRunning } = facts;
  return [
    ok("configuration", `${config.path} is valid`),
    ...judgeTokenFiles(facts),
    ...judgeServer(facts),
    ...judgeWorkers(facts),
    ...judgeTargets(facts),
    ...judgeTestbeds(facts),
    ...judgeBase(facts),
    ...judgeWork(facts),
    ...judgeLockDirectory(facts),
    ...judgeFreeSpace(facts),
    ...judgeRunning(facts, isFactoryRunning),
    ...judgeRunningConfig(facts),
    ...judgePrograms(facts),
    ...judgeElevation(facts),
    ...judgeIsolation(facts),
    ...judgeAgent(facts),
    ...judgeAgentServer(facts),
    ...judgeRunners(facts),
  ];
}

/** Without a usable configuration only its mistakes are reported. */
export function judgeUnreadable(thrown: unknown, path: string): Finding[] {
  if (thrown instanceof ConfigError) {
    return thrown.problems.map(({ line, key, wrong, fix }) =>
      error("configuration", `${line === null ? "environment" : `${path}:${line}`}: ${key}: ${wrong}`, fix),
    );
  }
  if (!(thrown instanceof FactoryError)) throw thrown;
  return [error("configuration", errorText(thrown), thrown.hint ?? null)];
}

function judgeTestbeds(facts: Facts): Finding[] {
  const { testbeds } = facts.config;
  const judged = testbeds.map((testbed) => ({ name: testbed.name, ...judgeTestbed(facts, testbed) }));
  const able = judged.flatMap(({ mayTake, name }) => (mayTake ? [name] : []));
  const running = judgeRunningConfig(facts);
  const told = [...judged.flatMap(({ finding }) => finding ?? []), ...judgeShared(facts)];
  const idle = new Set([...told, ...running].flatMap(({ keepsJobsFrom = [] }) => keepsJobsFrom));
  const all = [...told, ...judgeRemarks(facts)];
  if (able.length > 0) {
    const isNone = able.every((name) => idle.has(name));
    const none = error("testbeds", "no testbed takes a job now", "`status` shows why, and until when");
    return [...all, ...(isNone ? [none] : []), ...judgeLocks(facts)];
  }
  const hint =
    testbeds.length === 0
      ? "Add a [testbed.NAME] section that serves a target with an id"
      : "Enable at least one [testbed.*] that serves a target with an id; its host must answer and its check succeed";
  return [...all, error("testbeds", "no testbed can take a job", hint)];
}

/** `finding` is null if what is wrong is reported once for several testbeds. */
function judgeTestbed(facts: Facts, testbed: Testbed): { finding: Finding | null; mayTake: boolean } {
  const { config, reaches, boardChecks } = facts;
  const { name, enabled, spType, targets } = testbed;
  const subject = `testbed.${name}`;
  const refuse = (finding: Finding) => ({ finding: { ...finding, keepsJobsFrom: [name] }, mayTake: false });
  if (!enabled) return refuse(ok(subject, "not enabled: it takes no jobs"));
  if (isReached(testbed)) {
    const reached = reaches.ok ? reaches.value.get(name) : reaches;
    // A server that does not answer this host either is reported once.
    const isToldOnce = reached !== undefined && "isServerSilent" in reached && !isServerThere(facts);
    if (reached?.ok === false && !isToldOnce) {
      return refuse(error(subject, reached.reason, null));
    }
  }
  const trouble = judgeTrouble(facts, testbed);
  if (trouble !== null) return refuse(trouble);
  const check = boardChecks.ok ? boardChecks.value.get(name) : undefined;
  if (check !== undefined && !("untried" in check) && !check.isPassed) {
    return refuse(
      error(subject, `its check fails: ${check.said}`, "No job is taken for it until that succeeds"),
    );
  }
  const served = servedTargets(testbed, config);
  if (served.length === 0) {
    const hint = "Add an id to one of its targets' sections";
    return refuse(
      warning(subject, `takes no jobs: none of its targets (${targets.join(", ")}) has an id`, hint),
    );
  }
  if (isShared(facts, testbed)) return { finding: null, mayTake: true };
  const words = served.map((target) => target.name).join(", ");
  const finding =
    judgeLive(facts, testbed) ?? judgeQuarantine(facts, testbed) ?? ok(subject, `${spType}, serves ${words}`);
  return { finding, mayTake: true };
}

function judgeRemarks({ reaches, boardChecks }: Facts): Finding[] {
  const ofHosts = [...(reaches.ok ? reaches.value : [])].flatMap(([name, reached]) => {
    if (!reached.ok) return [];
    const subject = `testbed.${name}`;
    return [
      ...(reached.tried ?? []).map((tried) => ok(subject, tried)),
      ...reached.remarks.map((remark) => warning(subject, remark, null)),
    ];
  });
  const ofBoards = [...(boardChecks.ok ? boardChecks.value : [])].flatMap(([name, check]) => {
    const subject = `testbed.${name}`;
    if ("untried" in check) return [ok(subject, `its check is not run: ${check.untried}`)];
    return check.isPassed ? [ok(subject, `its check succeeds: ${check.said}`)] : [];
  });
  const untold = boardChecks.ok
    ? []
    : [warning("testbeds", `their checks cannot be run: ${boardChecks.reason}`, null)];
  return [...ofHosts, ...ofBoards, ...untold];
}

const isServerThere = ({ ping }: Facts): boolean => ping.ok && ping.value.reply.ok;

/** Testbeds that other factories of this host hold. A factory's own locks are normal. */
function judgeLocks(facts: Facts): Finding[] {
  const { config, locks, workDirectory } = facts;
  // judgeElevation() reports it.
  if (elevationTrouble(facts) !== null) return [];
  if (!locks.ok) return [warning("testbeds", `cannot tell which are in use: ${locks.reason}`, null)];
  if (!locks.value.ok)
    return [warning("testbeds", `cannot tell which are in use: ${locks.value.reason}`, null)];
  // The locks of testbeds on other hosts are on those hosts.
  const names = new Set(config.testbeds.filter(({ host }) => host === null).map(({ name }) => name));
  const own = workDirectory.ok ? `${workDirectory.value.path}/` : null;
  return locks.value.locks
    .filter(({ testbed, owner }) => names.has(testbed) && owner !== "dead")
    .filter(({ directory }) => own === null || !directory.startsWith(own))
    .map(({ testbed, instance, directory, owner }) => {
      const hint =
        "It takes no jobs for this factory until the other one releases it; configure each testbed in one factory only";
      const what = owner === "alive" ? "is in use by" : "may be in use by";
      return warning(`testbed.${testbed}`, `${what} another factory: ${instance} in ${directory}`, hint);
    });
}
