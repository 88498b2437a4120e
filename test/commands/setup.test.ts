import { afterAll, expect, test } from "bun:test";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Config, parseConfig } from "../../lib/config/config.ts";
import { openCustomerApi } from "../../lib/devserver/customer.ts";
import { startDevserver } from "../../lib/devserver/server.ts";
import { openClock } from "../../lib/doors/clock.ts";
import { openFiles } from "../../lib/doors/files.ts";
import { openHttp } from "../../lib/doors/http.ts";
import { openRandom } from "../../lib/doors/random.ts";
import { composeConfig } from "../../lib/commands/setup/config-text.ts";
import { findTestbeds } from "../../lib/commands/setup/discovered.ts";
import { Secret } from "../../lib/words/secret.ts";
import { must } from "../lab/lab.ts";
import { testWith } from "../lab/needs.ts";
import { openSession, type Session } from "../lab/pty.ts";
import { until } from "../lab/until.ts";

const root = join(import.meta.dir, "../..");
const scratch = mkdtempSync(join(tmpdir(), "setup-"));
const clock = openClock();
const http = openHttp({ clock });
const server = startDevserver({ clock, random: openRandom(), adminToken: "admin-token" });
const admin = openCustomerApi({ http, baseurl: server.url, token: new Secret("admin-token") });
const { token } = must(await admin.createFactory("lab"));
/** A URL where nothing listens. */
const nowhere = "http://127.0.0.1:1";
afterAll(async () => {
  await server.stop();
  rmSync(scratch, { recursive: true, force: true });
});

/** Bun's cache, which would otherwise be in each home. */
const cache = join(scratch, "cache");

const grapefruit = "01M850P0K099E9F8GHWJ7VBZWM";
const gimlet = "01HGYSTRYRBS0DG7J6E22ZS3M5";
const enter = "\r";
const ctrlC = "\x03";

let count = 0;
/** A new home, and what `setup` would write there. */
function newHome(): { home: string; base: string; path: string } {
  const home = join(scratch, `home ${count++} of o'neil "x"`);
  mkdirSync(home);
  const base = join(home, "Oxide/ci/factory");
  return { home, base, path: join(base, "config.toml") };
}

function environment(home: string, more: Record<string, string> = {}): Record<string, string> {
  return {
    PATH: process.env["PATH"] ?? "",
    HOME: home,
    USER: "lab",
    BUN_RUNTIME_TRANSPILER_CACHE_PATH: cache,
    ...more,
  };
}

const program = [process.execPath, join(root, "factory.ts"), "setup"];

function start(home: string, words: string[] = [], env: Record<string, string> = {}): Session {
  return openSession([...program, ...words], { cwd: home, env: environment(home, env) });
}

