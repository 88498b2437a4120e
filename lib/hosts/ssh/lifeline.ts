/**
 * One long-lived command on a host behind ssh, over its shared connection: it runs our commands, one exchange each, and
 * reports what changes in instance directories, while nothing there polls. What it reports is a hint: a look proves it.
 * The far end is lifeline.sh. It knows no minder.
 */
import type { Clock } from "../../doors/clock.ts";
import type { RunResult, Talk } from "../../doors/processes.ts";
import type { Random } from "../../doors/random.ts";
import { newMark } from "../minder/marks.ts";
import { longestAnswerBytes } from "../minder/transport.ts";

export interface Line {
  /** As Connection.run; `stdin` is text of whole lines, and no word has a line break. */
  run(argv: string[], stdin: string, timeoutMs: number): Promise<RunResult>;
  /** `onChange` is called when something of the instance may have changed, and when the line is lost. */
  watch(instance: { cookie: string; directory: string }, onChange: () => void): { close(): void };
  close(): Promise<void>;
}

/** How often the far ends of all lines look for changes: less often if there are more lines. */
export interface Pace {
  /** Lines that watch something. */
  watching: number;
}

export interface LineOptions {
  clock: Clock;
  random: Random;
  pace: Pace;
  /** Starts the far end. */
  begin(mark: string, onLine: (line: string) => void): Talk;
  /** Why it ended, for people: from what ssh said. */
  explain(said: string): Promise<string>;
}

/** A change is noticed within this: twenty lines or fewer. */
const shortestTickMs = 100;
/** Ticks a second of all lines together, 200: they cost a hundredth of a core. */
const tickShareMs = 5;
/** Ticks that are so far apart have numbers that end in 0: the far end answers each of them. */
const answerEachMs = 1000;
/** The far end answers each tick whose number ends in 0; without an answer for so long the connection hangs. */
const hangsAfterMs = 45_000;
/** The far end ends four minutes after the last sign of life. */
const liveMs = 60_000;
/** Ticks on their way: at a tenth of a second each, more than a round trip around the world holds. */
const mostUnheard = 100;

interface Pending {
  bytes: number;
  /** Lines of each stream, by number from 1; `count` once it has ended. */
  out: { lines: string[]; seen: number; count: number | null };
  err: { lines: string[]; seen: number; count: number | null };
  settle(result: RunResult): void;
}

interface Session {
  mark: string;
  talk: Talk;
  pending: Map<string, Pending>;
  /** Resolves with null when the far end is ready, else with why it ended. */
  ready: Promise<string | null>;
  isReady: boolean;
  isOver: boolean;
  /** The number of the last one that was sent, and of the last one that was answered. */
  ticks: number;
  heardTicks: number;
  /** Uptime since which an answer to a tick is waited for; null: for none. */
  waitingSinceMs: number | null;
  nudge: AbortController;
  /** Resolves when it is over and forgotten. */
  gone: Promise<void>;
}

