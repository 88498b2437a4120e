/** The page of all testbeds, as its filter says. Pure. */
import type { Snapshot, TestbedSnapshot } from "../../status/snapshot.ts";
import { cardPart, framed, showCard } from "./card.ts";
import { part, type PageView } from "./document.ts";
import { type Filter, isShown, showForm, showStates } from "./filter.ts";
import { showLabHead } from "./head.ts";
import { markup, type Markup, nothing } from "./markup.ts";

/** A wall's screen has room for so few in large type. */
const fewCards = 9;

export function overviewOf(snapshot: Snapshot, filter: Filter): PageView {
  const { testbeds, shared } = snapshot;
  const shown = testbeds.filter((testbed) => isShown(testbed, filter));
  const told = new Set(shared.map(({ reason }) => reason));
  const free = testbeds.filter(({ state }) => state === "free").length;
  return {
    title: `${free} of ${testbeds.length} free: testbeds`,
    parts: new Map([
      ["head", showLabHead(snapshot)],
      ["states", showStates(testbeds, filter)],
      ["shown", showCount(shown.length, testbeds.length)],
      ...shown.map((testbed): [string, Markup] => [
        cardPart(testbed.testbed),
        framed(testbed, showCard(testbed, snapshot, { told, strip: nothing })),
      ]),
    ]),
  };
}

export function overviewBody(view: PageView, testbeds: readonly TestbedSnapshot[], filter: Filter): Markup {
  const cards = [...view.parts].filter(([name]) => name.startsWith("card "));
  return markup`<header><h1>Testbeds</h1>
${part(view, "head")}
<nav aria-label="Testbeds by state" data-part="states">${view.parts.get("states") ?? nothing}</nav>
${showForm(testbeds, filter)}
</header><main id="main">
<h2 data-part="shown">${view.parts.get("shown") ?? nothing}</h2>
<div id="cards" class="${cards.length <= fewCards ? "few" : "many"}">${cards.map(([, card]) => card)}</div>
</main>`;
}

function showCount(shown: number, all: number): Markup {
  if (shown === all) return markup`${all} ${all === 1 ? "testbed" : "testbeds"}`;
  return markup`${shown} of ${all} testbeds <a href="/">show all</a>`;
}
