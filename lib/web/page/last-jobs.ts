/** The last jobs as a table, in the words of `history`. Pure. */
import { cells } from "../../status/history-lines.ts";
import { resultSigns, showShortTime } from "../../status/shown-words.ts";
import type { Recorded } from "../../words/journal.ts";
import { addressOfTestbed } from "./card.ts";
import { markup, type Markup } from "./markup.ts";

/** `jobs`: the latest first. */
export function showLastJobs(jobs: readonly Recorded[], nowMs: number): Markup {
  if (jobs.length === 0) return markup`<p>no job ended in the last 24 hours</p>`;
  const titles = ["ended", "testbed", "result", "waited", "ran", "job", ""];
  return markup`<div class="table" tabindex="0" role="region" aria-label="last jobs"><table><thead><tr>${titles.map(
    (title) => (title === "" ? markup`<td></td>` : markup`<th scope="col">${title}</th>`),
  )}</tr></thead><tbody>${jobs.map((each) => showJob(each, nowMs))}</tbody></table></div>`;
}

function showJob({ atMs, entry }: Recorded, nowMs: number): Markup {
  const { testbed, job, text } = cells(entry);
  const result = entry.what === "job" ? entry.result : "ended";
  const { waited = "", ran = "", id = "" } = job ?? {};
  const tone = result === "passed" ? "green" : result === "failed" || result === "lost" ? "red" : "dim";
  return markup`<tr><td>${showShortTime(atMs, nowMs)}</td><td><a href="${addressOfTestbed(testbed)}">${testbed}</a></td>
<td class="${tone}"><b>${resultSigns[result]} ${result}</b></td><td>${waited}</td><td>${ran}</td><td>${text}</td><td><small>${id}</small></td></tr>`;
}
