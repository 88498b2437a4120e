/** What concerns the lab as a whole: the factory, its server, mistakes, and what keeps jobs from several testbeds. Pure. */
import { factoryText, serverLines } from "../../status/overview.ts";
import { listNames } from "../../words/columns.ts";
import { localTime } from "../../words/log-line.ts";
import type { Snapshot } from "../../status/snapshot.ts";
import { markup, type Markup, nothing } from "./markup.ts";

export function showLabHead(snapshot: Snapshot): Markup {
  const { factory, server, ifStopped, remarks, shared } = snapshot;
  const isWell = server.is === "answers" && server.reason === null;
  const runs = factory.mode === "run" ? "green" : "yellow";
  const line = (colour: string, text: string): Markup => markup`<p class="${colour}">${text}</p>`;
  return markup`${line(factory.isRunning ? runs : "red", factoryText(snapshot))}
${serverLines(snapshot).map((each) => line(isWell ? "green" : "red", each))}
${ifStopped === null ? nothing : markup`<p>If the factory stopped now: ${ifStopped}</p>`}
${remarks.map((remark) => line("yellow", remark))}
${(factory.isRunning ? shared : []).map(({ reason, testbeds }) => line("red", `${reason}: ${listNames(testbeds, 10)}`))}`;
}

export function showMade({ madeMs }: Snapshot): Markup {
  return markup`<p class="made">as of <time>${localTime(madeMs)}</time></p>`;
}
