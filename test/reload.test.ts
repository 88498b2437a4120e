/** A real factory reads its configuration anew, by SIGHUP and when the file was saved, while a job runs. */
import { Database } from "bun:sqlite";
import { expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type FactoryProcess, type Lab, openLab } from "./lab/lab.ts";
import { until } from "./lab/until.ts";

setDefaultTimeout(60_000);

const hasLogged = (factory: FactoryProcess, text: string): boolean =>
  factory.log().some(({ message }) => message.includes(text));

/** A job that is seen to run, and ends when it is told. */
async function beginJob(it: Lab): Promise<{ id: string; end(): void }> {
  const file = join(it.directory, "end");
  const id = await it.submit(`echo started; while [ ! -e '${file}' ]; do sleep 0.05; done; echo ended`);
  await until("it runs", async () => (await it.said(id, "stdout")).includes("started"));
  return {
    id,
    end: () => writeFileSync(file, ""),
  };
}

const path = ({ base }: Lab): string => join(base, "config.toml");
const saved = (it: Lab): string => readFileSync(path(it), "utf8");

/** As editors save: a new file takes the name. */
function saveByRename(it: Lab, text: string): void {
  writeFileSync(`${path(it)}.new`, text, { mode: 0o600 });
  renameSync(`${path(it)}.new`, path(it));
}

test.concurrent("SIGHUP: a testbed that is removed lets its job end, one that is added takes the next job, and a bad file changes nothing", async () => {
  await using it = await openLab();
  const factory = it.start();
  const { id, end } = await beginJob(it);
  const text = saved(it);
  saveByRename(it, text.replace("[testbed.bed-1]", "[testbed.bed-2]"));
  factory.kill("SIGHUP");
  await until("it is read", () => hasLogged(factory, "bed-1: removed; its job runs on"));
  expect(hasLogged(factory, "bed-2: added")).toBe(true);
  const next = await it.submit("echo next");
  expect((await it.ended(next)).state).toBe("completed");
  expect((await it.job(id)).state).toBe("running");
  writeFileSync(path(it), "[general]\nbaseurl = 7");
  factory.kill("SIGHUP");
  await until("the mistake is logged", () => hasLogged(factory, "has a mistake now"));
  const shown = await it.start({ command: ["status"] }).stdout();
  expect(shown).toContain("goes on with what it had read before");
  expect(shown).toContain("general.baseurl");
  const third = await it.submit("echo third");
  expect((await it.ended(third)).state).toBe("completed");
  end();
  expect((await it.ended(id)).state).toBe("completed");
  expect(await it.said(id, "stdout")).toEqual(["started", "ended"]);
  // bed-1 takes no other job, and nothing of it is left.
  await until("both are free", () => it.processes().length === 1);
  const database = new Database(join(it.base, "data.sqlite3"), { readonly: true });
  const journal = database.query<{ entry: string }, []>("SELECT entry FROM factory_journal").all();
  database.close();
  expect(journal.some(({ entry }) => entry.includes("bed-1: removed; its job runs on"))).toBe(true);
  expect(journal.some(({ entry }) => entry.includes('"refused"'))).toBe(true);
  factory.kill("SIGUSR1");
  expect(await factory.exited).toBe(0);
});

test.concurrent("a saved file is read without being told: replaced by another, or written in two pieces", async () => {
  await using it = await openLab();
  const factory = it.start();
  await until("it has started", () => hasLogged(factory, "started on"));
  await until("it looks for jobs", () => it.proxy.calls.some((call) => call.includes("lease")));
  const text = saved(it);
  saveByRename(it, text.replace("[testbed.bed-1]", '[testbed.bed-1]\nnote = "by rename"'));
  await until("the first is read", () => hasLogged(factory, 'note "" -> "by rename"'));
  // The first piece is a file that cannot be used, or lacks the testbed.
  const whole = text.replace("[testbed.bed-1]", '[testbed.bed-1]\nnote = "by truncation"');
  writeFileSync(path(it), whole.slice(0, whole.indexOf("note")));
  writeFileSync(path(it), whole);
  await until("the second is read", () => hasLogged(factory, '"by rename" -> "by truncation"'));
  // What looks for updates begins anew, too.
  saveByRename(it, `${whole}\n[update]\nurl = "/media/stick"\n`);
  await until("updates are looked for there", () => hasLogged(factory, "update.url has no effect"));
  const id = await it.submit("echo done");
  expect((await it.ended(id)).state).toBe("completed");
  factory.kill("SIGUSR1");
  expect(await factory.exited).toBe(0);
});

test.concurrent("the verb reload prints what has changed, or each mistake and exits 1 then", async () => {
  await using it = await openLab();
  const factory = it.start();
  await until("it looks for jobs", () => it.proxy.calls.some((call) => call.includes("lease")));
  const text = saved(it);
  const verb = async (): Promise<[number, string]> => {
    const reload = it.start({ command: ["reload"], args: ["--note", "new board"] });
    const out = await reload.stdout();
    return [await reload.exited, out];
  };
  writeFileSync(path(it), text.replace("[testbed.bed-1]", "[testbed.bed-2]"));
  // It may have been read already, because it was saved.
  expect(await verb()).toEqual([
    0,
    expect.stringMatching(/bed-2: added\nbed-1: removed|nothing has changed/),
  ]);
  expect(hasLogged(factory, "bed-2: added")).toBe(true);
  expect(await verb()).toEqual([0, expect.stringContaining("nothing has changed")]);
  writeFileSync(path(it), text.replace("poll_interval", "pol_interval"));
  const [code, out] = await verb();
  expect(code).toBe(1);
  expect(out).toContain("goes on with what it had read before");
  expect(out).toContain("pol_interval");
  factory.kill("SIGUSR1");
  expect(await factory.exited).toBe(0);
});

test.concurrent("a token that the server refuses is replaced without a restart, also in its own file", async () => {
  await using it = await openLab();
  const good = saved(it);
  const tokenFile = join(it.base, "token");
  writeFileSync(tokenFile, "not-a-token-of-this-server", { mode: 0o600 });
  saveByRename(it, good.replace(/token = .*/, `token_file = "${tokenFile}"`));
  const factory = it.start();
  await until("the token is refused", () => hasLogged(factory, "refuses the factory's token"));
  writeFileSync(tokenFile, it.factoryToken);
  await until("the new one is taken", () => hasLogged(factory, "takes the factory's token again"));
  const id = await it.submit("echo done");
  expect((await it.ended(id)).state).toBe("completed");
  expect(hasLogged(factory, "factory.token changed")).toBe(true);
  expect(JSON.stringify(factory.log())).not.toContain(it.factoryToken);
  factory.kill("SIGUSR1");
  expect(await factory.exited).toBe(0);
});
