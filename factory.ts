#!/usr/bin/env bun
/**
 * Opens the doors of this process and hands them to the command that is asked for (lib/commands/verbs.ts).
 * Exit codes: 0, 1 failed, 2 usage, configuration or a place that cannot be written, 75 already running.
 */
import { existsSync, readFileSync, writeSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { runCommandLine } from "./lib/commands/command-line.ts";
import type { ThisProcess } from "./lib/commands/this-process.ts";
import { verbs } from "./lib/commands/verbs.ts";
import { openClock } from "./lib/doors/clock.ts";
import { openControlSocket } from "./lib/doors/control-socket.ts";
import { openDurableFiles } from "./lib/doors/durable-files.ts";
import { openFiles } from "./lib/doors/files.ts";
import { openHttp } from "./lib/doors/http.ts";
import { openProcesses } from "./lib/doors/processes.ts";
import { openRandom } from "./lib/doors/random.ts";
import { openWebListener } from "./lib/doors/web-listener.ts";
import { openSupervisor } from "./lib/doors/supervisor.ts";
import { openTerminal } from "./lib/doors/terminal.ts";
import { FactoryError } from "./lib/words/failure.ts";
import { harmless, harmlessBesideColours } from "./lib/words/log-line.ts";
import { versionLine } from "./lib/words/version.ts";

/** How this program is started again: the executable alone, or Bun with this file. Read at start: Bun remembers it. */
const isCompiled = import.meta.path.startsWith("/$bunfs/");
// Where it is started, e.g. by a job, a stray .env or bunfig.toml must not count.
const ofBun = ["--no-env-file", "--config=/dev/null"];

function openThisProcess(): ThisProcess {
  const clock = openClock();
  return {
    self: isCompiled ? [process.execPath] : [process.execPath, ...ofBun, import.meta.path],
    isCompiled,
    executable: process.execPath,
    exists: existsSync,
    uid: process.getuid?.() ?? 0,
    searchPath: process.env["PATH"] ?? "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
    temporaryDirectory: tmpdir(),
    around: {
      env: process.env,
      // A job may start bmat as a user who has none.
      get home() {
        return homedir();
      },
      platform: process.platform,
      workingDirectory: process.cwd(),
      readText: (path) => readFileSync(path, "utf8"),
    },
    clock,
    random: openRandom(),
    processes: openProcesses({ clock }),
    files: openFiles(),
    durableFiles: openDurableFiles(),
    http: openHttp({ clock }),
    openTerminal,
    openControlSocket,
    openSupervisor: (warn) => openSupervisor({ env: process.env, clock, warn }),
    openWebListener,
    print,
    output: {
      isTerminal: process.stdout.isTTY,
      size: () => {
        if (!process.stdout.isTTY) return null;
        const [columns, rows] = process.stdout.getWindowSize();
        return { columns, rows };
      },
      write: (bytes) => writeSync(process.stdout.fd, bytes),
    },
    errors: { isTerminal: process.stderr.isTTY, write: (text) => process.stderr.write(text) },
    setUmask: (mask) => process.umask(mask),
    on: (signal, act) => process.on(signal, act),
    once: (signal, act) => process.once(signal, act),
    onFault: (act) => {
      process.on("uncaughtException", act);
      process.on("unhandledRejection", act);
    },
    exit: (code) => process.exit(code),
  };
}

function print(line: string): void {
  // citty colours its usage also where nobody sees colours, and knows only NO_COLOR=1.
  const { isTTY } = process.stdout;
  const isColoured = isTTY && (process.env["NO_COLOR"] ?? "") === "";
  const text = isColoured ? line : Bun.stripANSI(line);
  // A job, a service or an operator may have written some of it.
  process.stdout.write(`${isTTY ? harmlessBesideColours(text) : text}\n`);
}

if (import.meta.main) {
  // What reads it has seen enough, for example head; the exit code is a shell's for SIGPIPE.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
    process.exit(141);
  });
  try {
    const exitCode = await runCommandLine(process.argv.slice(2), {
      name: "buildomat-factory-sp-test",
      description: "Runs a buildomat server's hardware-test jobs on the testbeds of this lab",
      commands: verbs,
      usual: "run",
      version: versionLine(),
      print,
      here: openThisProcess(),
    });
    // What reads a pipe may be slower than this program: the end of its output would be lost.
    await new Promise<void>((resolve) => process.stdout.end(resolve));
    process.exit(exitCode);
  } catch (error) {
    if (!(error instanceof FactoryError)) throw error;
    const hint = error.hint === undefined ? "" : `  ${error.hint}\n`;
    process.stderr.write(harmless(`${error.message}\n${hint}`));
    process.exit(error.exitCode);
  }
}
