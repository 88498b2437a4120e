/**
 * Who watches a page. Once a second, and only while somebody does, the lab is looked at once for all; who watches the same gets the
 * same bytes, and only what changed. Whoever reads too slowly gets nothing more until all was read, and then the whole page.
 */
import type { Clock } from "../../doors/clock.ts";
import type { PageView } from "./document.ts";
import type { Lab } from "./lab.ts";

export interface Watchers {
  /** It begins with the whole page, as it is in `lab`. Null: too many watch already. `address` names the view. */
  watch(
    address: string,
    { view, lab, signal }: { view: Group["view"]; lab: Lab; signal: AbortSignal },
  ): ReadableStream<Uint8Array> | null;
}

const limits = {
  watchers: 256,
  /** Each costs a page a second: 10 to 40 ms with a thousand testbeds. */
  views: 64,
  tickMs: 1_000,
  /** Of the time: the rest is for jobs. */
  busyShare: 0.25,
};

interface Watcher {
  stream: ReadableStreamDefaultController<Uint8Array>;
  isBehind: boolean;
}

interface Group {
  view: (lab: Lab) => PageView | null;
  watchers: Set<Watcher>;
  /** What those who are not behind have. */
  has: Map<string, string>;
}

export function openWatchers({
  clock,
  look,
  onFault,
}: {
  clock: Clock;
  look(): Promise<Lab>;
  onFault(error: unknown): void;
}): Watchers {
  const groups = new Map<string, Group>();
  let count = 0;
  let isTurning = false;
  let ended = new AbortController();

  function leave(address: string, watcher: Watcher): void {
    if (groups.get(address)?.watchers.delete(watcher) !== true) return;
    count -= 1;
    if (count === 0) ended.abort();
    if (groups.get(address)?.watchers.size === 0) groups.delete(address);
  }

  async function turn(): Promise<void> {
    for (let tookMs = 0; count > 0;) {
      ended = new AbortController();
      await clock.sleep(Math.max(limits.tickMs, tookMs / limits.busyShare), ended.signal);
      if (count === 0) return;
      const lab = await look();
      const begunMs = clock.uptimeMs();
      for (const group of groups.values()) {
        send(group, lab);
        // The daemon's loop turns between two views.
        await clock.sleep(0);
      }
      tookMs = clock.uptimeMs() - begunMs;
    }
  }

  function start(): void {
    if (isTurning) return;
    isTurning = true;
    turn()
      .catch((error: unknown) => {
        onFault(error);
        // They come again.
        for (const { watchers } of groups.values()) for (const { stream } of watchers) stream.error(error);
        groups.clear();
        count = 0;
      })
      .finally(() => void (isTurning = false));
  }

  return {
    watch: (address, { view, lab, signal }) => {
      const isFull = groups.size >= limits.views && !groups.has(address);
      // Who left while the lab was looked at would stay here for ever.
      if (count >= limits.watchers || isFull || signal.aborted) return null;
      const group: Group = groups.get(address) ?? { view, watchers: new Set(), has: new Map() };
      groups.set(address, group);
      count += 1;
      let watcher: Watcher | undefined;
      const gone = (): void => {
        if (watcher !== undefined) leave(address, watcher);
      };
      signal.addEventListener("abort", gone, { once: true });
      return new ReadableStream<Uint8Array>(
        {
          start: (stream) => {
            watcher = { stream, isBehind: true };
            group.watchers.add(watcher);
            // The first bytes send the headers.
            stream.enqueue(new TextEncoder().encode("retry: 2000\n\n"));
            send(group, lab);
            start();
          },
          cancel: gone,
        },
        { highWaterMark: 2 },
      );
    },
  };
}

function send(group: Group, lab: Lab): void {
  const { view, watchers, has } = group;
  const seen = view(lab);
  if (seen === null) return;
  const now = new Map([...seen.parts].map(([name, { text }]) => [name, text]));
  const change = changesOf(has, now, seen.title);
  let whole: Uint8Array | null = null;
  group.has = now;
  for (const watcher of watchers) {
    const { stream, isBehind } = watcher;
    // Its last bytes are still here, or with the system.
    if ((stream.desiredSize ?? 0) <= 0) watcher.isBehind = true;
    else if (isBehind) {
      whole ??= encode({ title: seen.title, isWhole: true, parts: [...now] });
      stream.enqueue(whole);
      watcher.isBehind = false;
    } else if (change !== null) stream.enqueue(change);
  }
}

interface Changes {
  title: string;
  isWhole: boolean;
  /** A card also says before which one it stands: null is the end. */
  parts: (readonly [name: string, text: string, before?: string | null])[];
  gone?: string[];
}

/** Null: nothing changed. The last first, so that the one before which a card stands is there. */
function changesOf(
  has: ReadonlyMap<string, string>,
  now: ReadonlyMap<string, string>,
  title: string,
): Uint8Array | null {
  const parts: Changes["parts"] = [];
  let before: string | null = null;
  for (const [name, text] of [...now].toReversed()) {
    if (has.get(name) !== text) parts.push([name, text, before]);
    before = name.startsWith("card ") ? name : null;
  }
  const gone = [...has.keys()].filter((name) => !now.has(name));
  return parts.length + gone.length === 0 ? null : encode({ title, isWhole: false, parts, gone });
}

function encode(changes: Changes): Uint8Array {
  return new TextEncoder().encode(`data: ${JSON.stringify(changes)}\n\n`);
}
