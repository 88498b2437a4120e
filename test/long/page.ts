/** The page in a real browser: Debian's Chromium, without a window. */
import { afterAll, afterEach, beforeAll, expect } from "bun:test";
import { readFileSync } from "node:fs";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { openWebListener } from "../../lib/doors/web-listener.ts";
import { answerWeb } from "../../lib/web/routes.ts";
import { createSettableClock } from "../lab/settable-clock.ts";
import { testWith } from "../lab/needs.ts";
import { until } from "../lab/until.ts";
import { type SampleLab, sampleLab, sampleMs, shownOf } from "../web/page/sample-lab.ts";

const axe = readFileSync(Bun.resolveSync("axe-core/axe.min.js", import.meta.dir), "utf8");
const test = testWith("chromium");
let browser: Browser | null = null;
const closing: (() => unknown)[] = [];

beforeAll(async () => {
  const executablePath = Bun.which("chromium");
  if (executablePath === null) return;
  // As root it has no sandbox of its own.
  browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
});
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});
afterAll(async () => await browser?.close());

/** `pass`: so many milliseconds go by for the factory. */
async function open(
  lab: SampleLab,
  { path = "", ...options }: BrowserContextOptions & { path?: string } = {},
) {
  const clock = createSettableClock({ wallMs: sampleMs });
  const shown = shownOf(lab, { clock, snapshot: () => ({ ...lab.snapshot, madeMs: clock.wallMs() }) });
  const listener = openWebListener({
    host: "127.0.0.1",
    port: 0,
    hosts: [],
    answer: async (request) => await answerWeb(shown, request),
    onFault: (error) => complaints.push(String(error)),
  });
  closing.push(() => listener.close());
  const complaints: string[] = [];
  const asked: string[] = [];
  const context = await browser!.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  closing.push(() => context.close());
  const page = await context.newPage();
  page.on("console", (message) => complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("request", (request) => asked.push(request.url()));
  const opened = page.goto(new URL(path, listener.url).href);
  let isOpen = false;
  opened.then(() => void (isOpen = true)).catch((error: unknown) => complaints.push(String(error)));
  await until("it is open", async () => {
    await clock.advance(1);
    return isOpen || complaints.length > 0;
  });
  return { page, clock, url: listener.url, complaints, asked };
}

const cards = async (page: Page): Promise<number> => await page.locator("article").count();

async function advanceUntil(
  { page, clock }: Pick<Awaited<ReturnType<typeof open>>, "page" | "clock">,
  what: string,
  isSo: () => Promise<boolean>,
): Promise<void> {
  await until(what, async () => {
    await clock.advance(1000);
    return (await page.title()) !== "" && (await isSo());
  });
}

test("a change is on the page without a new one, and nothing is asked elsewhere", async () => {
  const lab = sampleLab(3);
  const opened = await open(lab);
  const { page, url, complaints, asked } = opened;
  expect(await cards(page)).toBe(3);
  await page.locator("article a").first().focus();
  lab.snapshot.testbeds[0]!.state = "held";
  await advanceUntil(
    opened,
    "it is held",
    async () => (await page.locator("article .state b").first().textContent()) === "held",
  );
  expect(await page.locator(":focus").textContent()).toBe("gimlet-1");
  expect(asked.filter((each) => !each.startsWith(url) && !each.startsWith("data:"))).toEqual([]);
  expect(asked.filter((each) => each === url)).toHaveLength(1);
  expect(complaints).toEqual([]);
});

test("of 1,000 testbeds only those are in the page that the filter lets in", async () => {
  const opened = await open(sampleLab(1000));
  const { page, complaints } = opened;
  expect(await cards(page)).toBe(1000);
  await page.getByRole("searchbox").fill("sidecar-7");
  await advanceUntil(opened, "few are left", async () => (await cards(page)) === 11);
  expect(page.url()).toEndWith("?text=sidecar-7");
  await page.getByLabel("state", { exact: true }).selectOption("free");
  await advanceUntil(opened, "fewer are left", async () => (await cards(page)) < 11);
  await page.getByRole("searchbox").fill("");
  await advanceUntil(opened, "all free ones are there", async () => (await cards(page)) === 400);
  expect(complaints).toEqual([]);
});

test("F126 hostile names are text, and their pages can be opened", async () => {
  const names = [
    `"><img src=x onerror=alert(1)>`,
    "</script><script>alert(1)</script>",
    "a/b?c#d",
    "\u202eevil",
  ];
  const { page, complaints } = await open(sampleLab(4, names));
  page.on("dialog", (dialog) => complaints.push(dialog.message()));
  expect(await page.locator("article h3 a").allTextContents()).toEqual([
    names[0]!,
    names[1]!,
    names[2]!,
    "evil",
  ]);
  await page.getByRole("link", { name: "a/b?c#d" }).first().click();
  await page.waitForURL(/a%2Fb%3Fc%23d/);
  expect(await page.locator("h1").textContent()).toBe("a/b?c#d");
  expect(complaints).toEqual([]);
});

test("without scripts all is there: cards, filter, days, plots and the log", async () => {
  const { page, url, complaints } = await open(sampleLab(3), { javaScriptEnabled: false });
  expect(await cards(page)).toBe(3);
  expect(await page.locator("svg.strip").count()).toBe(3);
  expect(await page.locator("svg.plot").count()).toBe(2);
  expect(await page.locator("tbody tr").count()).toBe(12);
  await page.getByRole("searchbox").fill("sidecar");
  await page.getByRole("button", { name: "Show" }).click();
  await page.waitForURL(/text=sidecar/);
  expect(await cards(page)).toBe(1);
  await page.goto(new URL("testbed/gimlet-1", url).href);
  expect(await page.locator("pre").textContent()).toBe("starting\n");
  expect(complaints).toEqual([]);
});

test("the keyboard leads through a day, and says what each piece is", async () => {
  const { page } = await open(sampleLab(3), { path: "testbed/sidecar-1" });
  await page.locator(".strip [tabindex='0']").focus();
  expect(await page.locator("#tip").textContent()).toContain("reserved by laura: new probe");
  await page.keyboard.press("ArrowLeft");
  expect(await page.locator("#tip").textContent()).toContain("no job came");
  await page.keyboard.press("ArrowLeft");
  expect(await page.locator("#tip").textContent()).toMatch(/: passed$/);
  await page.keyboard.press("Escape");
  expect(await page.locator("#tip").isVisible()).toBe(false);
});

test("a screen of 360 px shows all of it without scrolling aside", async () => {
  for (const [count, path] of [
    [3, ""],
    [12, ""],
    [3, "testbed/gimlet-1"],
  ] as const) {
    const { page } = await open(sampleLab(count), { path, viewport: { width: 360, height: 740 } });
    const width = await page.evaluate("document.documentElement.scrollWidth");
    expect({ count, path, width }).toEqual({ count, path, width: 360 });
  }
});

test("axe finds nothing, in light and dark, with few and many testbeds, and on the page of one", async () => {
  for (const colorScheme of ["light", "dark"] as const) {
    for (const [count, path] of [
      [5, ""],
      [200, "?state=quarantined"],
      [5, "testbed/gimlet-2"],
    ] as const) {
      // The page's own policy lets no script in.
      const { page } = await open(sampleLab(count), { path, colorScheme, bypassCSP: true });
      await page.evaluate(axe);
      const found = await page.evaluate(
        "axe.run().then(({ violations }) => violations.map(({ id, nodes }) => `${id}: ${nodes[0].html}`))",
      );
      expect({ colorScheme, count, path, found }).toEqual({ colorScheme, count, path, found: [] });
    }
  }
}, 120_000);

test("an hour of updates leaves as many elements and as much memory as before", async () => {
  const lab = sampleLab(60);
  const opened = await open(lab);
  const { page, clock } = opened;
  const session = await page.context().newCDPSession(page);
  const measure = async (): Promise<{ elements: number; heap: number }> => {
    await session.send("HeapProfiler.collectGarbage");
    await session.send("Performance.enable");
    const { metrics } = await session.send("Performance.getMetrics");
    const of = (name: string): number => metrics.find((each) => each.name === name)!.value;
    return { elements: of("Nodes"), heap: of("JSHeapUsedSize") };
  };
  const turn = async (seconds: number): Promise<void> => {
    for (let second = 0; second < seconds; second += 1) {
      const testbed = lab.snapshot.testbeds[second % 60]!;
      testbed.note = `note ${second}`;
      if (second % 7 === 0) testbed.state = testbed.state === "free" ? "disabled" : "free";
      await clock.advance(1000);
      await Bun.sleep(0);
    }
    testbedOf(lab).note = `after ${seconds}`;
    await advanceUntil(opened, "all was taken", async () =>
      (await page.locator(".note").allTextContents()).includes(`after ${seconds}`),
    );
  };
  const testbedOf = (of: SampleLab) => of.snapshot.testbeds[0]!;
  await turn(120);
  const before = await measure();
  await turn(3600);
  const after = await measure();
  expect(after.elements).toBeLessThan(before.elements * 1.2);
  expect(after.heap).toBeLessThan(before.heap * 1.5);
}, 300_000);
