/** `status` while config.toml is another one than the running factory read, or cannot be read at all. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseConfig } from "../../lib/config/config.ts";
import { compareSummaries, parseSummary, type ConfigSummary, summaryOf } from "../../lib/config/summary.ts";
import { chooseShown } from "../../lib/status/shown-config.ts";
import { type FactoryProcess, type Lab, openLab } from "../lab/lab.ts";
import { until } from "../lab/until.ts";

setDefaultTimeout(60_000);

async function startedIn(it: Lab): Promise<FactoryProcess> {
  const factory = it.start();
  await until("it is started", () => factory.log().some(({ message }) => message.includes("started on")));
  return factory;
}

async function statusOf(it: Lab, args: string[] = []): Promise<{ out: string; exitCode: number }> {
  const asked = it.start({ command: ["status"], args });
  return { out: await asked.stdout(), exitCode: await asked.exited };
}

const source = `[general]
baseurl = "https://example.com"
[factory]
token = "a-token-of-more-than-16"
[testbed.a]
sp_type = "gimlet"
targets = ["t"]
[testbed.b]
sp_type = "psc"
targets = ["t"]
[target.t]
id = "01M850P0K099E9F8GHWJ7VBZWM"
`;
const around = {
  env: {},
  home: "/h",
  user: "u",
  platform: "linux",
  workingDirectory: "/",
  readTokenFile: () => "",
};
const summaryFrom = (text: string): ConfigSummary => summaryOf(parseConfig({ ...around, text, path: "/c" }));

test.each<[string, [string, string], [string, string][], boolean]>([
  ["nothing", ["", ""], [], false],
  ["a comment", ["[general]", "# new\n[general]"], [], false],
  ["a testbed's setting", ["psc", "sidecar"], [["b", "changed"]], true],
  [
    "a name",
    ["testbed.b", "testbed.c"],
    [
      ["c", "added"],
      ["b", "removed"],
    ],
    true,
  ],
  ["[general]", ["[factory]", "bind_job = false\n[factory]"], [], true],
  ["the token", ["more-than", "more--than"], [], true],
  ["a target's id", ["VBZWM", "VBZWN"], [], true],
])("compareSummaries() %s changed", (_, [from, to], testbeds, isChanged) => {
  const now = summaryFrom(source.replace(from, to));
  expect(compareSummaries(summaryFrom(source), now)).toEqual({
    testbeds: new Map(testbeds as never),
    isChanged,
  });
});

test("a summary does not contain the token, and is read as it was written", () => {
  const summary = summaryFrom(source);
  expect(JSON.stringify(summary)).not.toContain("a-token");
  expect(parseSummary(JSON.stringify(summary))).toEqual(summary);
});

const rowOf = (out: string, testbed: string): string | undefined =>
  out.split("\n").find((line) => line.startsWith(`${testbed} `));

test.concurrent("status shows what runs while config.toml is half edited, and names the mistake with line and fix", async () => {
  await using it = await openLab({ testbeds: { "bed-1": ['note = "left"'], "bed-2": [] } });
  const factory = await startedIn(it);
  const id = await it.submit(`echo started; while [ ! -e '${it.directory}/end' ]; do sleep 0.05; done`);
  await until("it runs", async () => (await it.said(id, "stdout")).includes("started"));
  const path = join(it.base, "config.toml");
  const whole = readFileSync(path, "utf8");

  const line = whole.split("\n").findIndex((each) => each.startsWith("sp_type")) + 1;
  writeFileSync(path, whole.replace("sp_type", "sp_typ"));
  const misspelt = await statusOf(it);
  expect(misspelt.exitCode).toBe(0);
  expect(misspelt.out).toContain("The factory is running on");
  expect(misspelt.out).toMatch(new RegExp(`${path}:${line}: testbed.bed-1.sp_typ: .*\n +\\S`));
  expect(rowOf(misspelt.out, "bed-1")).toMatch(/ grapefruit +running .*\d s/);
  expect(misspelt.out).toContain("note: left");
  expect(rowOf(misspelt.out, "bed-2")).toMatch(/ grapefruit +free/);

  writeFileSync(path, `${whole}\n[testbed.`);
  const cut = await statusOf(it);
  expect(cut.exitCode).toBe(0);
  expect(cut.out).toContain(`Cannot read ${path}:${whole.split("\n").length + 1}: `);
  expect(rowOf(cut.out, "bed-1")).toMatch(/running/);
  const document = JSON.parse((await statusOf(it, ["--json"])).out) as {
    remarks: string[];
    testbeds: object[];
  };
  expect(document.remarks.join("\n")).toContain(`Cannot read ${path}:`);
  expect(document.testbeds).toMatchObject([{ state: "running", job: { id } }, { state: "free" }]);

  writeFileSync(join(it.directory, "end"), "");
  writeFileSync(path, whole);
  factory.kill("SIGUSR1");
  expect(await factory.exited).toBe(0);
  writeFileSync(path, "[general");
  const after = await statusOf(it);
  expect(after.out).toContain("No factory is running");
  expect(after.out).toContain("This shows what the last factory that ran here had read.");
  expect(rowOf(after.out, "bed-2")).toMatch(/no factory/);
});

test("chooseShown() names what of the file the running factory has not read yet", () => {
  const config = parseConfig({ ...around, text: source.replace("testbed.b", "testbed.c"), path: "/c" });
  const running = summaryFrom(source);
  const names = (of: { name: string }[]): string[] => of.map(({ name }) => name);
  const shown = chooseShown(config, { path: "/c", running, isRunning: true });
  expect([names(shown.testbeds), names(shown.unread)]).toEqual([["a", "b"], ["c"]]);
  expect(shown.remarks.join()).toContain("/c was changed after the factory read it");
  const stopped = chooseShown(config, { path: "/c", running, isRunning: false });
  expect([names(stopped.testbeds), names(stopped.unread), stopped.remarks]).toEqual([["a", "c"], [], []]);
});

test.concurrent("status shows no testbed as free that the running factory has not read and tried yet", async () => {
  await using it = await openLab({ testbeds: { "bed-1": [], "bed-2": [] } });
  const factory = await startedIn(it);
  await until("both are free", async () => (await statusOf(it)).out.match(/ free +2/g)?.length === 2);
  it.configure({ testbeds: { "bed-2": [], "bed-3": ['check = "false"'] } });
  const seen = new Set<string>();
  await until("it is read", async () => {
    const { out } = await statusOf(it);
    seen.add(/^bed-3 +grapefruit +(\w+(?: \w+)?)/m.exec(out)?.[1] ?? "not there");
    return out.includes("its check fails");
  });
  // Which of them a look meets is chance.
  expect([...seen].filter((state) => !["not served", "unavailable", "in use"].includes(state))).toEqual([]);
  expect(rowOf((await statusOf(it)).out, "bed-1")).toBeUndefined();
  factory.kill("SIGTERM");
  await factory.exited;
  expect(rowOf((await statusOf(it)).out, "bed-3")).toMatch(/no factory/);
});

test.concurrent("status fails on a mistake in config.toml if no factory has run here yet", async () => {
  await using it = await openLab();
  writeFileSync(join(it.base, "config.toml"), "[general");
  expect(await statusOf(it)).toEqual({ out: "", exitCode: 2 });
});
