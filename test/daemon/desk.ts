/** A config.toml whose text a test writes, and its reload, for tests of the daemon. */
import type { Config } from "../../lib/config/config.ts";
import { openReload, type Reload } from "../../lib/daemon/reload.ts";
import type { FactoryError } from "../../lib/words/failure.ts";
import type { Stage } from "./stage.ts";

/** A file whose text a test writes, and the reload of it. */
export interface Desk extends Reload {
  /** What it says: a configuration, or why it has a mistake. */
  file: Config | FactoryError;
  /** Counts the looks at it, and the times it was read. */
  looks: number;
  reads: number;
  /** The name in the file event is `hint`; undefined: there is no event. */
  save(file: Config | FactoryError, options?: { hint: string | null | undefined }): void;
  used: Config[];
  close(): Promise<void>;
}

export function openDesk(it: Stage, config: Config): Desk {
  let version = 0;
  let hint: (name?: string | null) => void = () => undefined;
  const ended = new AbortController();
  const desk = { file: config, looks: 0, reads: 0, used: [] as Config[] } as Partial<Desk> & Desk;
  const files = {
    stamp: async (path: string) => {
      desk.looks += 1;
      return await Promise.resolve(`${path} ${version}`);
    },
    watch: (_: string, onChange: () => void) => {
      hint = onChange;
      return { close: () => undefined };
    },
  };
  const { reload, watch } = openReload({
    ...it.factory,
    files: files as never,
    config,
    secrets: [config.token],
    secretsOf: ({ token }) => [token],
    read: () => {
      desk.reads += 1;
      if (desk.file instanceof Error) throw desk.file;
      return desk.file;
    },
    use: (next) => {
      desk.used.push(next);
      it.daemon.reconfigure({ config: next, api: it.factory.api, hosts: it.factory.hosts });
    },
  });
  const watching = watch(ended.signal);
  return Object.assign(desk, {
    reload,
    watch,
    save: (
      file: Config | FactoryError,
      options: { hint: string | null | undefined } = { hint: "config.toml" },
    ) => {
      version += 1;
      desk.file = file;
      if (options.hint !== undefined) hint(options.hint);
    },
    close: async () => {
      ended.abort();
      await watching;
    },
  });
}