/** Without a terminal. */
async function run(
  home: string,
  words: string[],
  env: Record<string, string> = {},
): Promise<{ code: number; said: string }> {
  const child = Bun.spawn([...program, ...words], {
    cwd: home,
    env: environment(home, env),
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const said = (await child.stdout.text()) + (await child.stderr.text());
  return { code: await child.exited, said };
}

function readWritten(path: string, home: string): Config {
  return parseConfig({
    text: readFileSync(path, "utf8"),
    path,
    env: {},
    home,
    user: "lab",
    platform: "linux",
    workingDirectory: home,
    readTokenFile: (file) => readFileSync(file, "utf8"),
  });
}

/** Every name under a directory, hidden ones too. */
const allIn = (directory: string): string[] =>
  (readdirSync(directory, { recursive: true }) as string[]).toSorted();

/** Puts two testbeds, and a file that is not TOML, beside an sp-runner configuration in the home. */
function discover(home: string): void {
  const directory = join(home, "sp runner/testbeds/discovered");
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(home, "sp runner/config.toml"), "");
  writeFileSync(join(directory, "grapefruit-1.toml"), `sp_type = "grapefruit"\n`);
  writeFileSync(join(directory, "second.toml"), `name = "gimlet-7"\ntype = "Gimlet"\n`);
  writeFileSync(join(directory, "torn.toml"), "sp_type = [\n");
}

test("setup asks for everything that was not given, and a factory can run what it writes", async () => {
  const { home, base, path } = newHome();
  discover(home);
  const session = start(home);
  await session.answer("Base directory [", enter);
  await session.answer("URL of the buildomat server", `ftp://x${enter}`);
  await session.answer("is not an http or https URL", "");
  await session.answer("URL of the buildomat server", `${server.url}/${enter}`);
  // A slip, taken back with Ctrl+U.
  await session.answer("Token:", `slip-of-a-token\x15${token}${enter}`);
  // Up and Ctrl+Y would bring back what a reader has kept.
  await session.answer("sp-runner, as jobs call it", `\x1B[A\x19${enter}`);
  await session.answer("sp-runner's configuration", `sp runner/config.toml${enter}`);
  await session.answer("GET /0/admin/targets", "");
  await session.answer("Target as NAME=ULID", `sp-grapefruit=short${enter}`);
  await session.answer(`"short" is not a ULID`, "");
  await session.answer("Target as NAME=ULID", `sp-grapefruit=${grapefruit}${enter}`);
  await session.answer("Next target", enter);
  await session.answer("Add a section for grapefruit-1 (grapefruit)?", enter);
  await session.answer("targets that it serves [sp-grapefruit]", enter);
  await session.answer("Add a section for gimlet-7 (gimlet)?", `n${enter}`);
  await session.answer("Another testbed's name", `psc-2${enter}`);
  await session.answer("its type", `psc${enter}`);
  await session.answer("targets that it serves", `sp-grapefruut${enter}`);
  await session.answer("did you mean sp-grapefruit?", "");
  await session.answer("targets that it serves", `sp-grapefruit${enter}`);
  await session.answer("Another testbed's name", enter);
  expect(await session.exited).toBe(0);

  const config = readWritten(path, home);
  const spRunnerConfig = join(home, "sp runner/config.toml");
  expect(config.general.baseurl).toBe(server.url);
  expect(config.token.reveal()).toBe(token);
  expect(config.targets).toEqual([{ name: "sp-grapefruit", id: grapefruit }]);
  expect(config.testbeds).toMatchObject([
    { name: "grapefruit-1", spType: "grapefruit", spRunnerPath: "sp-runner", spRunnerConfig },
    { name: "psc-2", spType: "psc", targets: ["sp-grapefruit"], spRunnerConfig },
  ]);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(statSync(base).mode & 0o777).toBe(0o700);
  expect(allIn(base)).toEqual(["config.schema.json", "config.toml"]);
  const shown = session.shown();
  expect(shown).toContain(`Skipped "torn.toml": it is not TOML`);
  expect(shown).toContain(`Written: ${path}, readable only by lab`);
  expect(shown).toMatch(/Next:\n .* check .*\n .* run /);
  expect(shown).not.toContain(token);
  expect(shown).not.toContain("slip");
  expect(shown).toContain("The server accepts the token");
  expect(shown).not.toContain("Warning");
}, 20_000);

test("setup changes nothing when Ctrl+C or Ctrl+D is the answer to a question", async () => {
  const given = ["--server-url", server.url];
  const first = newHome();
  const atOnce = start(first.home);
  await atOnce.answer("Base directory", ctrlC);
  const second = newHome();
  const atToken = start(second.home, given);
  await atToken.answer("Base directory", enter);
  await atToken.answer("Token:", `half${ctrlC}`);
  const third = newHome();
  const atEnd = start(third.home, [...given, "--sp-runner", "x"], { FACTORY_TOKEN: token });
  await atEnd.answer("Base directory", enter);
  await atEnd.answer("configuration", enter);
  await atEnd.answer("Target as", "\x04");
  for (const [session, { home }] of [
    [atOnce, first],
    [atToken, second],
    [atEnd, third],
  ] as const) {
    expect(await session.exited).toBe(130);
    expect(session.shown()).toContain("Cancelled: nothing was changed");
    expect(allIn(home)).toEqual([]);
  }
}, 20_000);

test("setup leaves nothing if it is killed in the middle", async () => {
  const { home } = newHome();
  const session = start(home, [], { FACTORY_TOKEN: token });
  await session.answer("Base directory", enter);
  await session.answer("URL of", "");
  session.kill("SIGKILL");
  await session.exited;
  expect(allIn(home)).toEqual([]);
}, 20_000);

const answered = ["--server-url", server.url, "--sp-runner", "sp-runner", "--sp-config", "/none/c.toml"];

testWith("namespaces")(
  "setup says of a full disk that it is full, and does not ask for another directory",
  async () => {
    const { home, base } = newHome();
    mkdirSync(base, { recursive: true });
    const fill =
      'mount -t tmpfs -o size=8k none "$1"; head -c 9000 /dev/zero >"$1/fill" 2>/dev/null; shift; exec "$@"';
    const words = [...answered, "--base-dir", base, "--target", `a=${grapefruit}`];
    const child = Bun.spawn(["unshare", "--mount", "sh", "-c", fill, "sh", base, ...program, ...words], {
      cwd: home,
      env: environment(home, { FACTORY_TOKEN: token }),
      stdin: "ignore",
      stderr: "pipe",
    });
    const said = await child.stderr.text();
    expect(await child.exited).toBe(2);
    expect(said).toMatch(/Cannot write .*: ENOSPC/);
    expect(said).toContain("The disk is full: make room and try again");
    expect(said).not.toContain("--base-dir");
  },
);

test("setup asks before it overwrites, and does not if the answer is empty", async () => {
  const { home, base, path } = newHome();
  mkdirSync(base, { recursive: true });
  writeFileSync(path, "old");
  const words = [...answered, "--base-dir", base, "--target", `a=${grapefruit}`];
  const refused = start(home, words, { FACTORY_TOKEN: token });
  await refused.answer("exists. Overwrite it? [y/N]", enter);
  expect(await refused.exited).toBe(0);
  expect(readFileSync(path, "utf8")).toBe("old");

  const agreed = start(home, words, { FACTORY_TOKEN: token });
  await agreed.answer("Overwrite it?", `y${enter}`);
  await agreed.answer("Name of a testbed", enter);
  expect(await agreed.exited).toBe(0);
  expect(readWritten(path, home).general.baseurl).toBe(server.url);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(allIn(base)).toEqual(["config.schema.json", "config.toml"]);
}, 20_000);

test("setup without a terminal names the missing flags", async () => {
  const { home } = newHome();
  const { code, said } = await run(home, ["--server-url", nowhere]);
  expect(code).toBe(2);
  expect(said).toContain("Cannot ask without a terminal. Missing: --token-file FILE");
  expect(said).not.toContain("--server-url");
  expect(allIn(home)).toEqual([]);
});

test("setup without a terminal writes a configuration from flags alone, but overwrites nothing", async () => {
  const { home, path } = newHome();
  discover(home);
  writeFileSync(join(home, "its token"), "short\n");
  const words = ["--base-dir", "Oxide/ci/factory", "--server-url", nowhere, "--token-file", "its token"];
  words.push("--sp-config", "sp runner/config.toml", "--sp-runner", "bin/sp 'runner'");
  words.push(
    "--target",
    `sp-grapefruit=${grapefruit}`,
    `--target=sp=gimlet "x"=${gimlet}`.replace(' "x"', '"x"'),
  );
  const { code, said } = await run(home, words);
  expect(said).toContain("this token has only 5 characters");
  expect(said).not.toContain("short\n");
  expect(code).toBe(0);
  const config = readWritten(path, home);
  expect(readFileSync(path, "utf8")).toContain("token_file = ");
  expect(config.token.reveal()).toBe("short");
  expect(config.targets).toEqual([
    { name: "sp-grapefruit", id: grapefruit },
    { name: 'sp=gimlet"x"', id: gimlet },
  ]);
  expect(config.testbeds).toMatchObject([
    { name: "grapefruit-1", targets: ["sp-grapefruit"], spRunnerPath: join(home, "bin/sp 'runner'") },
    { name: "gimlet-7", targets: ['sp=gimlet"x"'], spRunnerConfig: join(home, "sp runner/config.toml") },
  ]);

  const before = readFileSync(path, "utf8");
  const again = await run(home, words);
  expect(again.code).toBe(2);
  expect(again.said).toContain(`Cannot write ${path}: it exists already`);
  expect(again.said).toContain("Move it away first");
  expect(readFileSync(path, "utf8")).toBe(before);
});

test("setup takes the token from FACTORY_TOKEN, and refuses wrong flags before it asks anything", async () => {
  const { home, base, path } = newHome();
  const words = ["--base-dir", base, "--server-url", server.url];
  const faults: [string[], string, string][] = [
    [["--token-file", "none"], token, "Cannot read --token-file"],
    [["--target", "sp-gimlet"], token, `has no "="`],
    [["--target", `a=${gimlet}`, "--target", `b=${gimlet}`], token, "already"],
    [[], "two words", "Cannot use FACTORY_TOKEN: it contains a space"],
  ];
  for (const [more, value, fault] of faults) {
    const { code, said } = await run(home, [...words, ...more], { FACTORY_TOKEN: value });
    expect(said).toContain(fault);
    expect(said).not.toContain(value);
    expect(code).toBe(2);
  }
  expect(allIn(home)).toEqual([]);
  const { code, said } = await run(home, words, { FACTORY_TOKEN: token });
  expect(code).toBe(0);
  expect(said).toContain("no target yet");
  expect(said).not.toContain(token);
  expect(readWritten(path, home).token.reveal()).toBe(token);
});

test("setup without a terminal uses and shows the usual base directory", async () => {
  const { home, base, path } = newHome();
  const { code, said } = await run(home, ["--server-url", server.url], { FACTORY_TOKEN: token });
  expect(said).toContain(`Base directory: ${base}\n`);
  expect(said).toContain("The server accepts the token");
  expect(code).toBe(0);
  expect(readWritten(path, home).token.reveal()).toBe(token);
});

test("setup without a terminal writes nothing if the server refuses the token, and warns if it cannot ask", async () => {
  const { home, path } = newHome();
  const wrong = { FACTORY_TOKEN: "not-a-token-of-this-server" };
  const refused = await run(home, ["--server-url", server.url], wrong);
  expect(refused.code).toBe(2);
  expect(refused.said).toContain("Cannot use the token: the server refuses it");
  expect(allIn(home)).toEqual([]);
  // F08: certificates would not be checked.
  const open = await run(home, ["--server-url", server.url], { ...wrong, NODE_TLS_REJECT_UNAUTHORIZED: "0" });
  expect(open).toMatchObject({ code: 2, said: expect.stringContaining("NODE_TLS_REJECT_UNAUTHORIZED=0") });
  expect(allIn(home)).toEqual([]);
  const untried = await run(home, ["--server-url", nowhere], wrong);
  expect(untried.said).toContain(
    "Warning: the token could not be tried: 127.0.0.1 refuses connections to port 1",
  );
  expect(untried.said).toContain("Correct the port in the server's URL");
  expect(untried.said).not.toContain(wrong.FACTORY_TOKEN);
  expect(untried.code).toBe(0);
  expect(readWritten(path, home).token.reveal()).toBe(wrong.FACTORY_TOKEN);
});

test("setup at a terminal asks for another token if the server refuses one, and whether to go on if the server does not answer", async () => {
  const first = newHome();
  const words = [
    "--base-dir",
    first.base,
    "--sp-runner",
    "x",
    "--sp-config",
    "/none/c.toml",
    "--target",
    `a=${gimlet}`,
  ];
  const refused = start(first.home, [...words, "--server-url", server.url]);
  await refused.answer("Token:", `not-a-token-of-this-server${enter}`);
  await refused.answer("the server refuses it", "");
  await refused.answer("Use this token anyway? [y/N]", `pasted-too-soon${enter}`);
  await refused.answer("Use this token anyway? [y/N]", enter);
  await refused.answer("Try another token? [Y/n]", `pasted-too-soon${enter}`);
  await refused.answer("Try another token? [Y/n]", enter);
  await refused.answer("Token:", `${token}${enter}`);
  await refused.answer("The server accepts the token", "");
  await refused.answer("Name of a testbed", enter);
  expect(await refused.exited).toBe(0);
  expect(readWritten(first.path, first.home).token.reveal()).toBe(token);
  expect(refused.shown()).not.toContain("pasted-too-soon");
  // Keys of a configuration that is not there yet are of no help.
  expect(refused.shown()).not.toMatch(/factory\.token|token_file|general\./);
  rmSync(first.base, { recursive: true });

  const hopeless = start(first.home, [...words, "--server-url", server.url], { FACTORY_TOKEN: "of-old" });
  await hopeless.answer("Use this token anyway?", enter);
  await hopeless.answer("Try another token?", `n${enter}`);
  expect(await hopeless.exited).toBe(1);
  expect(hopeless.shown()).toContain("Nothing was changed");
  expect(existsSync(first.path)).toBe(false);

  const insisted = start(first.home, [...words, "--server-url", server.url], {
    FACTORY_TOKEN: "not-yet-a-token-here",
  });
  await insisted.answer("Use this token anyway?", `y${enter}`);
  await insisted.answer("Name of a testbed", enter);
  expect(await insisted.exited).toBe(0);
  rmSync(first.base, { recursive: true });

  const givenUp = start(first.home, [...words, "--server-url", nowhere], { FACTORY_TOKEN: token });
  await givenUp.answer("Go on without trying it? [Y/n]", `n${enter}`);
  expect(await givenUp.exited).toBe(1);
  expect(givenUp.shown()).toContain("Nothing was changed");
  expect(existsSync(first.path)).toBe(false);

  const wentOn = start(first.home, [...words, "--server-url", nowhere], { FACTORY_TOKEN: token });
  await wentOn.answer("Go on without trying it? [Y/n]", enter);
  await wentOn.answer("Name of a testbed", enter);
  expect(await wentOn.exited).toBe(0);
  expect(readWritten(first.path, first.home).general.baseurl).toBe(nowhere);
}, 20_000);

test("setup.sh finds the executable beside it or in dist, else the checkout, and passes all its arguments on", async () => {
  const { home } = newHome();
  const checkout = join(home, "check out");
  mkdirSync(join(checkout, "scripts"), { recursive: true });
  mkdirSync(join(checkout, "dist"));
  const script = join(checkout, "scripts/setup.sh");
  copyFileSync(join(root, "scripts/setup.sh"), script);
  const call = async (words: string[]): Promise<{ code: number; said: string }> => {
    const child = Bun.spawn([script, ...words], { env: environment(home), stderr: "pipe" });
    return { said: (await child.stdout.text()) + (await child.stderr.text()), code: await child.exited };
  };
  expect(await call([])).toMatchObject({ code: 2, said: expect.stringContaining("Put this script beside") });
  for (const part of ["factory.ts", "lib", "node_modules", "package.json"]) {
    symlinkSync(join(root, part), join(checkout, part));
  }
  const help = await call(["--help"]);
  expect(help).toMatchObject({ code: 0, said: expect.stringContaining("--token-file") });
  const place = (path: string, name: string): void => {
    writeFileSync(path, `#!/bin/sh\nprintf '%s|' ${name} "$@"\nexit 7\n`);
    chmodSync(path, 0o755);
  };
  place(join(checkout, "dist/buildomat-factory-sp-test"), "dist");
  expect(await call(["--base-dir", "a 'b'"])).toEqual({ code: 7, said: "dist|setup|--base-dir|a 'b'|" });
  place(join(checkout, "scripts/buildomat-factory-sp-test"), "beside");
  expect(await call([])).toEqual({ code: 7, said: "beside|setup|" });
}, 20_000);

test("findTestbeds() reads the files that it understands, and reports the others", async () => {
  const files: Record<string, string> = {
    "a.toml": `[testbed]\nname = "bed-a"\nsp_type = "SIDECAR"`,
    "b.toml": `name = "no name"\ntype = "psc"`,
    "c.toml": `type = "toaster"`,
    "d.toml": "",
    "e.toml": `name = "BED-A"\nsp_type = "psc"`,
    "notes.txt": "",
  };
  const { directory, testbeds, skipped } = await findTestbeds("/x/config.toml", {
    list: async () => Object.keys(files),
    readText: async (path) => files[path.slice("/x/testbeds/discovered/".length)] ?? null,
  });
  expect(directory).toBe("/x/testbeds/discovered");
  expect(testbeds).toEqual([
    { name: "bed-a", spType: "sidecar" },
    { name: "b", spType: "psc" },
  ]);
  expect(skipped).toEqual([
    `"c.toml": "toaster" is not one of gimlet, grapefruit, sidecar, psc`,
    `"d.toml": it has no sp_type`,
    `"e.toml": BED-A is a duplicate`,
  ]);
});

test("composeConfig() without a testbed shows an example that serves the given targets", () => {
  const text = composeConfig({
    baseurl: "https://b.example.com",
    token: { value: new Secret(token) },
    spRunner: null,
    spConfig: null,
    testbeds: [],
    targets: [
      { name: "sp-gimlet", id: gimlet },
      { name: "lab", id: grapefruit },
    ],
    updateUrl: "https://m.example.com/factory",
  });
  expect(text).toContain('[update]\nurl = "https://m.example.com/factory"\nmode = "notify"\n');
  expect(text).toContain(`# [testbed.NAME]\n# sp_type = "gimlet"\n# targets = [ "sp-gimlet", "lab" ]\n`);
});

test("composeConfig() writes a testbed that serves no target as a comment", () => {
  const text = composeConfig({
    baseurl: "https://b.example.com",
    token: { value: new Secret(token) },
    spRunner: null,
    spConfig: null,
    testbeds: [{ name: "bed.1", spType: "psc", targets: [] }],
    targets: [],
    updateUrl: null,
  });
  expect(text).not.toContain("[update]");
  expect(text).toContain(`# [testbed."bed.1"]\n# sp_type = "psc"\n# targets = []\n`);
});

test("writePrivate() does not replace what exists unless asked to, and leaves no draft", async () => {
  const { home } = newHome();
  const path = join(home, "new/config.toml");
  const files = openFiles();
  expect(await files.writePrivate(path, "one", { replace: false })).toBe(true);
  expect(await files.writePrivate(path, "two", { replace: false })).toBe(false);
  expect(readFileSync(path, "utf8")).toBe("one");
  expect(await files.writePrivate(path, "three", { replace: true })).toBe(true);
  expect(readFileSync(path, "utf8")).toBe("three");
  mkdirSync(join(home, "new/taken/inner"), { recursive: true });
  expect(files.writePrivate(join(home, "new/taken"), "four", { replace: true })).rejects.toThrow();
  symlinkSync("nowhere", join(home, "new/link"));
  expect(await files.writePrivate(join(home, "new/link"), "five", { replace: false })).toBe(false);
  expect(allIn(join(home, "new")).filter((name) => name.includes("."))).toEqual(["config.toml"]);
  expect(existsSync(join(home, "new/nowhere"))).toBe(false);
});

test("writePrivate() killed at any moment leaves the old or the new text, complete", async () => {
  const { home } = newHome();
  const path = join(home, "config.toml");
  const child = Bun.spawn(
    [
      process.execPath,
      "-e",
      `import { openFiles } from ${JSON.stringify(join(root, "lib/doors/files.ts"))};
       for (const digit of "01".repeat(10000)) {
         await openFiles().writePrivate(process.argv.at(-1), digit.repeat(3000000), { replace: true });
       }`,
      path,
    ],
    { env: environment(home), stdout: "ignore" },
  );
  const whole = /^(?:0{3000000}|1{3000000})$/;
  const seen = new Set<string>();
  let torn = 0;
  await until("both texts were seen", () => {
    if (!existsSync(path)) return false;
    // Long enough for several writes to go by.
    for (let look = 0; look < 10_000; look += 1) if (statSync(path).size !== 3_000_000) torn += 1;
    seen.add(readFileSync(path, "utf8").slice(0, 1));
    return torn > 0 || (seen.has("0") && seen.has("1"));
  });
  child.kill("SIGKILL");
  await child.exited;
  expect(torn).toBe(0);
  expect(readFileSync(path, "utf8")).toMatch(whole);
}, 20_000);
