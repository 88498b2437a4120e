/** The verb `notify test`, and the notifier of the factory that runs in this process. */
import { hostname } from "node:os";
import type { Config } from "../config/config.ts";
import { type BaseArgs, findBase, readConfig } from "../config/locations.ts";
import { deliver, type DeliveryDoors } from "../notify/delivery.ts";
import { type NotifierOptions, startNotifier } from "../notify/notifier.ts";
import { isPassing, type Store } from "../store/store.ts";
import { FactoryError } from "../words/failure.ts";
import { usageError } from "./command-line.ts";
import { lookAround, type ThisProcess } from "./this-process.ts";

/** Exit code 1: somebody could not be told. */
export async function notifyVerb(here: ThisProcess, args: BaseArgs & { act?: string }): Promise<number> {
  if (args.act !== "test") throw usageError("notify needs the word test");
  const around = await lookAround(here);
  const { path, notify } = readConfig(findBase(args, around), around);
  const letter = {
    kind: "test",
    testbed: null,
    text: "a test: notifications arrive like this",
    sinceMs: here.clock.wallMs(),
    id: `${here.clock.wallMs()}-test`,
    host: hostname(),
  } as const;
  const outcomes = await deliver(letter, notify, doorsOf(here));
  if (outcomes.length === 0) {
    throw new FactoryError(`Nobody is told: ${path} has no notify.command and no notify.webhook`, {
      hint: "Add a section [notify] with one of them",
    });
  }
  for (const { way, fault } of outcomes) here.print(`${way}: ${fault ?? "delivered"}`);
  return outcomes.every(({ fault }) => fault === null) ? 0 : 1;
}

export function startOwnNotifier(
  here: ThisProcess,
  {
    store,
    ...options
  }: Pick<NotifierOptions, "log" | "snapshot"> & { notify(): Config["notify"]; store: Store },
): { stop(): Promise<void> } {
  const told = {
    read: store.told,
    write: (names: ReadonlySet<string>): void => {
      try {
        store.setTold(names);
      } catch (error) {
        // A full disk: what is told is then told again after the next start.
        if (!isPassing(error)) throw error;
      }
    },
  };
  return startNotifier({ ...here, ...doorsOf(here), ...options, host: hostname(), told });
}

function doorsOf({ http, processes, around, searchPath }: ThisProcess): DeliveryDoors {
  const { HOME = "/", LANG = "C.UTF-8" } = around.env;
  return { http, processes, env: { PATH: searchPath, HOME, LANG } };
}
