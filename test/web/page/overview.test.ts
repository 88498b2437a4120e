/** The page as text: what it shows, what it leaves out, and that names stay names. */
import { expect, test } from "bun:test";
import { answerWeb } from "../../../lib/web/routes.ts";
import { shownOf, sampleLab } from "./sample-lab.ts";

async function get(path: string, lab = sampleLab(3)): Promise<string> {
  const url = new URL(path, "http://localhost");
  const { signal } = new AbortController();
  const reply = await answerWeb(shownOf(lab), { url, headers: new Headers(), signal });
  expect(reply.status).toBe(200);
  return reply.body as string;
}

const cardsIn = (page: string): string[] =>
  [...page.matchAll(/data-part="card ([^"]*)"/g)].map(([, name = ""]) => decodeURIComponent(name));

test("each testbed is a card that says what `status` says of it", async () => {
  const page = await get("/");
  expect(cardsIn(page)).toEqual(["gimlet-1", "grapefruit-1", "sidecar-1"]);
  const [, running = "", free = "", reserved = ""] = page.split("<article");
  for (const text of [">running<", "update-rollback", "waited", "95s", "ran", "2m", "free at"])
    expect(running).toContain(text);
  expect(free).toContain(">free<");
  for (const text of [">reserved<", "reserved by laura: new probe", "rack 2, upper shelf"])
    expect(reserved).toContain(text);
  expect(page).toContain("The server https://buildomat.example.com answers since");
  expect(page).toContain("If the factory stopped now: 1 job runs on");
});

test("a filter leaves out cards by state, type, target and text, and says how many are left", async () => {
  const lab = sampleLab(40);
  const count = async (query: string): Promise<number> => cardsIn(await get(query, lab)).length;
  expect(await count("/")).toBe(40);
  expect(await count("/?state=quarantined")).toBe(8);
  expect(await count("/?type=gimlet")).toBe(10);
  expect(await count("/?target=sp-psc&state=free")).toBe(4);
  expect(await count("/?text=SIDECAR-3")).toBe(1);
  expect(await count("/?text=update-rollback&state=running")).toBe(2);
  expect(await get("/?state=held", lab)).toContain("0 of 40 testbeds");
});

test("a job of the last day is found by its id, and the last jobs are those of the testbeds that are shown", async () => {
  const lab = sampleLab(40);
  const past = lab.journal.flatMap(({ entry }) =>
    entry.what === "job" && entry.result === "lost" ? entry : [],
  );
  const job = past.at(-1)!;
  const found = await get(`/?text=${job.job}`, lab);
  expect(found).toContain("0 of 40 testbeds");
  expect(found.match(/<td class="[^"]*"><b>/g)).toHaveLength(1);
  expect(found).toContain(`${job.jobName}: the agent ended`);
  const rows = (await get("/?text=psc-3", lab)).match(/<tr><td>[^<]*<\/td><td><a[^>]*>([^<]*)/g) ?? [];
  expect(rows.filter((row) => row.endsWith(">psc-3"))).toHaveLength(12);
});

test("F126 a name is text wherever it stands", async () => {
  const names = [
    `"><script>alert(1)</script>`,
    "' onfocus=alert(1) x='",
    "\u202egnp.exe\u0007",
    "a/../b?c#d",
  ];
  const lab = sampleLab(4, names);
  for (const testbed of lab.snapshot.testbeds) testbed.note = names[0]!;
  for (const path of ["/", `/?text=${encodeURIComponent(names[0]!)}&type=${encodeURIComponent(names[1]!)}`]) {
    const page = await get(path, lab);
    const found: string[] = [];
    const element = ({ tagName, attributes }: HTMLRewriterTypes.Element): void => {
      found.push(tagName, ...[...attributes].map(([name]) => name));
    };
    new HTMLRewriter().on("*", { element }).transform(page);
    expect(found.filter((each) => each === "script")).toHaveLength(1);
    expect(found.filter((each) => each.startsWith("on"))).toEqual([]);
    for (const sign of ["\u202e", "\u0007"]) expect(page).not.toContain(sign);
  }
  expect(await get("/", lab)).toContain(`href="/testbed/a%2F..%2Fb%3Fc%23d"`);
});

test("the page, its style and its script are less than 60 kB, and ask for nothing elsewhere", async () => {
  const texts = [await get("/", sampleLab(3)), await get("/page.css"), await get("/page.js")];
  const bytes = texts.map((text) => Buffer.byteLength(text));
  expect(bytes.reduce((sum, each) => sum + each)).toBeLessThan(60_000);
  for (const text of texts)
    expect(text).not.toMatch(/\bstyle="|(?:src|href)="(?:https?:)?\/\/|@import|url\(/);
});
