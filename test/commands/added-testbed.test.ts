/** `setup` adds a testbed to a configuration that exists: it is tried first, and nothing else of the file changes. */
import { afterAll, expect, test } from "bun:test";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openCustomerApi } from "../../lib/devserver/customer.ts";
import { startDevserver } from "../../lib/devserver/server.ts";
import { openClock } from "../../lib/doors/clock.ts";
import { openHttp } from "../../lib/doors/http.ts";
import { openRandom } from "../../lib/doors/random.ts";
import { Secret } from "../../lib/words/secret.ts";
import { must } from "../lab/lab.ts";
import { openSession } from "../lab/pty.ts";

const root = join(import.meta.dir, "../..");
const scratch = mkdtempSync(join(tmpdir(), "added-"));
const clock = openClock();
const server = startDevserver({ clock, random: openRandom(), adminToken: "admin-token" });
const admin = openCustomerApi({
  http: openHttp({ clock }),
  baseurl: server.url,
  token: new Secret("admin-token"),
});
const { token } = must(await admin.createFactory("lab"));
afterAll(async () => {
  await server.stop();
  rmSync(scratch, { recursive: true, force: true });
});

const runner = join(scratch, "sp-runner");
writeFileSync(runner, "#!/bin/sh\n");
chmodSync(runner, 0o755);

const text = `# The lab's own file
[general]
baseurl = "${server.url}"
agent = "builtin"
[factory]
token = "${token}"   # from Ann
[testbed.gimlet-1]
sp_type = "gimlet"
targets = ["sp-gimlet"]
sp_runner_path = "${runner}"
[target.sp-gimlet]
id = "01HGYSTRYRBS0DG7J6E22ZS3M5"
`;

let count = 0;
function newBase(): { base: string; path: string } {
  const base = join(scratch, `base-${count++}`);
  mkdirSync(base, { mode: 0o700 });
  const path = join(base, "config.toml");
  writeFileSync(path, text, { mode: 0o600 });
  return { base, path };
}

const program = [process.execPath, join(root, "factory.ts"), "setup"];
const environment = (base: string): Record<string, string> => ({
  PATH: process.env["PATH"] ?? "",
  HOME: base,
  USER: "lab",
  FACTORY_LOCK_DIR: join(base, "locks"),
});

async function setup(base: string, ...words: string[]): Promise<{ code: number; said: string }> {
  const child = Bun.spawn([...program, "--base-dir", base, ...words], {
    env: environment(base),
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const said = `${await child.stdout.text()}${await child.stderr.text()}`;
  return { code: await child.exited, said };
}

test("from flags: at the end, with what its neighbour has, and the rest of the file as it was", async () => {
  const { base, path } = newBase();
  const { code, said } = await setup(base, "--testbed", "gimlet-2", "--type", "gimlet");
  expect(said).toContain("testbed.gimlet-2");
  expect(said).toContain(`Added [testbed.gimlet-2] at the end of ${path}`);
  expect(code).toBe(0);
  expect(readFileSync(path, "utf8")).toBe(
    `${text}\n[testbed.gimlet-2]\nsp_type = "gimlet"\ntargets = [ "sp-gimlet" ]\nsp_runner_path = "${runner}"\n`,
  );
});

test("with a new target", async () => {
  const { base, path } = newBase();
  const words = ["--testbed", "psc-1", "--type", "psc", "--target", "sp-psc=01M850P0K099E9F8GHWJ7VBZWM"];
  expect((await setup(base, ...words)).code).toBe(0);
  expect(readFileSync(path, "utf8")).toContain(`[target.sp-psc]\nid = "01M850P0K099E9F8GHWJ7VBZWM"\n`);
});

test("one that fails its trial is not added without a person's word", async () => {
  const { base, path } = newBase();
  const words = ["--testbed", "g-2", "--type", "gimlet", "--sp-runner-url", "http://127.0.0.1:1"];
  const { code, said } = await setup(base, ...words);
  expect(said).toContain("127.0.0.1:1");
  expect(said).toContain("Nothing was changed");
  expect(said).not.toContain(token);
  expect(code).toBe(1);
  expect(readFileSync(path, "utf8")).toBe(text);
});

test("what the file cannot have is refused: a name that is taken, a type that is not known, no target", async () => {
  const { base, path } = newBase();
  const refused = async (...words: string[]): Promise<string> => {
    const { code, said } = await setup(base, ...words);
    expect(code).toBe(2);
    return said;
  };
  expect(await refused("--testbed", "GIMLET-1", "--type", "gimlet")).toContain("gimlet-1");
  expect(await refused("--testbed", "gimlet-1", "--type", "gimlet")).toContain("has it already");
  expect(await refused("--testbed", "b", "--type", "toaster")).toContain("toaster");
  expect(await refused("--testbed", "b", "--type", "psc")).toContain("targets");
  expect(await refused("--type", "psc")).toContain("without --testbed");
  expect(await refused("--testbed", "b")).toContain("without --type");
  expect(await refused("--testbed", "b", "--type", "gimlet", "--ssh-port", "x")).toContain("ssh_port");
  expect(readFileSync(path, "utf8")).toBe(text);
});

test("a file that cannot be read, or is not TOML, is named with its fix, and stays as it is", async () => {
  const { base, path } = newBase();
  const broken = text.replace('agent = "builtin"', "agent = [");
  writeFileSync(path, broken);
  const added = await setup(base, "--testbed", "g-2", "--type", "gimlet");
  expect(added.code).toBe(2);
  expect(added.said).toMatch(/^Cannot read .*config\.toml:\d+: .*\n(.*\n)*  Fix the marked line/);
  expect(readFileSync(path, "utf8")).toBe(broken);
  rmSync(path);
  mkdirSync(path);
  const unreadable = await setup(base, "--testbed", "g-2", "--type", "gimlet");
  expect(unreadable.code).toBe(2);
  expect(unreadable.said).toStartWith(`Cannot read ${path}: `);
  expect(unreadable.said).toContain("It must be a file that this user can read");
});

test("in a terminal it asks, tries, and adds all the same if a person says so", async () => {
  const { base, path } = newBase();
  const session = openSession([...program, "--base-dir", base], { cwd: base, env: environment(base) });
  await session.answer("Add a testbed to it? [Y/n]", "\r");
  await session.answer("Name of the new testbed", "gimlet-1\r");
  await session.answer("gimlet-1 is taken", "");
  await session.answer("Name of the new testbed", "gimlet-3\r");
  await session.answer("Its type", "gimlet\r");
  await session.answer("targets that it serves [sp-gimlet]", "\r");
  await session.answer("Its jobs run on this host", "service\r");
  await session.answer("the service's URL", "http://127.0.0.1:1\r");
  await session.answer("Add it all the same? [y/N]", "y\r");
  expect(await session.exited).toBe(0);
  expect(readFileSync(path, "utf8")).toBe(
    `${text}\n[testbed.gimlet-3]\nsp_type = "gimlet"\ntargets = [ "sp-gimlet" ]\nsp_runner_url = "http://127.0.0.1:1"\n`,
  );
}, 20_000);
