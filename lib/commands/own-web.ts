/** The web port of the factory that runs in this process. The factory does its work without one, too. */
import type { Config } from "../config/config.ts";
import { answerWeb, type Shown } from "../web/routes.ts";
import { openPages } from "../web/page/pages.ts";
import type { LabSources } from "../web/page/lab.ts";
import { errorText } from "../words/failure.ts";
import type { Log } from "../words/logger.ts";
import { redactTexts, type Secret } from "../words/secret.ts";
import type { Controlled } from "../control/routes.ts";
import { openLogScreen } from "./log-screen.ts";
import type { ThisProcess } from "./this-process.ts";

type Sources = Omit<Shown, "pages"> & Omit<LabSources, "clock" | "tail"> & { log: Controlled["log"] };

/** What is wrong is one warning. */
export function openOwnWeb(
  { openWebListener, clock }: Pick<ThisProcess, "openWebListener" | "clock">,
  { web, log, secrets, shown }: { web: Config["web"]; log: Log; secrets: Secret[]; shown: Sources },
): { close(): void } {
  const none = { close: () => undefined };
  if (web === null) return none;
  const onFault = (error: unknown): void =>
    log.error(`a request on the web port failed: ${Bun.inspect(error)}`);
  // A job may have printed what the agent should not have had.
  const tail = async (instance: string): Promise<string | null> =>
    redactTexts(await readTail(shown.log, instance), secrets);
  const pages = openPages({ ...shown, clock, tail, onFault });
  try {
    const listener = openWebListener({
      ...web,
      answer: async (request) => await answerWeb({ ...shown, pages }, request),
      onFault,
    });
    log.info("shows the page and the metrics", { web: listener.url });
    return listener;
  } catch (error) {
    const where = `${web.host}:${web.port}`;
    log.warn(`runs without a page and metrics: cannot listen on ${where} (web.listen): ${errorText(error)}`);
    return none;
  }
}

/** So much of a log is shown. */
const tailBytes = 16 * 1024;

/** For people. */
async function readTail(read: Controlled["log"], instance: string): Promise<string | null> {
  const begin = await read(instance, "agent.log", 0);
  if (begin === null) return null;
  const from = Math.max(0, begin.size - tailBytes);
  const piece = from === 0 ? begin : await read(instance, "agent.log", from);
  let text = "";
  const screen = openLogScreen((bytes) => void (text += new TextDecoder().decode(bytes)));
  screen.show(piece?.bytes ?? begin.bytes);
  screen.pause(true);
  // Its first line is only the end of one.
  return from === 0 ? text : text.slice(text.indexOf("\n") + 1);
}
