/**
 * The agent's own files under its base directory (lib/agent/README.md "Modes and paths"). It knows what they hold, not
 * what a job is.
 */
import {
  closeSync,
  existsSync,
  fchmodSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { z } from "zod";
import { shieldedBmat } from "../hosts/agent-program.ts";
import { errorText } from "../words/failure.ts";
import { Secret } from "../words/secret.ts";
import { errorCode } from "./os-error.ts";

export interface Identity {
  baseurl: string;
  bootstrap: Secret;
  token: Secret;
}

/** The agent cannot start, or not go on: it ends with exit code 1. */
export class AgentError extends Error {
  override name = "AgentError";
}

export interface AgentBase {
  directory: string;
  /** For sockets, scripts and pipes; one that runs uses it alone. */
  runDirectory: string;
  readIdentity(): Identity;
  /** Text of `job.json`: a job was taken here and its end is not known. Whatever it did, it is not done twice. */
  readOpenJob(): string | null;
  /** Writes `job.json` for good before the job does anything. */
  recordJob(ping: unknown): void;
  recordJobDone(): void;
  /** How the job ended, for the factory's log: `why` is null of a job that completed. */
  recordVerdict(why: string | null): void;
  forgetDoneJob(): void;
  /** What the factory must know of the board when this program is gone: on the disk before it is done. */
  recordRunner(state: object): void;
  /** Text of what was last recorded so. */
  readRunnerRecord(): string | null;
  /** The factory's testbed.json in the agent's home; null if there is none. Throws AgentError if it cannot be read. */
  readTestbed(): string | null;
  /** Makes `bin/bmat`, if there is none yet. */
  provideBmat(command: string[]): void;
}

const identitySchema = z.object({
  baseurl: z.url({ protocol: /^https?$/ }),
  bootstrap: z.string().min(1),
  token: z.string().min(1),
});

/** `home` is the agent's HOME. */
export function openBase({ directory, home }: { directory: string; home: string }): AgentBase {
  const identityPath = `${directory}/etc/agent.json`;
  const jobPath = `${directory}/etc/job.json`;
  const recordPath = `${directory}/etc/sp-runner.json`;
  const donePath = `${directory}/etc/job-done.json`;
  const verdictPath = `${directory}/etc/job-verdict`;
  const runDirectory = `${directory}/run`;
  return {
    directory,
    runDirectory,
    readIdentity: () =>
      attempt("read", identityPath, () => {
        const identity = identitySchema.safeParse(JSON.parse(readFileSync(identityPath, "utf8")));
        if (!identity.success) {
          const issue = identity.error.issues[0];
          throw new Error(`${issue?.path.join(".")}: ${issue?.message}`);
        }
        const { baseurl, bootstrap, token } = identity.data;
        return {
          baseurl: baseurl.replace(/\/+$/, ""),
          bootstrap: new Secret(bootstrap),
          token: new Secret(token),
        };
      }),
    readOpenJob: () => readText(jobPath),
    recordJob: (ping) =>
      attempt("create", jobPath, () => {
        writeSynced(openSync(jobPath, "wx"), JSON.stringify(ping, null, 2));
        syncDirectory(`${directory}/etc`);
      }),
    recordJobDone: () => {
      try {
        renameSync(jobPath, donePath);
      } catch (error) {
        // A job may have removed the file; that it is done must be seen all the same.
        if (errorCode(error) !== "ENOENT") cannot("rename", jobPath, error);
        attempt("write", donePath, () => writeFileSync(donePath, "{}\n", { mode: 0o600 }));
      }
    },
    recordVerdict: (why) => {
      const words = why === null ? "completed" : `failed\n${why.slice(0, 200).replaceAll(/\p{Cc}+/gu, " ")}`;
      attempt("write", verdictPath, () => writeFileSync(verdictPath, `${words}\n`, { mode: 0o644 }));
    },
    forgetDoneJob: () => rmSync(donePath, { force: true }),
    recordRunner: (state) =>
      attempt("write", recordPath, () => {
        const file = openSync(`${recordPath}.new`, "w");
        // The factory's user must be able to read it, even if this agent is root, whatever its umask. It holds no secret.
        fchmodSync(file, 0o644);
        writeSynced(file, JSON.stringify(state));
        renameSync(`${recordPath}.new`, recordPath);
        syncDirectory(`${directory}/etc`);
      }),
    readRunnerRecord: () => readText(recordPath),
    readTestbed: () => readText(`${home}/testbed.json`),
    provideBmat: (command) => {
      const path = `${directory}/bin/bmat`;
      attempt("make", path, () => {
        mkdirSync(runDirectory, { recursive: true });
        mkdirSync(`${directory}/bin`, { recursive: true });
        if (existsSync(path)) return;
        const words = shieldedBmat(command, directory).map(quote).join(" ");
        writeFileSync(path, `#!/bin/sh\nexec ${words} "$@"\n`, { mode: 0o755 });
      });
    },
  };
}

/** Null if there is no such file. */
function readText(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    return errorCode(error) === "ENOENT" ? null : cannot("read", path, error);
  }
}

/** One line, on the disk. Closes the file. */
function writeSynced(file: number, line: string): void {
  writeSync(file, `${line}\n`);
  fsyncSync(file);
  closeSync(file);
}

/** A name in it is on the disk only after this. */
function syncDirectory(path: string): void {
  const directory = openSync(path, "r");
  fsyncSync(directory);
  closeSync(directory);
}

function attempt<T>(verb: string, path: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    return cannot(verb, path, error);
  }
}

function cannot(verb: string, path: string, error: unknown): never {
  throw new AgentError(`Cannot ${verb} ${path}: ${errorText(error)}`, { cause: error });
}

/** For a POSIX shell. */
function quote(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}
