/** Parses the minder script's answers into the adapter's types. An answer that cannot be parsed proves nothing. */
import type {
  ArmResult,
  EndRecord,
  GoResult,
  Kept,
  Liveness,
  MinderState,
  MinderView,
  ProbeResult,
  Recalled,
  StopResult,
  TestbedLock,
  TidyResult,
} from "./minder-answer.ts";
import type { Reply } from "./marks.ts";
import { testbedOf } from "./specification.ts";

export function readProbe(lines: string[]): ProbeResult {
  const said = new Map(lines.map((line) => split(line)));
  const [possible, reason] = split(said.get("isolation"));
  if (possible !== "possible" && possible !== "refused") return { ok: false, reason: notUnderstood(lines) };
  const freeKb = said.get("free-kb");
  return {
    ok: true,
    uid: Number(said.get("user")),
    isolation: possible === "possible" ? { kind: "possible" } : { kind: "refused", reason },
    unshared: said.get("unshared") ?? null,
    unusable: said.get("unusable") ?? null,
    freeBytes: freeKb === undefined ? null : Number(freeKb) * 1024,
    agentFaults: lines.flatMap((line) => {
      const [word, fault] = split(line);
      return word === "runnable" ? [null] : word === "not-runnable" ? [fault] : [];
    }),
  };
}

export function readArm(lines: string[]): ArmResult {
  const [word, rest] = split(lines[0]);
  if (word === "armed") return { kind: "armed", refusal: rest === "" ? null : rest };
  if (word === "elsewhere") return { kind: "elsewhere", owner: rest, isHost: false };
  if (word === "host-elsewhere") return { kind: "elsewhere", owner: rest, isHost: true };
  if (word === "failed" || word === "taken") return { kind: word, reason: rest };
  return { kind: "cannot tell", reason: notUnderstood(lines) };
}

export function readGo(lines: string[]): GoResult {
  const [word, rest] = split(lines[0]);
  if (word === "went" || word === "expired") return { kind: word };
  return { kind: "cannot tell", reason: word === "cannot-tell" ? rest : notUnderstood(lines) };
}

export function readStop(lines: string[]): StopResult {
  const [word, rest] = split(lines[0]);
  if (word === "stopped" || word === "quiet") return { kind: "stopped" };
  if (word === "unkillable") return { kind: "unkillable", reason: rest };
  return { kind: "cannot tell", reason: word === "cannot-tell" ? rest : notUnderstood(lines) };
}

export function readTidy(lines: string[]): TidyResult {
  const [word, rest] = split(lines[0]);
  if (word === "tidied")
    return { kind: "tidied", left: rest === "" ? null : rest, ...readEnd(lines.slice(1)) };
  if (word === "refused") return { kind: "refused", reason: rest };
  return { kind: "cannot tell", reason: word === "cannot-tell" ? rest : notUnderstood(lines) };
}

function readEnd(lines: string[]): { end?: EndRecord } {
  if (lines.length === 0) return {};
  const said = new Map(lines.map((line) => split(line)));
  const is = said.get("verdict");
  const verdict: EndRecord["verdict"] =
    is === "completed" || is === "failed" ? { is, why: said.get("why") ?? "" } : null;
  return { end: { jobName: readJobName(said.get("job")), verdict } };
}

