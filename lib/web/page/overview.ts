/** The page of all testbeds, as its filter says. Pure. */
import type { TestbedSnapshot } from "../../status/snapshot.ts";
import type { JobEntry } from "../../words/journal.ts";
import { cardPart, framed, showCard } from "./card.ts";
import { type PageView, part } from "./document.ts";
import { type Filter, isShown, saysText, showForm, showStates } from "./filter.ts";
import { showLabHead, showMade } from "./head.ts";
import { markup, type Markup, nothing } from "./markup.ts";
import type { Lab } from "./lab.ts";
import { showLastJobs } from "./last-jobs.ts";
import { segmentsOf } from "./segments.ts";
import { showStrip } from "./strip.ts";
import { showToday } from "./today.ts";

/** A wall's screen has room for so few in large type. */
const fewCards = 9;
/** So many strips say what each piece is; of more, the page of a testbed does; and of still more, none is drawn. */
const pointedStrips = 24;
const plainStrips = 150;
const shownJobs = 12;

export function overviewOf({ snapshot, day }: Lab, filter: Filter): PageView {
  const { testbeds, madeMs } = snapshot;
  const shown = testbeds.filter((testbed) => isShown(testbed, filter));
  const free = testbeds.filter(({ state }) => state === "free").length;
  const stripOf = (testbed: TestbedSnapshot): Markup => {
    if (shown.length > plainStrips) return nothing;
    const detail = shown.length > pointedStrips ? "plain" : "pointed";
    return showStrip(segmentsOf(testbed, day.of(testbed.testbed), madeMs), madeMs, detail);
  };
  const names = new Set(shown.map(({ testbed }) => testbed));
  // A job that is over is found by its id, its name or what failed.
  const isAsked = (job: JobEntry): boolean =>
    names.has(job.testbed) || (filter.text !== "" && saysText([job.job, job.jobName, job.reason], filter));
  return {
    title: `${free} of ${testbeds.length} free: testbeds`,
    parts: new Map([
      ["head", showLabHead(snapshot)],
      ["made", showMade(snapshot)],
      ["states", showStates(testbeds, filter)],
      ["shown", showCount(shown.length, testbeds.length)],
      ...shown.map((testbed): [string, Markup] => [
        cardPart(testbed.testbed),
        framed(testbed, showCard(testbed, snapshot, stripOf(testbed))),
      ]),
      ["today", showToday(day.jobs(), madeMs)],
      ["jobs", showLastJobs(day.lastJobs(shownJobs, isAsked), madeMs)],
    ]),
  };
}

export function overviewBody(view: PageView, { snapshot: { testbeds } }: Lab, filter: Filter): Markup {
  const cards = [...view.parts].filter(([name]) => name.startsWith("card "));
  return markup`<header><h1>Testbeds</h1>
${part(view, "head")}
<nav aria-label="Testbeds by state" data-part="states">${view.parts.get("states") ?? nothing}</nav>
${showForm(testbeds, filter)}
</header><main id="main">
<h2 data-part="shown">${view.parts.get("shown") ?? nothing}</h2>
<div id="cards" class="${cards.length <= fewCards ? "few" : "many"}">${cards.map(([, card]) => card)}</div>
<h2>Today</h2>${part(view, "today")}
<h2>Last jobs</h2>${part(view, "jobs")}
</main><footer>${part(view, "made")}</footer>`;
}

function showCount(shown: number, all: number): Markup {
  if (shown === all) return markup`${all} ${all === 1 ? "testbed" : "testbeds"}`;
  return markup`${shown} of ${all} testbeds <a href="/">show all</a>`;
}
