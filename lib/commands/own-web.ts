/** The web port of the factory that runs in this process. The factory does its work without one, too. */
import type { Config } from "../config/config.ts";
import { answerWeb, type Shown } from "../web/routes.ts";
import { errorText } from "../words/failure.ts";
import type { Log } from "../words/logger.ts";
import type { ThisProcess } from "./this-process.ts";

/** What is wrong is one warning. */
export function openOwnWeb(
  { openWebListener }: Pick<ThisProcess, "openWebListener">,
  { web, log, shown }: { web: Config["web"]; log: Log; shown: Shown },
): { close(): void } {
  const none = { close: () => undefined };
  if (web === null) return none;
  try {
    const listener = openWebListener({
      ...web,
      answer: async (request) => await answerWeb(shown, request),
      onFault: (error) => log.error(`a request on the web port failed: ${Bun.inspect(error)}`),
    });
    log.info(`the page and the metrics are on ${listener.url}`);
    return listener;
  } catch (error) {
    const where = `${web.host}:${web.port}`;
    log.warn(`runs without a page and metrics: cannot listen on ${where} (web.listen): ${errorText(error)}`);
    return none;
  }
}