/** A job's name, from the beginning of its agent's record, which both agents indent so. */
export function readRecordedName(record: string): string | null {
  const at = record.search(/^ {2}"job": \{$/m);
  return at === -1 ? null : readJobName(/^ {4}"name": "(.{0,200})/m.exec(record.slice(at))?.[1]);
}

/** Reads a JSON string from its inside. The text may be cut short, or go on after the string. */
function readJobName(raw = ""): string | null {
  const [text = ""] = /^(?:[^"\\]|\\u[\da-f]{4}|\\[^u])*/i.exec(raw) ?? [];
  try {
    return text === "" ? null : (JSON.parse(`"${text}"`) as string);
  } catch {
    return null;
  }
}

export function readKept(lines: string[], workDirectory: string): Kept[] {
  return lines.flatMap((line) => {
    const match = /^kept (\d+) (.+)$/.exec(line);
    return match === null
      ? []
      : [{ directory: `${workDirectory}/${match[2]}`, bytes: Number(match[1]) * 1024 }];
  });
}

export function readLook(directories: string[], reply: Reply): MinderView[] {
  if (!reply.ok)
    return directories.map((directory) => ({ ...unknownView(directory, reply.reason), isHostSilent: true }));
  const views: string[] = [];
  const names = new Map<number, string | null>();
  const sizes = new Map<string, number>();
  for (const line of reply.lines) {
    if (line.startsWith("view ")) views.push(line);
    if (line.startsWith("job ")) names.set(views.length - 1, readJobName(line.slice(4)));
    const log = /^log (\d+) (.*)$/.exec(line);
    if (log !== null) sizes.set(log[2] ?? "", Number(log[1]));
  }
  return directories.map((directory, index) => {
    const jobName = names.get(index) ?? null;
    return {
      ...readView(directory, views[index] ?? ""),
      logBytes: sizes.get(directory) ?? 0,
      ...(jobName === null ? {} : { jobName }),
    };
  });
}

const states: Record<string, MinderState> = {
  absent: "absent",
  armed: "armed",
  alive: "alive",
  done: "done",
  exited: "exited",
  dead: "dead",
  "cannot-tell": "cannot tell",
};
const lives: Record<string, Liveness> = { alive: "alive", dead: "dead", unknown: "cannot tell" };

function readView(directory: string, line: string): MinderView {
  const match = /^view (\S+) (yes|no) (\S+) (\S+) (yes|no) (?:-|(code|signal):(\d{1,3})) (\S+) ?(.*)$/.exec(
    line,
  );
  const state = states[match?.[1] ?? ""];
  const process = lives[match?.[3] ?? ""];
  const minder = lives[match?.[4] ?? ""];
  if (match === null || state === undefined || process === undefined || minder === undefined) {
    return unknownView(directory, notUnderstood([line]));
  }
  const number = Number(match[7]);
  return {
    directory,
    state,
    reason: match[9] === "" ? null : (match[9] ?? null),
    went: match[2] === "yes",
    process,
    minder,
    hasJob: match[5] === "yes",
    exit: match[6] === "code" ? { code: number } : match[6] === "signal" ? { signal: number } : null,
    logBytes: 0,
    output: match[8] === "-" ? null : (match[8] ?? null),
  };
}

function unknownView(directory: string, reason: string): MinderView {
  const unknown = "cannot tell";
  return {
    directory,
    state: unknown,
    reason,
    went: false,
    process: unknown,
    minder: unknown,
    hasJob: false,
    exit: null,
    logBytes: 0,
    output: null,
  };
}

export function readLocks(lines: string[]): TestbedLock[] {
  const locks: TestbedLock[] = [];
  lines.forEach((line, index) => {
    const match = /^lock (\S+) (\S+) (\S+) (\S+)$/.exec(line);
    if (match === null) return;
    locks.push({
      testbed: testbedOf(match[1] ?? ""),
      cookie: match[2] ?? "",
      uid: Number(match[3]),
      owner: lives[match[4] ?? ""] ?? "cannot tell",
      instance: split(lines[index + 1])[1],
      directory: split(lines[index + 2])[1],
    });
  });
  return locks;
}

export function readRecalled(lines: string[]): Recalled[] {
  const instances: Recalled[] = [];
  for (const line of lines) {
    const [word, rest] = split(line);
    if (word === "directory") instances.push({ directory: rest, intentJson: "", worker: null });
    const last = instances.at(-1);
    if (word === "intent" && last !== undefined) last.intentJson = rest;
    if (word === "worker" && last !== undefined)
      last.worker = /^\{"worker":"([^"]*)"\}$/.exec(rest)?.[1] ?? null;
  }
  return instances;
}

function split(line = ""): [string, string] {
  const space = line.indexOf(" ");
  return space === -1 ? [line, ""] : [line.slice(0, space), line.slice(space + 1)];
}

function notUnderstood(lines: string[]): string {
  return `cannot understand the minder's answer: ${JSON.stringify(lines.slice(0, 2).join("\n").slice(0, 200))}`;
}
