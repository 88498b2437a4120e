/**
 * Reads config.toml anew while the factory runs: when it is told to, and when the file was saved. A file that cannot be used
 * changes nothing, shows in `status` and is logged once. How what was read is taken into use, the caller knows.
 */
import { basename, dirname } from "node:path";
import { replaceConfig } from "../config/changes.ts";
import type { ActAnswer } from "../control/act.ts";
import type { Config } from "../config/config.ts";
import { summaryOf } from "../config/summary.ts";
import { limits } from "../policy/times-and-limits.ts";
import { isPassing } from "../store/store.ts";
import { errorText, FactoryError } from "../words/failure.ts";
import type { Entry } from "../words/journal.ts";
import { redactor, type Secret } from "../words/secret.ts";
import { openInstances } from "./instance-memory.ts";
import type { Parts, Memory } from "./memory.ts";

export interface ReloadParts extends Pick<Parts, "clock" | "files" | "log" | "store"> {
  known: Pick<Memory, "instances" | "remarks">;
  /** As it was read at the start. */
  config: Config;
  /** Throws if the file cannot be used. */
  read(): Config;
  /** No line may show them. It grows with what is read. */
  secrets: Secret[];
  secretsOf(config: Config): Secret[];
  /** Takes a configuration into use, at once. */
  use(config: Config, before: Config): void;
}

/** Who wanted it, and why. */
interface Operator {
  who: string;
  note: string;
}

export interface Reload {
  /**
   * `why` says what wanted it, for the log; `by`: the operator who did, for the journal. The lines say what has changed, or why nothing
   * did.
   */
  reload(why: string, by?: Operator): Promise<ActAnswer>;
  /** Reads the file whenever it was saved. Until `signal` aborts. */
  watch(signal: AbortSignal): Promise<void>;
}

export function openReload(parts: ReloadParts): Reload {
  const { clock, files, log, store, known, secrets } = parts;
  let { config } = parts;
  const { path } = config;
  let stampRead: string | null = null;
  let faultLogged: string | null = null;
  if (store.configSummary()?.hash !== summaryOf(config).hash) {
    tryToKeep(() => store.setConfigSummary(summaryOf(config)));
  }

  /** The files that it is made of. */
  async function stamp(): Promise<string> {
    const { tokenFile } = config;
    const paths = [path, ...(tokenFile === null ? [] : [tokenFile])];
    return (await Promise.all(paths.map((each) => files.stamp(each)))).join(";");
  }

  async function reload(why: string, by: Operator | null = null): Promise<ActAnswer> {
    // From before it is read: what is written meanwhile is noticed.
    stampRead = await stamp();
    // From here to the end nothing waits: two reloads at once do not meet.
    let read: Config;
    try {
      read = parts.read();
    } catch (error) {
      return refuse(error, by);
    }
    secrets.push(...parts.secretsOf(read).filter((secret) => !isAmong(secrets, secret)));
    const busy = new Set(openInstances(known).map(({ testbed }) => testbed));
    const before = config;
    const { config: next, changes, later } = replaceConfig(before, read, (testbed) => busy.has(testbed));
    const wasRefused = faultLogged !== null;
    faultLogged = null;
    const isNewLater = later.some((line) => !known.remarks.includes(line));
    known.remarks = later;
    if (next !== before) {
      config = next;
      parts.use(next, before);
    }
    // The stamp was not of the token file that is named now: it is read once more.
    if (next.tokenFile !== before.tokenFile) stampRead = null;
    const redact = redactor(secrets);
    const lines = [...changes.map(({ line }) => redact(line)), ...later];
    if (lines.length === 0) lines.push(`nothing has changed in ${path}`);
    const isNews = changes.length > 0 || isNewLater || wasRefused;
    if (isNews) {
      log.info(`${path} was read anew (${why})`);
      for (const [index, line] of lines.entries()) {
        const testbed = changes[index]?.testbed ?? null;
        log.info(line, testbed === null ? {} : { testbed });
      }
    }
    keep(isNews ? "read anew" : null, lines, by);
    return { isDone: true, lines };
  }

  function refuse(error: unknown, by: Operator | null): ActAnswer {
    const hint = error instanceof FactoryError ? error.hint : undefined;
    const text = [errorText(error), ...(hint === undefined ? [] : [`  ${hint}`])].join("\n");
    const wrong = redactor(secrets)(text).split("\n");
    const lines = [`${path} has a mistake now: the factory goes on with what it had read before`, ...wrong];
    known.remarks = lines;
    const isNews = faultLogged !== text;
    faultLogged = text;
    if (isNews) log.error(lines.join("\n"));
    keep(isNews ? "refused" : null, lines, by);
    return { isDone: false, lines };
  }

  /** `is` of the journal; null: nothing new. */
  function keep(is: string | null, lines: string[], by: Operator | null): void {
    const entries: Entry[] = is === null ? [] : [{ what: "config", is, lines }];
    if (by !== null) {
      const act = { verb: "reload", testbed: null, ...by, untilMs: null } as const;
      entries.push({ what: "act", ...act, answer: lines.join("; ") });
    }
    if (entries.length === 0) return;
    tryToKeep(() => {
      if (is === "read anew") store.setConfigSummary(summaryOf(config));
      store.note(entries.map((entry) => ({ atMs: clock.wallMs(), entry })));
    });
  }

  /** A full disk keeps nothing from being in use. */
  function tryToKeep(work: () => void): void {
    try {
      store.atOnce(work);
    } catch (error) {
      if (!isPassing(error)) throw error;
      log.warn(`cannot note what was read of the configuration: ${errorText(error)}`);
    }
  }

  async function watch(signal: AbortSignal): Promise<void> {
    let hint = new AbortController();
    // An editor replaces the file, so that its directory is watched.
    const watcher = files.watch(dirname(path), (name = null) => {
      if (name === null || name === basename(path)) hint.abort();
    });
    while (!signal.aborted) {
      await clock.sleep(limits.configMs, AbortSignal.any([hint.signal, signal]));
      hint = new AbortController();
      if (signal.aborted || (await stamp()) === stampRead) continue;
      await settled(signal);
      if (!signal.aborted && (await stamp()) !== stampRead) await reload("it was saved");
    }
    watcher.close();
  }

  async function settled(signal: AbortSignal): Promise<void> {
    for (let before = await stamp(); !signal.aborted;) {
      await clock.sleep(limits.configSettleMs, signal);
      const after = await stamp();
      if (after === before) return;
      before = after;
    }
  }

  return { reload, watch };
}

function isAmong(secrets: readonly Secret[], secret: Secret): boolean {
  return secrets.some((each) => each.reveal() === secret.reveal());
}
