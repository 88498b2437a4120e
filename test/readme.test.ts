/** README's commands, typed as they stand there, in its order: a command that README shows and nobody runs is found here. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { verbs } from "../lib/commands/verbs.ts";
import { openLab } from "./lab/lab.ts";
import { until } from "./lab/until.ts";

setDefaultTimeout(60_000);

const root = join(import.meta.dir, "..");
const readme = readFileSync(join(root, "README.md"), "utf8");

/** Lines that begin with four spaces are typed; a backslash at the end joins the next one. */
const typed = readme
  .replaceAll(/```[\s\S]*?```/g, "")
  .replaceAll(/\\\n\s*/g, "")
  .split("\n")
  .filter((line) => /^ {4}\S/.test(line))
  .map((line) => line.trim().replace(/\s+#\s.*$/, ""));

/** Not typed here: who runs it instead. */
const elsewhere: Record<string, string> = {
  "npx -y bun@1.4.5 run demo": ".ci/run, by the executable; test/commands/demo.test.ts",
  "npx -y bun@1.4.5 run test": ".ci/run",
  "npx -y bun@1.4.5 run check": ".ci/run",
  "npx -y bun@1.4.5 run test:long": ".ci/run",
  "npx -y bun@1.4.5 run test:ksh": ".ci/run",
  "npx -y bun@1.4.5 run build": ".ci/run",
  "npx -y bun@1.4.5 run bench": "by hand: figures are no tests",
  "npx -y bun@1.4.5 run format": "by hand: it changes files",
  "sudo scripts/install.sh --from-checkout": "test/long/systemd.ts",
  "curl -fsSL https://releases.example.com/factory/install.sh | sudo sh -s -- --url https://releases.example.com/factory":
    "test/service/install.test.ts, and test/long/systemd.ts from a stick",
  "npx -y bun@1.4.5 run release keys new ~/factory-signing.pem": "test/update/release.test.ts",
  "npx -y bun@1.4.5 run release ~/releases --key ~/factory-signing.pem": "test/update/release.test.ts",
  "buildomat-factory-sp-test update": "test/long/update-systemd.ts",
  "buildomat-factory-sp-test update --now": "test/long/update-jobs.ts",
  "buildomat-factory-sp-test update --rollback": "test/long/update-jobs.ts",
  "buildomat-factory-sp-test setup": "test/commands/setup.test.ts, at a terminal",
  "buildomat-factory-sp-test cancel grapefruit-1 --token-file ~/my-token":
    "test/commands/steer/cancel.test.ts",
  "buildomat-factory-sp-test logs 01M8HEAQ7XMM": "test/commands/log-source.test.ts",
  "buildomat-factory-sp-test drain": "test/commands/steer/steer.test.ts",
  'buildomat-factory-sp-test clear gimlet-1 --because "its host burnt down"':
    "test/commands/steer/clear.test.ts",
  "lab ALL=(root) NOPASSWD: /bin/sh": "no command; test/hosts/minder/elevation.test.ts has such a rule",
};

test("README shows every verb, and no verb or flag that the program does not know", () => {
  // `run` is what the program does without a verb.
  const visible = Object.keys(verbs).filter((verb) => verbs[verb]?.isHidden !== true && verb !== "run");
  const isShown = (verb: string): boolean =>
    new RegExp(`(?:buildomat-factory-sp-test|bun@[0-9.]+ run) ${verb}\\b`).test(readme);
  expect(visible.filter((verb) => !isShown(verb))).toEqual([]);
  const lines = typed.map((line) => line.split(" ")).filter(([name]) => name === "buildomat-factory-sp-test");
  for (const [, ...words] of lines) {
    const [first = "-"] = words;
    const verb = verbs[first.startsWith("-") ? "run" : first];
    const flags = Object.entries(verb?.args ?? {}).flatMap(([name, arg]) => [
      `--${name}`,
      ...("alias" in arg ? [arg.alias].flat().map((letter) => `-${letter}`) : []),
    ]);
    const unknown = words.filter((word) => word.startsWith("-") && !flags.includes(word.replace(/=.*/, "")));
    expect({ words, isVerb: verb !== undefined, unknown }).toEqual({ words, isVerb: true, unknown: [] });
  }
});

test("README's commands do what it says, in its order", async () => {
  await using it = await openLab();
  const program = join(it.directory, "buildomat-factory-sp-test");
  writeFileSync(program, `#!/bin/sh\nexec '${process.execPath}' '${join(root, "factory.ts")}' "$@"\n`, {
    mode: 0o755,
  });
  // README's base is `~/Oxide/ci/factory`.
  const env = {
    HOME: it.directory,
    PATH: `${it.directory}:${process.env["PATH"]}`,
    FACTORY_LOCK_DIR: join(it.directory, "locks"),
  };
  // What sp-runner has at hand on a lab host.
  const found = join(it.directory, "Oxide/ci/testbeds/discovered");
  mkdirSync(found, { recursive: true });
  writeFileSync(join(it.directory, "Oxide/ci/config.toml"), "");
  writeFileSync(join(found, "grapefruit-1.toml"), 'sp_type = "grapefruit"\n');
  const asTyped = (line: string): string =>
    line
      .replace("FACTORY_TOKEN=...", `FACTORY_TOKEN=${it.factoryToken}`)
      .replace("https://buildomat.example.com", it.proxy.url)
      .replace("01M850P0K099E9F8GHWJ7VBZWM", it.targetId);
  const type = async (line: string): Promise<string> => {
    const child = Bun.spawn(["sh", "-c", asTyped(line)], { cwd: root, env, stdin: "ignore", stderr: "pipe" });
    const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text()]);
    expect({ line, exitCode: await child.exited, err }).toEqual({
      line,
      exitCode: 0,
      err: expect.any(String),
    });
    return out;
  };

  let daemon: Bun.Subprocess | null = null;
  for (const line of typed.filter((each) => elsewhere[each] === undefined)) {
    if (line === "buildomat-factory-sp-test" || line.startsWith("buildomat-factory-sp-test -f")) {
      daemon?.kill("SIGTERM");
      await daemon?.exited;
      const cwd = join(it.directory, "Oxide/ci/factory");
      const log = join(it.directory, "readme.log");
      daemon = Bun.spawn(["sh", "-c", `exec ${line}`], { cwd, env, stdin: "ignore", stderr: Bun.file(log) });
      await until("it is started", () => readFileSync(log, "utf8").includes("started on"));
      const id = await it.submit("echo from the readme");
      expect((await it.ended(id)).state).toBe("completed");
      continue;
    }
    expect(await type(line)).not.toBe("");
  }
  daemon?.kill("SIGTERM");
  expect(await daemon?.exited).toBe(0);
});
