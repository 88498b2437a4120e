/** The verb `devserver`: the embedded server on a port of this host, until a signal ends it. */
import { startDevserver } from "../devserver/server.ts";
import { errorText, FactoryError } from "../words/failure.ts";
import { usageError } from "./command-line.ts";
import type { ThisProcess } from "./this-process.ts";

export async function runDevserver(here: ThisProcess, { port }: { port?: string }): Promise<number> {
  const { clock, random, print } = here;
  if (port !== undefined && !/^\d{1,4}$|^[1-5]\d{4}$|^6[0-4]\d{3}$/.test(port)) {
    throw usageError(`--port takes a number up to 64999, not "${port}"`);
  }
  const adminToken = Buffer.from(random.bytes(16)).toString("hex");
  const server = listenAt(Number(port ?? 0), (at) => startDevserver({ clock, random, port: at, adminToken }));
  print(`buildomat server for development, keeps nothing on disk: ${server.url}`);
  print(`admin token: ${adminToken}`);
  await new Promise<void>((end) => {
    here.on("SIGTERM", end);
    here.on("SIGINT", end);
  });
  await server.stop();
  return 0;
}

function listenAt<T>(port: number, start: (port: number) => T): T {
  try {
    return start(port);
  } catch (error) {
    throw new FactoryError(`Cannot listen on port ${port}: ${errorText(error)}`, {
      hint: "Give --port another number, or leave it out for a free port",
    });
  }
}
