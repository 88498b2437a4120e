/** What of a snapshot somebody should be told, and what of that is new. Pure: the same conditions are never new twice. */
import type { Snapshot, TestbedSnapshot } from "../status/snapshot.ts";

export const eventKinds = [
  "quarantined",
  "held",
  "reserved too long",
  "server unreachable",
  /** A testbed that was quarantined or held takes jobs again, or the server answers again. */
  "recovered",
] as const;
export type EventKind = (typeof eventKinds)[number] | "test";

export interface LabEvent {
  kind: EventKind;
  /** Null: the server. */
  testbed: string | null;
  /** One sentence for people. */
  text: string;
  /** Wall-clock ms: when it began, as far as is known. */
  sinceMs: number | null;
}

/** A server that answers within this was not away for long enough to call somebody. */
export const serverAwayMs = 5 * 60_000;

/** Conditions that somebody was told of and that last, by a name for each. */
export type Lasting = ReadonlySet<string>;

export function newEvents(
  told: Lasting,
  snapshot: Snapshot,
  { reservedOverMs }: { reservedOverMs: number },
): { events: LabEvent[]; lasting: Set<string> } {
  const now = new Map(conditionsOf(snapshot, told, reservedOverMs).map((event) => [nameOf(event), event]));
  const events = [...now].filter(([name]) => !told.has(name)).map(([, event]) => event);
  // What is over and what nobody can tell are two things: a daemon that was just started has not asked the server yet.
  const isKnown = snapshot.server.is !== "not asked yet";
  const over = [...told].filter((name) => !now.has(name) && isKnown);
  const lasting = new Set([...(isKnown ? [] : told), ...now.keys()]);
  return { events: [...events, ...over.flatMap((name) => recovery(name, snapshot))], lasting };
}

function conditionsOf(
  { testbeds, server, madeMs }: Snapshot,
  told: Lasting,
  reservedOverMs: number,
): LabEvent[] {
  const isAway = server.is === "does not answer" || server.is === "refuses the token";
  const awayMs = server.sinceMs === null ? 0 : madeMs - server.sinceMs;
  return [
    ...(isAway && awayMs >= serverAwayMs
      ? [
          {
            kind: "server unreachable" as const,
            testbed: null,
            text: `The server ${server.url ?? ""} ${server.is}${reasonOf(server.reason)}`,
            sinceMs: server.sinceMs,
          },
        ]
      : []),
    ...testbeds.flatMap((testbed) => conditionsOfTestbed(testbed, told, madeMs, reservedOverMs)),
  ];
}

function conditionsOfTestbed(
  of: TestbedSnapshot,
  told: Lasting,
  madeMs: number,
  reservedOverMs: number,
): LabEvent[] {
  const { testbed, state, whyNot, intent, health, sinceMs, job } = of;
  // An operator's own quarantine is no news to operators. The factory's lasts until its failures are forgotten: a testbed that is
  // tried again, or whose host is away, is not well yet.
  const quarantine = { kind: "quarantined", testbed } as const;
  const isOld = told.has(nameOf(quarantine)) && health !== null;
  if (isOld || (state === "quarantined" && intent === null)) {
    const reason = health?.reason ?? whyNot;
    return [{ ...quarantine, text: `${testbed} is quarantined${reasonOf(reason)}`, sinceMs }];
  }
  if (state === "held") {
    const of_ = job === null ? "" : `, with job ${job.name ?? job.id ?? job.instance}`;
    return [{ kind: state, testbed, text: `${testbed} is held on the server${of_}`, sinceMs }];
  }
  if (intent?.kind === "reserved" && madeMs - intent.sinceMs >= reservedOverMs) {
    const text = `${testbed} has been reserved by ${intent.who} for a long time${reasonOf(intent.note || null)}`;
    return [{ kind: "reserved too long", testbed, text, sinceMs: intent.sinceMs }];
  }
  return [];
}

/** Names outlive the process, so they say what a later one needs. */
const nameOf = ({ kind, testbed }: Pick<LabEvent, "kind" | "testbed">): string => `${kind}\0${testbed ?? ""}`;

function recovery(name: string, { testbeds, server }: Snapshot): LabEvent[] {
  const [kind, testbed = ""] = name.split("\0");
  if (kind === "server unreachable") {
    if (server.is !== "answers") return [];
    const text = `The server ${server.url ?? ""} answers again`;
    return [{ kind: "recovered", testbed: null, text, sinceMs: server.sinceMs }];
  }
  const found = testbeds.find((each) => each.testbed === testbed);
  if (found === undefined || kind === "reserved too long") return [];
  const text = `${testbed} is no longer ${kind}: it is ${found.state}`;
  return [{ kind: "recovered", testbed, text, sinceMs: found.sinceMs }];
}

const reasonOf = (reason: string | null): string => (reason === null ? "" : `: ${reason}`);
