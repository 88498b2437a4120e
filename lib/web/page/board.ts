/** The page of one testbed: what `status TESTBED` says, its last 24 hours, and the end of its log. Pure. */
import { cells } from "../../status/history-lines.ts";
import { plain, stateColours } from "../../status/shown-words.ts";
import type { TestbedSnapshot } from "../../status/snapshot.ts";
import { testbedFacts } from "../../status/testbed-page.ts";
import { localTime } from "../../words/log-line.ts";
import { showStreak } from "./card.ts";
import { type PageView, part } from "./document.ts";
import { showLabHead, showMade } from "./head.ts";
import type { Lab } from "./lab.ts";
import { escapeText, markup, type Markup, nothing } from "./markup.ts";
import { segmentsOf } from "./segments.ts";
import { showStrip } from "./strip.ts";

const shownEntries = 50;

/** Null: there is no such testbed. */
export function boardOf({ snapshot, day, tail }: Lab, name: string): PageView | null {
  const testbed = snapshot.testbeds.find((each) => each.testbed === name);
  if (testbed === undefined) return null;
  const { madeMs } = snapshot;
  const entries = day.of(name);
  const log = tail(name);
  return {
    title: `${name}: ${testbed.state}`,
    parts: new Map([
      ["head", showLabHead(snapshot)],
      ["made", showMade(snapshot)],
      ["facts", showFacts(testbed, testbedFacts(testbed, snapshot, plain))],
      ["strip", showStrip(segmentsOf(testbed, entries, madeMs), madeMs, "pointed")],
      ["log title", log === null ? markup`no job yet` : markup`${log.instance}`],
      ["log", escapeText(log?.text ?? "")],
      ["day", showEntries(entries.slice(-shownEntries).toReversed())],
    ]),
  };
}

export function boardBody(view: PageView, name: string): Markup {
  return markup`<header><p><a href="/">all testbeds</a></p><h1>${name}</h1>
</header><main id="main">
${part(view, "facts")}
<h2>Last 24 hours</h2>${part(view, "strip")}
<h2>Log of <span data-part="log title">${view.parts.get("log title") ?? nothing}</span></h2>
<pre data-part="log" tabindex="0" role="region" aria-label="the end of its log">${view.parts.get("log") ?? nothing}</pre>
<h2>What happened</h2>${part(view, "day")}
</main><footer>${part(view, "head")}${part(view, "made")}</footer>`;
}

function showFacts({ state, recent }: TestbedSnapshot, facts: [string, string[]][]): Markup {
  const rows = facts.filter(([, lines]) => lines.length > 0);
  return markup`<dl class="facts ${stateColours[state]}">${rows.map(
    ([title, lines]) =>
      markup`<div><dt>${title}</dt><dd>${lines.map((line) => markup`<p>${line}</p>`)}</dd></div>`,
  )}${recent.length === 0 ? nothing : markup`<div><dt>last</dt><dd>${showStreak(recent)}</dd></div>`}</dl>`;
}

function showEntries(entries: ReturnType<Lab["day"]["of"]>): Markup {
  if (entries.length === 0) return markup`<p>nothing in the last 24 hours</p>`;
  return markup`<div class="table" tabindex="0" role="region" aria-label="what happened"><table><thead><tr><th scope="col">time</th><th scope="col">what</th><th scope="col">waited</th><th scope="col">ran</th><th scope="col">why</th></tr></thead><tbody>${entries.map(
    ({ atMs, entry }) => {
      const { what, job, text } = cells(entry);
      return markup`<tr><td>${localTime(atMs).slice(11, 16)}</td><td>${what}</td><td>${job?.waited ?? ""}</td><td>${job?.ran ?? ""}</td><td>${text} <small>${job?.id ?? ""}</small></td></tr>`;
    },
  )}</tbody></table></div>`;
}
