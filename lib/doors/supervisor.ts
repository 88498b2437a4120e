/**
 * The door to the supervisor that started this program: systemd's notification socket (sd_notify(3)), a datagram socket, which
 * the runtime has no other way to. Without such a supervisor nothing happens.
 */
import { ptr } from "bun:ffi";
import { openCLibrary } from "./c-library.ts";
import type { Clock } from "./clock.ts";

export interface Supervisor {
  /** The program is ready and its loop turns. Cheap: most calls do nothing. */
  alive(): void;
  /** The program is about to end as it was asked to. */
  stopping(): void;
}

export interface SupervisorOptions {
  env: Record<string, string | undefined>;
  clock: Clock;
  /** For what cannot be said: the supervisor will then end this program. */
  warn(message: string): void;
}

/** systemd wants to hear of a program twice in the shortest WatchdogSec that makes sense. */
const aliveEveryMs = 500;

export function openSupervisor({ env, clock, warn }: SupervisorOptions): Supervisor {
  const name = env["NOTIFY_SOCKET"];
  if (name === undefined || name === "" || process.platform !== "linux") {
    return { alive: () => undefined, stopping: () => undefined };
  }
  let send: ((state: string) => boolean) | null = null;
  try {
    send = openSender(name);
  } catch (error) {
    warn(`cannot talk to the supervisor at ${name}: ${String(error)}`);
  }
  let saidMs: number | null = null;
  return {
    alive: () => {
      const nowMs = clock.uptimeMs();
      if (send === null || (saidMs !== null && nowMs - saidMs < aliveEveryMs)) return;
      // A full socket drops a message. That the program is ready is said each time, so that it is never lost.
      if (send("READY=1\nWATCHDOG=1")) saidMs = nowMs;
    },
    stopping: () => void send?.("STOPPING=1"),
  };
}

const unixFamily = 1;
const datagramCloseOnExec = 2 | 0o2000000;
/** MSG_DONTWAIT | MSG_NOSIGNAL: neither a full nor a closed socket holds up the program or ends it. */
const neverWait = 0x40 | 0x4000;
const longestPath = 107;

/** Throws if there is no C library or no socket. False: the message was not taken. */
function openSender(name: string): (state: string) => boolean {
  const bytes = Buffer.from(name);
  if (bytes.byteLength > longestPath) throw new Error("its path is too long");
  // A name that begins with @ is not a file.
  if (bytes[0] === 0x40) bytes[0] = 0;
  const family = Buffer.from(new Uint16Array([unixFamily]).buffer);
  const address = Buffer.concat([family, bytes, Buffer.alloc(bytes[0] === 0 ? 0 : 1)]);
  const { socket, sendto } = openCLibrary({
    socket: { args: ["i32", "i32", "i32"], returns: "i32" },
    sendto: { args: ["i32", "ptr", "u64", "i32", "ptr", "u32"], returns: "i64" },
  });
  const descriptor = socket(unixFamily, datagramCloseOnExec, 0);
  if (descriptor < 0) throw new Error("no socket can be opened");
  return (state) => {
    const message = Buffer.from(state);
    const sent = sendto(
      descriptor,
      ptr(message),
      message.byteLength,
      neverWait,
      ptr(address),
      address.byteLength,
    );
    return Number(sent) === message.byteLength;
  };
}
