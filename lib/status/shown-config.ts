/** Which testbeds `status` shows: those that the running factory has read, even if config.toml has changed since. Pure. */
import type { Config, Target } from "../config/config.ts";
import { compareSummaries, type ConfigSummary, summaryOf, type ShownTestbed } from "../config/summary.ts";
import { FactoryError } from "../words/failure.ts";

export interface ShownConfig {
  testbeds: ShownTestbed[];
  targets: Target[];
  /** Testbeds that the running factory does not know yet. */
  unread: ShownTestbed[];
  /** Lines about the file. */
  remarks: string[];
}

/** `config` is what the file says now, or why it cannot be used; that error is thrown if it is not known what was read. */
export function chooseShown(
  config: Config | FactoryError,
  { path, running, isRunning }: { path: string; running: ConfigSummary | null; isRunning: boolean },
): ShownConfig {
  if (config instanceof FactoryError) {
    if (running === null) throw config;
    const start = isRunning ? "the factory had read before" : "the last factory that ran here had read";
    const wrong = [config.message, ...(config.hint === undefined ? [] : [`  ${config.hint}`])];
    return {
      ...running,
      unread: [],
      remarks: [`${path} has a mistake now. This shows what ${start}.`, ...wrong.join("\n").split("\n")],
    };
  }
  if (!isRunning || running === null) return { ...config, unread: [], remarks: [] };
  const { testbeds, isChanged } = compareSummaries(running, summaryOf(config));
  return {
    ...running,
    unread: config.testbeds.filter(({ name }) => testbeds.get(name) === "added"),
    remarks: isChanged
      ? [
          `${path} was changed after the factory read it. It reads it within seconds; what it says of it is in its log.`,
        ]
      : [],
  };
}
