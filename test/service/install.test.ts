/** scripts/install.sh over a release that is a shell script, in each shell that a lab host may have as its sh. */
import { afterAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import {
  chmodSync,
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
import { gzipSync } from "node:zlib";
import { describeUnit } from "../../lib/service/unit.ts";
import { hostTarget } from "../../scripts/build.ts";
import { type NeedName, needOfShell, testWith } from "../lab/needs.ts";
import { openSession } from "../lab/pty.ts";

const product = "buildomat-factory-sp-test";
const target = hostTarget();
const root = mkdtempSync(join(tmpdir(), "install-"));
afterAll(() => rmSync(root, { recursive: true }));
const script = readFileSync(join(import.meta.dir, "../../scripts/install.sh"), "utf8");
const shells = ["dash", "bash", "busybox sh"];
const needs = (shell: string): ReturnType<typeof testWith> =>
  testWith(...needOfShell(shell.split(" ")[0] ?? ""));
const sha256 = (bytes: Uint8Array | string): string => createHash("sha256").update(bytes).digest("hex");

/** It notes how it was called, and is placed as the real one places itself. */
const program = `#!/bin/sh
[ -z "\${BUN_OPTIONS-}\${BUN_BE_BUN-}" ] || exit 9
case $1 in
--version) echo "${product} 1.2.0 (abc, ${target})" ;;
setup) shift; mkdir -p "$HOME/called" && printf '%s\\n' "$@" >"$HOME/called/setup" && mkdir -p "$3" && echo >"$3/config.toml" ;;
service)
  mkdir -p "$HOME/called" && printf '%s\\n' "$@" >"$HOME/called/service"
  prefix=$(sed -n '/--prefix/{n;p;}' "$HOME/called/service")
  mkdir -p "$prefix/versions/1.2.0" "$prefix/bin"
  [ "$0" -ef "$prefix/bin/${product}" ] || mv "$0" "$prefix/versions/1.2.0/${product}"
  ln -sf ../versions/1.2.0/${product} "$prefix/bin/${product}"
  echo handed over ;;
esac
`;

interface Scene {
  home: string;
  release: string;
  /** The script that was filled in for this release. */
  script: string;
  run(
    words: string[],
    options?: { shell?: string; env?: Record<string, string>; path?: string },
  ): { code: number; said: string };
  called(name: "setup" | "service"): string[] | null;
  /** Names of all files that are not of the release. */
  files(): string[];
}

function openScene(content = program): Scene {
  const directory = mkdtempSync(join(root, "s-"));
  const [home, release] = [join(directory, "a home"), join(directory, "release")];
  mkdirSync(home);
  mkdirSync(join(release, "1.2.0"), { recursive: true });
  const packed = gzipSync(content);
  const path = `1.2.0/${product}-1.2.0-${target}.gz`;
  writeFileSync(join(release, path), packed);
  const rows = `${target} ${path} ${packed.length} ${sha256(packed)} ${sha256(content)}`;
  const filled = join(release, "install.sh");
  writeFileSync(
    filled,
    script.replace(
      /^# @artifacts@$/m,
      () => `version='1.2.0'\nartifacts='other x 1 2 3\n${target}-more x 1 2 3\n${rows}'`,
    ),
  );
  return {
    home,
    release,
    script: filled,
    run: (words, { shell = "sh", env = {}, path: search = "/usr/bin:/bin" } = {}) => {
      const [name = "", ...more] = shell.split(" ");
      const shellPath = Bun.which(name, { PATH: "/usr/bin:/bin" }) ?? name;
      const url = words.includes("--server-url") ? [] : ["--server-url", "https://b.example"];
      const argv = [shellPath, ...more, filled, "--user", ...url, ...words];
      const run = Bun.spawnSync(argv, {
        env: { PATH: search, HOME: home, FACTORY_TOKEN: "t", ...env },
        cwd: directory,
        stdin: "ignore",
      });
      return { code: run.exitCode, said: `${run.stdout.toString()}${run.stderr.toString()}` };
    },
    called: (name) =>
      existsSync(join(home, "called", name))
        ? readFileSync(join(home, "called", name), "utf8")
            .trim()
            .split("\n")
        : null,
    files: () =>
      [...new Bun.Glob("**").scanSync({ cwd: home, dot: true })].filter(
        (name) => !name.startsWith("called/"),
      ),
  };
}

describe.each(shells)("install.sh under %s", (shell) => {
  const test = needs(shell);

  test("installs from a directory, sets up with what it was given, and hands over, in a home with spaces", () => {
    const it = openScene();
    const given = [
      "--server-url",
      "https://b.example",
      "--token-file=/t",
      "--target",
      "a=1",
      "--target",
      "b=2",
    ];
    const ran = it.run(["--offline", it.release, ...given, "--base-dir", `${it.home}/the base`], { shell });
    expect(ran.said).toContain("handed over");
    expect(ran.code).toBe(0);
    expect(ran.said.split("\n").length).toBeLessThanOrEqual(10);
    expect(it.called("setup")).toEqual([
      "--installing",
      "--base-dir",
      `${it.home}/the base`,
      "--server-url",
      "https://b.example",
      "--token-file",
      "/t",
      "--target",
      "a=1",
      "--target",
      "b=2",
    ]);
    const prefix = `${it.home}/.local/opt/${product}`;
    const places = ["--prefix", prefix, "--base-dir", `${it.home}/the base`, "--user"];
    const unit = existsSync("/run/systemd/system") ? [] : ["--files-only"];
    expect(it.called("service")).toEqual(["service", "install", "--release", ...places, ...unit]);
    expect(readdirSync(prefix).toSorted()).toEqual(["bin", "versions"]);
  });

  test("what would turn the executable into a plain Bun is not passed on", () => {
    const it = openScene();
    const env = { BUN_BE_BUN: "1", BUN_OPTIONS: "--preload=/nowhere" };
    expect(it.run(["--offline", it.release], { shell, env })).toMatchObject({ code: 0 });
  });

  test("a second run fetches nothing and asks nothing, though the release is gone", () => {
    const it = openScene();
    it.run(["--offline", it.release], { shell });
    rmSync(join(it.release, "1.2.0"), { recursive: true });
    rmSync(join(it.home, "called"), { recursive: true });
    expect(it.run(["--offline", it.release], { shell })).toMatchObject({ code: 0 });
    expect(it.called("setup")).toBeNull();
    expect(it.called("service")).toContain("--release");
  });

  test("a second run replaces an installed executable that is damaged", () => {
    const it = openScene();
    it.run(["--offline", it.release], { shell });
    const bin = `${it.home}/.local/opt/${product}/bin/${product}`;
    writeFileSync(bin, `${program}# damaged`);
    expect(it.run(["--offline", it.release], { shell })).toMatchObject({ code: 0 });
    expect(readFileSync(bin, "utf8")).toBe(program);
  });

  test.each([
    ["cut short", (bytes: Buffer) => bytes.subarray(0, bytes.length - 5)],
    ["replaced", (bytes: Buffer) => gzipSync(`${bytes.length}`)],
    ["empty", () => Buffer.alloc(0)],
  ])("F103 a file that was %s is refused, and nothing is left of it", (_, damage) => {
    const it = openScene();
    const path = join(it.release, "1.2.0", readdirSync(join(it.release, "1.2.0"))[0] ?? "");
    writeFileSync(path, damage(readFileSync(path)));
    expect(it.run(["--offline", it.release], { shell })).toMatchObject({
      code: 1,
      said: expect.stringContaining("is not what was released") as string,
    });
    expect(it.files()).toEqual([]);
    expect(it.called("setup")).toBeNull();
  });

  test("an archive that holds another executable than the released one is refused", () => {
    const it = openScene();
    const text = readFileSync(it.script, "utf8");
    writeFileSync(it.script, text.replace(sha256(program), sha256("another")));
    expect(it.run(["--offline", it.release], { shell })).toMatchObject({ code: 1 });
    expect([it.called("setup"), it.called("service"), it.files()]).toEqual([null, null, []]);
  });

  test("a disk with less than 250 MB free is refused before anything is fetched", () => {
    const it = openScene();
    const df = (free: number): string =>
      `#!/bin/sh\necho 'Filesystem 1024-blocks Used Available Capacity Mounted'\necho '/dev/x y 9 9 ${free}  9% /'\n`;
    const run = (free: number): number => {
      writeFileSync(join(it.release, "df"), df(free), { mode: 0o755 });
      return it.run(["--offline", it.release], { shell, path: `${it.release}:/usr/bin:/bin` }).code;
    };
    expect([run(249_999), it.files(), run(250_000)]).toEqual([1, [], 0]);
  });

  test("nothing is handed over if setup fails, and what is made is writable only by its user", () => {
    const it = openScene(program.replace("setup) shift;", "setup) exit 3;"));
    expect(it.run(["--offline", it.release], { shell }).code).toBe(3);
    expect(it.called("service")).toBeNull();
    const other = openScene();
    expect(other.run(["--offline", other.release], { shell }).code).toBe(0);
    const loose = [...new Bun.Glob("**").scanSync({ cwd: other.home, dot: true, onlyFiles: false })].filter(
      (name) => (statSync(join(other.home, name)).mode & 0o022) !== 0,
    );
    expect(loose).toEqual([]);
  });

  test("an executable that is another product, another version or for another target is refused", () => {
    for (const said of ["1.4.5", `${product} 1.2.01 (abc, ${target})`, `${product} 1.2.0 (abc, other)`]) {
      const it = openScene(`#!/bin/sh\necho '${said}'\n`);
      expect(it.run(["--offline", it.release], { shell })).toMatchObject({
        code: 1,
        said: expect.stringContaining("what was fetched is not") as string,
      });
      expect(it.files()).toEqual([]);
    }
  });

  test("a dry run says what would be done, and changes nothing", () => {
    const it = openScene();
    const { code, said } = it.run(["--offline", it.release, "--dry-run"], { shell });
    expect(code).toBe(0);
    expect(said).toContain(`Would install ${it.release}/1.2.0/`);
    expect(it.files()).toEqual([]);
  });

  test.each([
    ["an installation", []],
    ["a dry run", ["--dry-run"]],
  ])(
    "%s without a terminal and a token ends before it gets anything, and names what is missing",
    (_, words) => {
      const it = openScene();
      const env = { FACTORY_TOKEN: "" };
      expect(it.run(["--offline", it.release, ...words], { shell, env })).toMatchObject({
        code: 1,
        said: expect.stringContaining("Missing: --token-file FILE") as string,
      });
      expect(it.files()).toEqual([]);
      expect(it.called("setup")).toBeNull();
      const given = it.run(["--offline", it.release, "--token-file", "/t", ...words], { shell, env });
      expect(given).toMatchObject({ code: 0 });
    },
  );

  test.each([
    [["--nonsense", "x"], "unknown flag --nonsense"],
    [["word"], 'unknown word "word"'],
    [["--prefix"], "--prefix needs a value"],
    [["--version", "1.3.0"], "this install.sh is of version 1.2.0"],
    [["--uninstall"], "nothing is installed in"],
    [["--from-checkout"], "is not a checkout"],
    [["--url", "https://lab:secret@m.example/f@1"], "Let the server serve the release without a password"],
    [["--prefix", "/proc/nowhere"], "cannot write to /proc/nowhere"],
  ])("%p is refused with a sentence", (words, message) => {
    const it = openScene();
    expect(it.run(words, { shell })).toMatchObject({
      code: 1,
      said: expect.stringContaining(message) as string,
    });
    expect(it.files()).toEqual([]);
  });

  test("uninstall hands over, too", () => {
    const it = openScene();
    it.run(["--offline", it.release], { shell });
    expect(it.run(["--uninstall", "--purge", "--yes"], { shell }).code).toBe(0);
    expect(it.called("service")?.slice(0, 4)).toEqual(["service", "uninstall", "--purge", "--yes"]);
    // The installation knows which base directory is its own.
    expect(it.called("service")).not.toContain("--base-dir");
    it.run(["--offline", it.release], { shell });
    it.run(["--uninstall", "--base-dir", "/b"], { shell });
    expect(it.called("service")?.join(" ")).toContain("--base-dir /b");
    expect(it.called("service")).not.toContain("--purge");
  });

  test("done again without --base-dir, it is the one that the installation serves", () => {
    const it = openScene();
    const bootScript = `${it.home}/.local/opt/${product}/libexec/boot`;
    const units = join(it.home, ".config/systemd/user");
    mkdirSync(units, { recursive: true });
    const { text } = describeUnit({
      kind: "user",
      bootScript,
      baseDirectory: "/data/a b",
      elevates: false,
      systemdVersion: 252,
    });
    writeFileSync(join(units, `${product}.service`), text);
    expect(it.run(["--offline", it.release, "--dry-run"], { shell }).said).toContain("/data/a b/config.toml");
  });

  test("what a killed run left is removed, and what another run is at work on stays", () => {
    const it = openScene();
    const staging = join(it.home, ".local/opt", product, "staging");
    const left = Bun.spawnSync(["true"]).pid;
    for (const pid of [left, process.pid]) {
      mkdirSync(join(staging, `install.${pid}`), { recursive: true });
      writeFileSync(join(staging, `install.${pid}`, "packed"), "");
    }
    expect(it.run(["--offline", it.release], { shell })).toMatchObject({ code: 0 });
    expect(readdirSync(staging)).toEqual([`install.${process.pid}`]);
  });
});

test("a checkout that this user may not write is named with what to do, and nothing is built", () => {
  const scene = mkdtempSync(join(root, "checkout-"));
  for (const name of ["scripts", "home"]) mkdirSync(join(scene, name));
  for (const path of [root, scene]) chmodSync(path, 0o755);
  chmodSync(join(scene, "home"), 0o777);
  writeFileSync(join(scene, "factory.ts"), "");
  writeFileSync(join(scene, "package.json"), "{}");
  const installer = join(scene, "scripts/install.sh");
  writeFileSync(installer, script);
  const isRoot = process.getuid?.() === 0;
  const as = isRoot ? ["setpriv", "--reuid=65534", "--clear-groups"] : [];
  chmodSync(scene, 0o555);
  const words = ["--user", "--from-checkout", "--server-url", "https://b.example"];
  const ran = Bun.spawnSync([...as, "sh", installer, ...words], {
    env: { PATH: process.env["PATH"] ?? "", HOME: join(scene, "home"), FACTORY_TOKEN: "t" },
    stdin: "ignore",
  });
  chmodSync(scene, 0o755);
  expect(ran.stderr.toString()).toBe(
    `install.sh: this user cannot write to ${scene}, where it is built\n  Run it as the owner of the checkout, or from a checkout of your own\n`,
  );
  expect(ran.exitCode).toBe(1);
});

describe("install.sh on a host that the release is not for", () => {
  test.each([
    ["SunOS", "i86pc", "there is no executable for SunOS"],
    ["Linux", "riscv64", "there is no executable for this CPU, riscv64"],
    ["Darwin", "arm64", "release 1.2.0 has nothing for darwin-arm64"],
  ])("%s on %s is refused with a sentence", (system, cpu, message) => {
    const it = openScene();
    const bin = mkdtempSync(join(root, "bin-"));
    writeFileSync(
      join(bin, "uname"),
      `#!/bin/sh\ncase $1 in -s) echo ${system} ;; -m) echo ${cpu} ;; esac\n`,
      {
        mode: 0o755,
      },
    );
    const ran = it.run(["--offline", it.release], { path: `${bin}:/usr/bin:/bin` });
    expect(ran.said).toContain(message);
    expect(ran.code).toBe(1);
    expect(it.files()).toEqual([]);
  });
});

test("install.sh from a pipe asks at the terminal", async () => {
  const it = openScene(
    program.replace("setup) shift;", "setup) shift; printf 'Server: '; read -r answer; echo \"[$answer]\";"),
  );
  const session = openSession(
    ["/bin/sh", "-c", `cat '${it.script}' | sh -s -- --user --offline '${it.release}'`],
    {
      cwd: it.home,
      env: { PATH: "/usr/bin:/bin", HOME: it.home },
    },
  );
  await session.answer("Server: ", "b.example\n");
  expect(await session.exited).toBe(0);
  expect(session.shown()).toContain("[b.example]");
});

describe("a release on a server", () => {
  /** A PATH with what install.sh needs, and one program to fetch with; `-gzip` leaves gzip out. */
  function pathWith(...names: string[]): string {
    const bin = mkdtempSync(join(root, "bin-"));
    const usual =
      "id uname sed grep tr cat df mkdir rmdir rm gzip chmod readlink wc dirname getconf ln mv sh cp";
    for (const name of [...usual.split(" "), ...names].filter((each) => !names.includes(`-${each}`))) {
      const found = Bun.which(name, { PATH: "/usr/bin:/bin" });
      if (found !== null) symlinkSync(found, join(bin, name));
    }
    return bin;
  }

  async function serve(
    it: Scene,
    respond = (path: string): Response => new Response(Bun.file(join(it.release, path))),
  ): Promise<{ url: string; stop(): Promise<void> }> {
    const server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: (request) => respond(new URL(request.url).pathname),
    });
    return { url: `http://127.0.0.1:${server.port}`, stop: () => server.stop(true) };
  }

  /** Without blocking the server. */
  async function run(it: Scene, words: string[], path: string): Promise<{ code: number; said: string }> {
    const given = ["--user", "--server-url", "https://b.example"];
    const child = Bun.spawn(["/bin/sh", it.script, ...given, ...words], {
      env: { PATH: path, HOME: it.home, FACTORY_TOKEN: "t" },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    return { code, said: out + err };
  }

  for (const [fetcher, hasher] of [
    ["curl", "sha256sum"],
    ["curl", "openssl"],
    ["wget", "sha256sum"],
  ] as const) {
    const needed: NeedName[] = hasher === "openssl" ? [fetcher, hasher] : [fetcher];
    testWith(...needed)(`is fetched and verified with ${fetcher} and ${hasher} alone`, async () => {
      const it = openScene();
      const server = await serve(it);
      const path = pathWith(fetcher, hasher);
      expect(await run(it, ["--url", `${server.url}/`], path)).toMatchObject({ code: 0 });
      // The factory looks for new versions where it came from.
      expect(it.called("setup")?.slice(-2)).toEqual(["--update-url", server.url]);
      expect(it.called("service")).toContain("install");
      await server.stop();
    });
  }

  test.each([
    [["sha256sum"], "neither curl nor wget is there"],
    [["curl"], "neither sha256sum, shasum nor openssl is there"],
    [["curl", "sha256sum", "-gzip"], "gzip is not there"],
  ])("with %p alone nothing is installed", async (names, message) => {
    const it = openScene();
    const server = await serve(it);
    const { code, said } = await run(it, ["--url", server.url], pathWith(...names));
    expect({ code, said }).toEqual({ code: 1, said: expect.stringContaining(message) as string });
    expect(it.files()).toEqual([]);
    await server.stop();
  });

  testWith("curl", "wget").each([
    ["is not there", () => new Response("no", { status: 404 })],
    ["is another page", () => new Response("<html>Log in</html>")],
    [
      "never ends",
      () => new Response(new ReadableStream({ pull: (stream) => stream.enqueue(new Uint8Array(65_536)) })),
    ],
  ])("that %s is not installed", async (_, respond) => {
    const it = openScene();
    const server = await serve(it, respond);
    for (const tool of ["curl", "wget"]) {
      const { code, said } = await run(it, ["--url", server.url], pathWith(tool, "sha256sum"));
      expect(code).toBe(1);
      if (respond().status === 404) expect(said).toContain("404");
      expect(it.files()).toEqual([]);
    }
    await server.stop();
  });
});
