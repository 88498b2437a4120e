/** Which testbeds are shown: what the address says, and the form that asks for it. Pure. */
import { jobText, reasonsOf } from "../../status/overview.ts";
import { stateColours } from "../../status/shown-words.ts";
import { type TestbedSnapshot, testbedStates } from "../../status/snapshot.ts";
import { type Markup, markup, nothing } from "./markup.ts";

const fields = ["state", "type", "target", "text"] as const;
type Field = (typeof fields)[number];

/** What is empty is not a condition. */
export type Filter = Record<Field, string>;

const longest = 100;
const selected = markup` selected`;

export function filterOf(asked: URLSearchParams): Filter {
  const [state, type, target, text] = fields.map((field) =>
    (asked.get(field) ?? "").slice(0, longest).trim(),
  );
  return { state: state ?? "", type: type ?? "", target: target ?? "", text: text ?? "" };
}

export function addressOf(filter: Filter): string {
  const given = Object.entries(filter).filter(([, value]) => value !== "");
  const query = new URLSearchParams(given).toString();
  return query === "" ? "/" : `/?${query}`;
}

export function isShown(testbed: TestbedSnapshot, filter: Filter): boolean {
  const { state, type, target } = filter;
  if (state !== "" && testbed.state !== state) return false;
  if (type !== "" && (testbed.type ?? "") !== type) return false;
  if (target !== "" && !testbed.targets.includes(target)) return false;
  return filter.text === "" || saysText(textsOf(testbed), filter);
}

export function saysText(texts: (string | null)[], { text }: Filter): boolean {
  const asked = text.toLowerCase();
  return texts.some((each) => each?.toLowerCase().includes(asked) === true);
}

function textsOf(testbed: TestbedSnapshot): string[] {
  const { note, host, service, job } = testbed;
  const ids = [job?.id ?? "", job?.worker ?? ""];
  const places = [host ?? "", service ?? ""];
  return [testbed.testbed, note, jobText(testbed), ...ids, ...places, ...reasonsOf(testbed, new Set())];
}

/** How many are in each state, each a link that shows only those. */
export function showStates(testbeds: readonly TestbedSnapshot[], filter: Filter): Markup {
  const counts = Map.groupBy(testbeds, ({ state }) => state);
  const link = (state: string, count: number, text: string, colour: string): Markup => {
    const current = filter.state === state ? markup` aria-current="true"` : nothing;
    const to = addressOf({ ...filter, state });
    return markup`<li><a class="${colour}" href="${to}"${current}><b>${count}</b> ${text}</a></li>`;
  };
  const all = link("", testbeds.length, testbeds.length === 1 ? "testbed" : "testbeds", "plain");
  const states = testbedStates.filter((state) => counts.has(state) || filter.state === state);
  return markup`<ul>${all}${states.map((state) =>
    link(state, counts.get(state)?.length ?? 0, state, stateColours[state]),
  )}</ul>`;
}

export function showForm(testbeds: readonly TestbedSnapshot[], filter: Filter): Markup {
  const types = testbeds.flatMap(({ type }) => type ?? []);
  const targets = testbeds.flatMap((testbed) => testbed.targets);
  const select = (field: Field, all: string, values: readonly string[]): Markup => {
    const options = [...new Set([...values, filter[field]])].filter((value) => value !== "").toSorted();
    const option = (value: string): Markup =>
      markup`<option${value === filter[field] ? selected : nothing}>${value}</option>`;
    return markup`<select name="${field}" aria-label="${field}"><option value="">${all}</option>${options.map(option)}</select>`;
  };
  const states = testbedStates.filter((state) => testbeds.some((each) => each.state === state));
  return markup`<form role="search" action="/" aria-label="which testbeds">
<input type="search" name="text" aria-label="text" placeholder="name, job, note" value="${filter.text}" maxlength="${longest}">
${select("type", "all types", types)}${select("target", "all targets", targets)}${select("state", "all states", states)}
<button>Show</button></form>`;
}
