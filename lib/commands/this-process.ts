/**
 * What a command is given of the process that it runs in: open doors, and the process's own facts. factory.ts makes the only one.
 * It must not know any command.
 */
import type { Surroundings } from "../config/locations.ts";
import type { ControlSocketOptions } from "../doors/control-socket.ts";
import type { DurableFiles } from "../doors/durable-files.ts";
import type { Http } from "../doors/http.ts";
import type { WebListenerOptions } from "../doors/web-listener.ts";
import type { Supervisor } from "../doors/supervisor.ts";
import type { Terminal } from "../doors/terminal.ts";
import type { Program } from "../hosts/wiring.ts";

type Signal = "SIGINT" | "SIGTERM" | "SIGHUP" | "SIGUSR1";

export interface ThisProcess extends Omit<Program, "surroundings"> {
  /** The user's name is asked for only when a command needs it. */
  around: Omit<Surroundings, "user">;
  http: Http;
  durableFiles: DurableFiles;
  temporaryDirectory: string;
  /** Null: nobody can be asked. */
  openTerminal(): Terminal | null;
  /** Throws an Error if there can be none. */
  openControlSocket(options: ControlSocketOptions): Promise<{ close(): Promise<void> }>;
  /** `warn` is called if the supervisor cannot be reached. */
  openSupervisor(warn: (message: string) => void): Supervisor;
  openWebListener(options: WebListenerOptions): { url: string; close(): void };
  /** One line to standard output. */
  print(line: string): void;
  output: {
    isTerminal: boolean;
    /** Of the terminal as it is now; null: it is none. */
    size(): { columns: number; rows: number } | null;
    write(bytes: Uint8Array): void;
  };
  errors: { isTerminal: boolean; write(text: string): void };
  setUmask(mask: number): void;
  on(signal: Signal, act: () => void): void;
  /** A second signal then does what it usually does. */
  once(signal: Signal, act: () => void): void;
  /** An error that nothing caught. */
  onFault(act: (error: unknown) => void): void;
  exit(code: number): never;
}

export async function lookAround(here: ThisProcess): Promise<Surroundings> {
  return { ...here.around, user: await userName(here) };
}

export async function programOf(here: ThisProcess): Promise<Program> {
  return { ...here, surroundings: await lookAround(here) };
}

/** Not every supervisor sets USER, and Bun knows no other way. */
async function userName({ around, processes, searchPath }: ThisProcess): Promise<string> {
  const named = around.env["USER"];
  if (named !== undefined && named !== "") return named;
  const asked = await processes.run({
    argv: ["id", "-un"],
    env: { PATH: searchPath },
    timeoutMs: 5_000,
    maxBytes: 256,
  });
  return asked.ok && asked.exitCode === 0 ? asked.stdout.trim() : "nobody";
}
