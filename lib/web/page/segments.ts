/** The last 24 hours of a testbed, cut into what was on it, each piece with its cause. Pure. */
import { jobText } from "../../status/overview.ts";
import { showShortDuration } from "../../status/shown-words.ts";
import type { TestbedSnapshot } from "../../status/snapshot.ts";
import type { Entry, JobEntry, JobResult, Recorded } from "../../words/journal.ts";
import { dayMs } from "../../words/duration.ts";
import { localTime } from "../../words/log-line.ts";

export type SegmentKind = JobResult | "job" | "idle" | "paused" | "reserved" | "quarantined" | "unavailable";

export interface Segment {
  kind: SegmentKind;
  fromMs: number;
  toMs: number;
  /** For people. */
  text: string;
}

/** A shorter gap is between one job and the next. */
const gapMs = 60_000;

/** In the order of their beginning. `entries`: what the journal has of it and of the lab, the latest last. */
export function segmentsOf(testbed: TestbedSnapshot, entries: readonly Recorded[], nowMs: number): Segment[] {
  const startMs = nowMs - dayMs;
  const jobs = entries.flatMap(({ entry }) =>
    entry.what === "job" && entry.result !== "not begun" ? pastJob(entry) : [],
  );
  const { job, state } = testbed;
  if (job !== null)
    jobs.push({ kind: "job", fromMs: job.leasedMs, toMs: nowMs, text: `${jobText(testbed)}: ${state}` });
  const covered = [...jobs, ...causes(testbed, entries, nowMs)]
    .map((each) => ({ ...each, fromMs: Math.max(each.fromMs, startMs), toMs: Math.min(each.toMs, nowMs) }))
    .filter(({ fromMs, toMs }) => toMs > fromMs)
    .toSorted((one, other) => one.fromMs - other.fromMs);
  return [...covered, ...gaps(covered, testbed, [startMs, nowMs])].toSorted(
    (one, other) => one.fromMs - other.fromMs,
  );
}

/** `14:02 to 14:36 (34m): ...`. */
export function segmentText({ fromMs, toMs, text }: Segment): string {
  const [from, to] = [fromMs, toMs].map((ms) => localTime(ms).slice(11, 16));
  return `${from} to ${to} (${showShortDuration(toMs - fromMs)}): ${text}`;
}

function pastJob({ result, jobName, job, leasedMs, endedMs, reason }: JobEntry): Segment {
  const text = `${jobName ?? job ?? "a job"}: ${result}${reason === null ? "" : `: ${reason}`}`;
  return { kind: result, fromMs: leasedMs, toMs: endedMs, text };
}

type Track = "intent" | "health" | "trouble" | "server" | "factory";
type Turn = { track: Track; begins: Omit<Segment, "fromMs" | "toMs"> | null; untilMs?: number | null };

/** What kept jobs away, from where the journal says that it began or ended. */
function causes(testbed: TestbedSnapshot, entries: readonly Recorded[], nowMs: number): Segment[] {
  const found: Segment[] = [];
  const open = new Map<Track, Segment>();
  const seen = new Set<Track>();
  for (const { atMs, entry } of entries) {
    const turn = turnOf(entry);
    if (turn === null) continue;
    const { track, begins, untilMs = null } = turn;
    const before = open.get(track);
    if (before !== undefined) found.push({ ...before, toMs: Math.min(before.toMs, atMs) });
    // It began before this day. A recovery may also end one failure alone, and a start follow a crash.
    else if (begins === null && !seen.has(track) && track !== "factory" && track !== "health")
      found.push({ kind: "unavailable", fromMs: 0, toMs: atMs, text: endedText(entry) });
    seen.add(track);
    if (begins === null) open.delete(track);
    else open.set(track, { ...begins, fromMs: atMs, toMs: untilMs ?? nowMs });
  }
  const { intent } = testbed;
  if (intent !== null && !intent.isAfterJob && !open.has("intent")) {
    const text = `${intent.kind} by ${intent.who}${intent.note === "" ? "" : `: ${intent.note}`}`;
    found.push({ kind: intent.kind, fromMs: intent.sinceMs, toMs: nowMs, text });
  }
  return [...found, ...open.values()];
}

const wanted: Record<string, "paused" | "reserved" | "quarantined"> = {
  pause: "paused",
  reserve: "reserved",
  quarantine: "quarantined",
};

function turnOf(entry: Entry): Turn | null {
  switch (entry.what) {
    case "act": {
      const { verb, who, note, untilMs } = entry;
      const kind = wanted[verb];
      if (kind !== undefined) {
        const text = `${kind} by ${who}${note === "" ? "" : `: ${note}`}`;
        return { track: "intent", begins: { kind, text }, untilMs };
      }
      const isEnd = ["resume", "release", "trust"].includes(verb) || verb.endsWith(" ended");
      return isEnd ? { track: "intent", begins: null } : null;
    }
    case "health": {
      const { is, reason } = entry;
      if (is === "quarantined")
        return { track: "health", begins: { kind: "quarantined", text: `${is}: ${reason}` } };
      if (is === "recovered" || is === "strike taken back") return { track: "health", begins: null };
      if (is === "trouble") return { track: "trouble", begins: { kind: "unavailable", text: reason } };
      return is === "trouble over" ? { track: "trouble", begins: null } : null;
    }
    case "server": {
      const isGood = entry.is === "answers again" || entry.is === "takes the token again";
      const text = `the server ${[entry.is, ...entry.lines].join(": ")}`;
      return { track: "server", begins: isGood ? null : { kind: "unavailable", text } };
    }
    case "factory": {
      const text = "no factory was running";
      return { track: "factory", begins: entry.is === "started" ? null : { kind: "unavailable", text } };
    }
    case "job":
    case "config":
      return null;
  }
}

function endedText(entry: Entry): string {
  if (entry.what === "act") return entry.answer === "" ? entry.verb : entry.answer;
  return entry.what === "health" ? entry.reason : "the server did not answer";
}

/** Where nothing was on it. */
function gaps(
  covered: readonly Segment[],
  { state, whyNot }: TestbedSnapshot,
  [startMs, nowMs]: [number, number],
): Segment[] {
  const found: Segment[] = [];
  let atMs = startMs;
  for (const { fromMs, toMs } of [...covered, { fromMs: nowMs, toMs: nowMs }]) {
    if (fromMs - atMs >= gapMs) {
      const isNow = fromMs === nowMs && state !== "free" && whyNot !== null;
      found.push({ kind: "idle", fromMs: atMs, toMs: fromMs, text: isNow ? whyNot : "no job came" });
    }
    atMs = Math.max(atMs, toMs);
  }
  return found;
}