export function openLine({ clock, random, pace, begin, explain }: LineOptions): Line {
  const watched = new Map<string, { directory: string; onChange: () => void }>();
  let session: Session | null = null;
  let lastId = 0;

  function open(): Session {
    const mark = newMark(random);
    let settleReady: (why: string | null) => void = () => undefined;
    const ready = new Promise<string | null>((resolve) => {
      settleReady = resolve;
    });
    const opened: Session = {
      mark,
      talk: begin(mark, (line) => hear(opened, line, settleReady)),
      pending: new Map(),
      ready,
      isReady: false,
      isOver: false,
      ticks: 0,
      heardTicks: 0,
      waitingSinceMs: null,
      nudge: new AbortController(),
      gone: Promise.resolve(),
    };
    opened.gone = opened.talk.ended.then(async ({ said }) => await lose(opened, said, settleReady));
    return opened;
  }

  function hear(on: Session, line: string, settleReady: (why: null) => void): void {
    if (!line.startsWith(`${on.mark} `)) return;
    const [word = "", ...rest] = line.slice(on.mark.length + 1).split(" ");
    if (word === "ready") {
      on.isReady = true;
      for (const [cookie, { directory }] of watched) on.talk.say(`watch ${cookie} ${directory}\n`);
      void beat(on);
      settleReady(null);
    } else if (word === "tick") {
      const heard = Number(rest[0]) || 0;
      if (heard <= on.heardTicks) return;
      on.heardTicks = heard;
      on.waitingSinceMs = null;
    } else if (word === "event") {
      watched.get(rest[0] ?? "")?.onChange();
    } else if (word === "out" || word === "err") {
      const [id = "", number = ""] = rest;
      takeLine(on, word, id, Number(number), line.slice([on.mark, word, id, number, ""].join(" ").length));
    } else if (word === "end" && (rest[0] === "out" || rest[0] === "err")) {
      const pending = on.pending.get(rest[1] ?? "");
      if (pending === undefined) return;
      pending[rest[0]].count = Number(rest[2]);
      if (pending.out.count !== null && pending.err.count !== null) pending.settle(resultOf(pending));
    }
  }

  function takeLine(on: Session, stream: "out" | "err", id: string, number: number, text: string): void {
    const pending = on.pending.get(id);
    if (pending === undefined) return;
    const { lines } = pending[stream];
    pending[stream].seen += 1;
    pending.bytes += text.length + 1;
    if (pending.bytes > longestAnswerBytes) {
      pending.settle({ ok: false, reason: "the answer is too long" });
    } else if (number === lines.length + 1) {
      lines.push(text);
    }
  }

  async function lose(on: Session, said: string, settleReady: (why: string) => void): Promise<void> {
    on.isOver = true;
    on.nudge.abort();
    // Open the next line only after this: its connection would be taken for this one's.
    const reason = await explain(said);
    session = null;
    settleReady(reason);
    for (const pending of on.pending.values()) pending.settle({ ok: false, reason });
    // Each is looked at, which opens the next line.
    for (const { onChange } of watched.values()) onChange();
  }

  /** Says when to look for changes, and that this program lives. */
  async function beat(on: Session): Promise<void> {
    let liveAtMs = clock.uptimeMs() + liveMs;
    while (!on.isOver) {
      const isIdle = watched.size === 0;
      const tickMs = isIdle ? liveMs : Math.max(shortestTickMs, pace.watching * tickShareMs);
      await clock.sleep(tickMs, on.nudge.signal);
      if (on.isOver) return;
      if (on.nudge.signal.aborted) on.nudge = new AbortController();
      const nowMs = clock.uptimeMs();
      if (nowMs >= liveAtMs) {
        liveAtMs = nowMs + liveMs;
        on.talk.say("live\n");
      }
      if (isIdle) on.waitingSinceMs = null;
      if (watched.size === 0) continue;
      on.waitingSinceMs ??= nowMs;
      if (nowMs - on.waitingSinceMs > hangsAfterMs) on.talk.end();
      // What is not read there must not pile up here.
      else if (on.ticks - on.heardTicks < mostUnheard) {
        on.ticks += tickMs < answerEachMs ? 1 : 10 - (on.ticks % 10);
        on.talk.say(`tick ${on.ticks}\n`);
      }
    }
  }

  return {
    run: async (argv, stdin, timeoutMs) => {
      const deadline = clock.deadline(timeoutMs);
      const late = new Promise<RunResult>((resolve) => {
        const reason = `no answer within ${timeoutMs / 1000} s`;
        deadline.signal.addEventListener("abort", () => resolve({ ok: false, reason }), { once: true });
      });
      const last = session;
      if (last?.isOver === true) await Promise.race([last.gone, late]);
      if (session?.isOver === true) return await late;
      session ??= open();
      const on = session;
      const id = String((lastId += 1));
      try {
        const ready = await Promise.race([on.ready, late]);
        if (ready !== null) {
          if (typeof ready === "string") return { ok: false, reason: ready };
          on.talk.end();
          return ready;
        }
        if (on.isOver) return { ok: false, reason: "the connection was lost" };
        const answered = new Promise<RunResult>((settle) => {
          const stream = (): Pending["out"] => ({ lines: [], seen: 0, count: null });
          on.pending.set(id, { bytes: 0, out: stream(), err: stream(), settle });
        });
        const lines = stdin === "" ? [] : stdin.slice(0, -1).split("\n");
        on.talk.say([`run ${id} ${argv.length} ${lines.length}`, ...argv, ...lines, ""].join("\n"));
        const heardBefore = on.heardTicks;
        const result = await Promise.race([answered, late]);
        // It may be slow, or the connection may hang: a hanging one would keep the next call waiting as long.
        if (deadline.signal.aborted && on.heardTicks === heardBefore) on.talk.end();
        return result;
      } finally {
        deadline.release();
        on.pending.delete(id);
      }
    },
    watch: ({ cookie, directory }, onChange) => {
      if (watched.size === 0) pace.watching += 1;
      const mine = { directory, onChange };
      watched.set(cookie, mine);
      if (session?.isReady === true) session.talk.say(`watch ${cookie} ${directory}\n`);
      session?.nudge.abort();
      return {
        close: () => {
          if (watched.get(cookie) !== mine) return;
          watched.delete(cookie);
          if (watched.size === 0) pace.watching -= 1;
          if (session?.isReady === true) session.talk.say(`forget ${cookie}\n`);
        },
      };
    },
    close: async () => {
      const ended = session?.talk.ended;
      session?.talk.end();
      await ended;
    },
  };
}

/** Lost and torn lines are noticed by their numbers. */
function resultOf({ out, err }: Pending): RunResult {
  const last = /^exit (\d{1,3})$/.exec(out.lines.at(-1) ?? "");
  const isWhole = [out, err].every(({ lines, seen, count }) => lines.length === count && seen === count);
  if (!isWhole || last === null) return { ok: false, reason: "the answer was cut short" };
  return {
    ok: true,
    exitCode: Number(last[1]),
    stdout: out.lines.slice(0, -1).join("\n"),
    stderr: err.lines.join("\n"),
  };
}
