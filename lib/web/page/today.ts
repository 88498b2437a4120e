/** How long jobs waited and took today, as two small plots. Pure. */
import { spread } from "../../status/history-lines.ts";
import { showShortDuration } from "../../status/shown-words.ts";
import type { JobEntry } from "../../words/journal.ts";
import { markup, type Markup } from "./markup.ts";

const bars = 48;
const barMs = 1_800_000;
const height = 60;
const barWidth = 6;

export function showToday(jobs: readonly JobEntry[], nowMs: number): Markup {
  const midnight = new Date(nowMs).setHours(0, 0, 0, 0);
  const of = jobs.filter(({ endedMs, result }) => endedMs >= midnight && result !== "not begun");
  const times = (to: "wentMs" | "endedMs"): [atMs: number, ms: number][] =>
    of.flatMap((job) => {
      const toMs = job[to];
      return job.queuedMs === null || toMs === null
        ? []
        : [[toMs - midnight, Math.max(0, toMs - job.queuedMs)]];
    });
  return markup`${showPlot("queue wait", times("wentMs"))}${showPlot("turn-around", times("endedMs"))}`;
}

/** A bar for each half-hour: the median, and thinly up to the longest. */
function showPlot(title: string, times: [atMs: number, ms: number][]): Markup {
  const summary =
    spread(
      "median",
      times.map(([, ms]) => ms),
    ) ?? "no job yet";
  const most = Math.max(1, ...times.map(([, ms]) => ms));
  const groups = Map.groupBy(times, ([atMs]) => Math.min(bars - 1, Math.max(0, Math.floor(atMs / barMs))));
  const drawn = [...groups].map(([index, group]) => {
    const sorted = group.map(([, ms]) => ms).toSorted((one, other) => one - other);
    const tall = (ms: number): number => Math.max(1, Math.round((ms / most) * height));
    const [middle, longest] = [tall(sorted[sorted.length >> 1] ?? 0), tall(sorted.at(-1) ?? 0)];
    const x = index * barWidth;
    return markup`<path class="longest" d="M${x + 2} ${height}v-${longest}h1v${longest}z"/><path class="median" d="M${x} ${height}v-${middle}h5v${middle}z"/>`;
  });
  const axis = [6, 12, 18].map((hour) => `M${hour * 2 * barWidth} 0v${height}`).join("");
  return markup`<figure><figcaption><b>${title}</b> ${summary}</figcaption>
<svg class="plot" role="img" aria-label="${title} today, by the half-hour: ${summary}, at the most ${showShortDuration(most)}" viewBox="0 0 ${bars * barWidth} ${height}" preserveAspectRatio="none"><path class="hours" d="${axis}"/>${drawn}</svg>
<p class="axis"><span>0</span><span>6</span><span>12</span><span>18 h</span></p></figure>`;
}
