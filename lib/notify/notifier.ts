/** Looks at the lab now and then, and tells what is new: once, one after the other, and never in the daemon's way. */
import type { Config } from "../config/config.ts";
import type { Clock } from "../doors/clock.ts";
import type { Snapshot } from "../status/snapshot.ts";
import { errorText } from "../words/failure.ts";
import type { Log } from "../words/logger.ts";
import { deliver, type DeliveryDoors } from "./delivery.ts";
import { type LabEvent, newEvents } from "./lab-events.ts";

export interface NotifierOptions extends DeliveryDoors {
  clock: Clock;
  log: Log;
  host: string;
  /** As it is now. */
  notify(): Config["notify"];
  snapshot(): Snapshot;
  /** Conditions that somebody was told of, which outlive this process. */
  told: { read(): Set<string>; write(lasting: ReadonlySet<string>): void };
}

const most = {
  /** A look costs a snapshot. */
  lookMs: 10_000,
  /** What waits to be told; more is dropped, and said. */
  waiting: 100,
  /** Tries of one event. */
  tries: 3,
  betweenTriesMs: 5_000,
};

export function startNotifier(options: NotifierOptions): { stop(): Promise<void> } {
  const { clock, log, host, notify, snapshot, told } = options;
  const ended = new AbortController();
  const waiting: LabEvent[] = [];
  let count = 0;
  let telling = Promise.resolve();

  async function look(): Promise<void> {
    while (!ended.signal.aborted) {
      await clock.sleep(most.lookMs, ended.signal);
      if (ended.signal.aborted || !isWanted(notify())) continue;
      const before = told.read();
      const { events, lasting } = newEvents(before, snapshot(), notify());
      if (events.length === 0 && isSame(before, lasting)) continue;
      // First: an event that is told twice is worse than one that a crash swallows.
      told.write(lasting);
      const room = most.waiting - waiting.length;
      if (events.length > room) log.warn(`${events.length - room} notifications are dropped: too many wait`);
      waiting.push(...events.slice(0, Math.max(0, room)));
      telling = telling.then(tellAll);
    }
  }

  async function tellAll(): Promise<void> {
    for (let event = waiting.shift(); event !== undefined; event = waiting.shift()) await tell(event);
  }

  async function tell(event: LabEvent): Promise<void> {
    count += 1;
    const letter = { ...event, host, id: `${clock.wallMs()}-${count}` };
    let left = notify();
    for (let tries = 1; tries <= most.tries && !ended.signal.aborted; tries += 1) {
      const failed = (await deliver(letter, left, options)).filter(({ fault }) => fault !== null);
      if (failed.length === 0) return;
      if (tries === most.tries) {
        for (const { way, fault } of failed) log.warn(`cannot tell "${event.text}": ${way}: ${fault}`);
        return;
      }
      // What was told by one way is not told again by it.
      const ways = failed.map(({ way }) => way);
      left = {
        ...left,
        command: ways.includes("notify.command") ? left.command : null,
        webhook: ways.includes("notify.webhook") ? left.webhook : null,
      };
      await clock.sleep(most.betweenTriesMs * tries, ended.signal);
    }
  }

  const looking = look().catch((error: unknown) => {
    log.error(`notifications stop: ${errorText(error)}`);
  });
  return {
    stop: async () => {
      ended.abort();
      await looking;
    },
  };
}

function isWanted({ command, webhook }: Config["notify"]): boolean {
  return command !== null || webhook !== null;
}

function isSame(one: ReadonlySet<string>, other: ReadonlySet<string>): boolean {
  return one.size === other.size && [...one].every((name) => other.has(name));
}
