/** The last 24 hours of a testbed as a strip of colours. Pure. */
import { dayMs } from "../../words/duration.ts";
import { markup, type Markup } from "./markup.ts";
import { type Segment, type SegmentKind, segmentText } from "./segments.ts";

const minuteMs = 60_000;
const width = dayMs / minuteMs;
/** A shorter one could not be seen. */
const leastMinutes = 3;
const hoursBetweenLines = 6;

/** `plain`: one shape a colour, for many strips at once. `pointed`: each segment says what it is, to the pointer and to the keyboard. */
export type StripDetail = "plain" | "pointed";

export function showStrip(segments: readonly Segment[], nowMs: number, detail: StripDetail): Markup {
  const startMs = Math.floor(nowMs / minuteMs) * minuteMs - dayMs;
  const place = ({ fromMs, toMs }: Segment): { x: number; wide: number } => {
    const x = Math.min(width - leastMinutes, Math.max(0, Math.round((fromMs - startMs) / minuteMs)));
    return { x, wide: Math.max(leastMinutes, Math.round((toMs - startMs) / minuteMs) - x) };
  };
  const lines = markup`<path class="hours" d="${hourLines(startMs)}"/>`;
  if (detail === "plain") {
    const shapes = [...Map.groupBy(segments, ({ kind }) => kind)].filter(([kind]) => kind !== "idle");
    const path = (of: Segment[]): string =>
      of
        .map(place)
        .map(({ x, wide }) => `M${x} 0h${wide}v20h-${wide}z`)
        .join("");
    return frame("img", countText(segments), [
      ...shapes.map(([kind, of]) => markup`<path class="${kind}" d="${path(of)}"/>`),
      lines,
    ]);
  }
  const last = segments.length - 1;
  const pieces = segments.map((segment, index) => {
    const { x, wide } = place(segment);
    // The arrow keys lead from one to the next.
    return markup`<rect class="${segment.kind}" x="${x}" width="${wide}" height="20" tabindex="${index === last ? 0 : -1}" role="img"><title>${segmentText(segment)}</title></rect>`;
  });
  return frame("group", countText(segments), [...pieces, lines]);
}

function frame(role: string, label: string, shapes: Markup[]): Markup {
  return markup`<svg class="strip" role="${role}" aria-label="${label}" viewBox="0 0 ${width} 20" preserveAspectRatio="none">${shapes}</svg>`;
}

function countText(segments: readonly Segment[]): string {
  const counts = Map.groupBy(segments, ({ kind }) => kind);
  const words = [...counts]
    .filter(([kind]) => kind !== "idle")
    .map(([kind, { length }]) => `${length} ${names[kind]}`);
  return `last 24 hours: ${words.length === 0 ? "no job" : words.join(", ")}`;
}

const names: Record<SegmentKind, string> = {
  passed: "passed",
  failed: "failed",
  cancelled: "cancelled",
  lost: "lost",
  ended: "ended",
  "not begun": "not begun",
  job: "running",
  idle: "idle",
  paused: "paused",
  reserved: "reserved",
  quarantined: "quarantined",
  unavailable: "unavailable",
};

/** At whole hours of this host's day. */
function hourLines(startMs: number): string {
  const midnight = new Date(startMs).setHours(0, 0, 0, 0);
  const stepMs = hoursBetweenLines * 3_600_000;
  const lines = Array.from({ length: 9 }, (_, index) => midnight + index * stepMs - startMs);
  return lines
    .filter((ms) => ms > 0 && ms < dayMs)
    .map((ms) => `M${Math.round(ms / minuteMs)} 0v20`)
    .join("");
}
