/** A testbed as a card: what its line of `status` says. Pure. */
import { freeText, jobText, reasonsOf, spansOf } from "../../status/overview.ts";
import {
  resultSigns,
  showResults,
  showShortDuration,
  showShortTime,
  stateColours,
} from "../../status/shown-words.ts";
import type { Snapshot, TestbedSnapshot } from "../../status/snapshot.ts";
import { markup, Markup, nothing, type Piece } from "./markup.ts";

/** The reason stands on each card, also one that several share: there is room, and nobody has to look for it. */
const nothingTold: ReadonlySet<string> = new Set();

export function showCard(testbed: TestbedSnapshot, { madeMs }: Snapshot, strip: Markup): Markup {
  const { testbed: name, type, state, sinceMs, job, note, recent } = testbed;
  const { waitedMs, ranMs } = spansOf(testbed, madeMs);
  const since = sinceMs === null ? nothing : markup` <span>since ${showShortTime(sinceMs, madeMs)}</span>`;
  const id = job?.id ?? null;
  const facts = [
    fact("waited", waitedMs === null ? "" : showShortDuration(waitedMs)),
    fact("ran", ranMs === null ? "" : showShortDuration(ranMs)),
    fact("free at", state === "free" ? "" : freeText(testbed, madeMs)),
    fact("last", recent.length === 0 ? "" : showStreak(recent)),
  ];
  const shownId = id === null || id === jobText(testbed) ? nothing : markup` <small>${id}</small>`;
  return markup`<h3><a href="${addressOfTestbed(name)}">${name}</a> <small>${type}</small></h3>
<p class="state"><b>${state}</b>${since}</p>
${job === null ? nothing : markup`<p class="job">${jobText(testbed)}${shownId}</p>`}<dl>${facts}</dl>
${reasonsOf(testbed, nothingTold).map((reason) => markup`<p class="why">${reason}</p>`)}${note === "" ? nothing : markup`<p class="note">${note}</p>`}${strip}`;
}

export function cardPart(name: string): string {
  return `card ${encodeURIComponent(name)}`;
}

/** With the frame by which the script finds it. */
export function framed(testbed: TestbedSnapshot, card: Markup): Markup {
  return markup`<article class="${stateColours[testbed.state]}" data-part="${cardPart(testbed.testbed)}">${card}</article>`;
}

export function addressOfTestbed(name: string): string {
  return `/testbed/${encodeURIComponent(name)}`;
}

function fact(title: string, value: Piece): Markup {
  return value === "" ? nothing : markup`<div><dt>${title}</dt><dd>${value}</dd></div>`;
}

export function showStreak(results: TestbedSnapshot["recent"]): Markup {
  const signs = showResults(results, (text, colour) => `<b class="${colour}">${text}</b>`);
  const words = results.map((result) => `${resultSigns[result]} ${result}`);
  return markup`<span class="streak" role="img" aria-label="${results.join(", ")}" title="${words.join(", ")}">${new Markup(signs)}</span>`;
}
