/** The control socket of the factory that runs in this process. The factory does its work without one, too. */
import { statSync } from "node:fs";
import { dirname } from "node:path";
import { answerControl, type Controlled } from "../control/routes.ts";
import { controlDirectoryOf, controlSocketOf } from "../control/socket-path.ts";
import { errorText } from "../words/failure.ts";
import type { Log } from "../words/logger.ts";
import { groupIdOf, userNameOf } from "./accounts.ts";
import type { ThisProcess } from "./this-process.ts";

interface ControlOptions {
  database: string;
  /** A group's name. */
  operators: string | null;
  log: Log;
  controlled: Pick<Controlled, "snapshot" | "history" | "log" | "act">;
}

/** What is wrong is one warning. */
export async function openOwnControl(
  here: ThisProcess,
  { database, operators, log, controlled }: ControlOptions,
): Promise<{ close(): Promise<void> }> {
  const { clock, uid } = here;
  try {
    const gid = operators === null ? null : await groupIdOf(here, operators);
    if (operators !== null && gid === null) {
      log.warn(
        `nobody but this factory's user can steer it: this host has no group "${operators}" (general.operators)`,
      );
    }
    const steerersText =
      operators === null
        ? "general.operators can name a group whose members may"
        : `members of the group ${operators} may (general.operators)`;
    const own = { ...controlled, steerers: { uid, gid }, steerersText };
    const userName = async (of: number): Promise<string> => await userNameOf(here, of);
    const socket = await here.openControlSocket({
      path: controlSocketOf(database),
      gid,
      clock,
      answer: async (request) => await answerControl({ ...own, userName }, request),
      onFault: (error) => log.error(`a request on the control socket failed: ${Bun.inspect(error)}`),
    });
    const barred = gid === null ? null : findBarred(controlDirectoryOf(database), gid);
    if (barred !== null) {
      log.warn(
        `the group ${operators} cannot reach the control socket: ${barred} does not let it pass (chmod g+x)`,
      );
    }
    return socket;
  } catch (error) {
    const without = "status reads the files, and nothing can be steered while the factory runs";
    log.warn(`runs without a control socket: ${errorText(error)}; ${without}`);
    return { close: () => Promise.resolve() };
  }
}

/** The first directory above that does not let a group pass. */
function findBarred(directory: string, gid: number): string | null {
  for (let path = dirname(directory); ; path = dirname(path)) {
    const { mode, gid: owner } = statSync(path);
    if ((mode & (owner === gid ? 0o010 : 0o001)) === 0) return path;
    if (path === "/") return null;
  }
}
