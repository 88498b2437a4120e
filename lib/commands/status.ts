/** The verb `status`: what the database and the configuration say of each testbed, whether a factory runs or not. */
import { type BaseArgs, findBase, readConfig } from "../config/locations.ts";
import { chooseShown } from "../status/shown-config.ts";
import { describeTestbeds } from "../status/testbed-states.ts";
import { statusJson, statusTable } from "../status/table.ts";
import { isFactoryRunning } from "../store/store.ts";
import type { Health, Trouble } from "../words/domain.ts";
import { FactoryError } from "../words/failure.ts";
import { openForReading } from "./database.ts";
import { lookAround, type ThisProcess } from "./this-process.ts";

export async function showStatus(here: ThisProcess, args: BaseArgs & { json?: boolean }): Promise<number> {
  const { clock, files, output, print } = here;
  const surroundings = await lookAround(here);
  const base = findBase(args, surroundings);
  const config = orFactoryError(() => readConfig(base, surroundings));
  const store = await openForReading(base.database, files);
  const isRunning = await isFactoryRunning(base.database, files.isThere);
  const shown = chooseShown(config, {
    path: base.config,
    running: store?.configSummary() ?? null,
    isRunning,
  });
  const status = {
    isRunning,
    database: base.database,
    remarks: shown.remarks,
    testbeds: describeTestbeds({
      config: shown,
      unread: shown.unread,
      latest: store?.latest() ?? [],
      health: store?.health() ?? new Map<string, Health>(),
      troubles: store?.troubles() ?? new Map<string, Trouble>(),
      now: { bootId: clock.bootId, uptimeMs: clock.uptimeMs() },
      wallMs: clock.wallMs(),
    }),
  };
  store?.close();
  const columns = output.isTerminal ? 120 : null;
  for (const line of args.json === true ? [statusJson(status)] : statusTable(status, columns)) print(line);
  return 0;
}

/** What `read` gives, or the error in the user's files. */
function orFactoryError<T>(read: () => T): T | FactoryError {
  try {
    return read();
  } catch (error) {
    if (error instanceof FactoryError) return error;
    throw error;
  }
}
