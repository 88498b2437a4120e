/** launch.c, compiled and called: it starts a process and says how it ended. What the process is for, others know. */
import { cc } from "bun:ffi";
import { closeSync, openSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { constants as system } from "node:os";
import source from "./launch.c" with { type: "text" };

export interface LaunchOptions {
  argv: string[];
  /** Entered as `user`. An empty one is not there. */
  cwd: string;
  /** The whole environment: nothing is inherited. A program without a slash is searched for in its PATH. */
  env: Record<string, string>;
  /** Null: as this process. */
  user: TaskUser | null;
  /** An open file that the process has as its descriptor 3. */
  descriptor?: number;
}

/** Whom a process runs as, with no further groups. */
export interface TaskUser {
  uid: number;
  gid: number;
}

export interface Launched {
  pid: number;
  /** Reading ends, which do not block. */
  stdout: number;
  stderr: number;
}

export interface Launcher {
  /** Throws the operating system's error if it cannot be started. */
  launch(options: LaunchOptions): Launched;
  /** Null while it runs. */
  reap(pid: number): { code: number | null; signal: number | null } | null;
  /** Whether this host's C library has the locale. */
  hasLocale(name: string): boolean;
  close(): void;
}

const defaultPath = "/bin:/usr/bin";

/** The source is written to `directory` while it is compiled. */
export function openLauncher(directory: string): Launcher {
  const path = `${directory}/launch.c`;
  const library = `${directory}/libc.so`;
  writeFileSync(path, source, { mode: 0o600 });
  const loaded = findLibrary();
  if (loaded !== null) symlinkSync(loaded, library);
  const descriptor = openSync(directory, "r");
  try {
    const { symbols, close } = cc({
      source: path,
      // Not by its name, which may have spaces.
      flags: loaded === null ? "" : `-L/proc/self/fd/${descriptor}`,
      symbols: {
        launch: {
          args: ["ptr", "i32", "ptr", "i32", "ptr", "i32", "ptr", "ptr", "i32", "ptr"],
          returns: "i32",
        },
        reap: { args: ["i32", "ptr"], returns: "i32" },
        has_locale: { args: ["ptr"], returns: "i32" },
      },
    });
    return {
      launch: ({ argv, cwd, env, user, descriptor = -1 }) => {
        const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`);
        const candidates = findCandidates(argv[0] ?? "", env["PATH"] ?? defaultPath);
        const started = new Int32Array(3);
        const errno = symbols.launch(
          joinTexts(argv),
          argv.length,
          joinTexts(variables),
          variables.length,
          joinTexts(candidates),
          candidates.length,
          joinTexts([cwd]),
          // In memory: as an argument, a number over 2^31 arrives as another one (Bun 1.4.5).
          user === null ? null : new Uint32Array([user.uid, user.gid]),
          descriptor,
          started,
        );
        if (errno !== 0) throw osError(errno);
        const [pid = 0, stdout = 0, stderr = 0] = started;
        return { pid, stdout, stderr };
      },
      reap: (pid) => {
        // Stays if somebody else has collected its exit code: then nobody knows that it succeeded.
        const status = new Int32Array([255 << 8]);
        if (symbols.reap(pid, status) === 0) return null;
        const [value = 0] = status;
        const signal = value & 0x7f;
        return signal === 0 ? { code: (value >> 8) & 0xff, signal: null } : { code: null, signal };
      },
      hasLocale: (name) => symbols.has_locale(joinTexts([name])) !== 0,
      close,
    };
  } finally {
    closeSync(descriptor);
    for (const each of [path, library]) rmSync(each, { force: true });
  }
}

/** The C library of this process. The compiler looks for `libc.so`, a name that it has only on hosts with a developer's packages. */
function findLibrary(): string | null {
  if (process.platform !== "linux") return null;
  const names = /\/\S*\/(?:libc\.so\.6|libc-[\d.]+\.so|libc\.musl-\S+|ld-musl-\S+|libc\.so)$/m;
  return names.exec(readFileSync("/proc/self/maps", "utf8"))?.[0] ?? null;
}

function findCandidates(program: string, searchPath: string): string[] {
  if (program === "" || program.includes("/")) return [program];
  return searchPath.split(":").map((directory) => `${directory === "" ? "." : directory}/${program}`);
}

function joinTexts(texts: string[]): Buffer {
  if (texts.some((text) => text.includes("\0"))) throw new Error("nul byte found in provided data");
  return Buffer.from(`${texts.join("\0")}\0`);
}

function osError(errno: number): Error {
  const [code = String(errno)] = Object.entries(system.errno).find(([, number]) => number === errno) ?? [];
  return Object.assign(new Error(code), { code, errno });
}
