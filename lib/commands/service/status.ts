/** `service status`: which version runs, whether it is trusted yet, and what the service does. */
import { readState } from "../../update/state.ts";
import { compareVersions } from "../../update/version-order.ts";
import { version } from "../../words/version.ts";
import type { ThisProcess } from "../this-process.ts";
import { findInstalled, type ServiceArgs } from "./installed.ts";

export async function showService(here: ThisProcess, args: ServiceArgs): Promise<number> {
  const { places, systemd, unit, hasUnit } = await findInstalled({ ...here, uid: 0 }, args);
  const current = await places.current();
  if (current === null) {
    here.print(`Nothing is installed in ${places.prefix}`);
    return 1;
  }
  const line = (name: string, text: string): void => here.print(`${name.padEnd(10)}${text}`);
  line("version", `${version.product} ${current}, ${await describeMark(current)}`);
  const previous = await places.previous();
  if (previous !== null && previous !== current)
    line("before it", `${previous}, ${await describeMark(previous)}`);
  const update = await readState(here.durableFiles, places.prefix);
  const offered = update.ready ?? update.offered;
  for (const name of (await places.rolledBack()).toSorted(compareVersions)) {
    const mark = await places.mark(name);
    if (mark?.kind !== "bad" || compareVersions(name, current) < 0) continue;
    line("failed", `${name}, not tried again: ${mark.reason || "it did not prove itself in three starts"}`);
  }
  if (update.nextCheckAt !== null) line("next look", `for a new version: ${update.nextCheckAt}`);
  const isBad = offered !== null && (await places.mark(offered))?.kind === "bad";
  if (offered !== null && offered !== current && !isBad)
    line("offered", `${offered}${update.ready === null ? "" : ", ready to be started"}`);
  if (update.failure !== null) line("update", `failed at ${update.failure.at}: ${update.failure.text}`);
  line("prefix", places.prefix);
  if (systemd === null || !hasUnit) {
    line("service", "none of systemd's is of this installation");
    return 0;
  }
  const shown = await systemd.show(
    unit,
    "ActiveState",
    "SubState",
    "ActiveEnterTimestamp",
    "NRestarts",
    "Result",
  );
  const { ActiveState: state = "", SubState: detail = "", ActiveEnterTimestamp: since = "" } = shown;
  line("service", `${unit} is ${state} (${detail})${state === "active" ? ` since ${since}` : ""}`);
  if (shown["NRestarts"] !== "0") {
    // systemd forgets how a start ended when the next one goes well.
    const why = state === "active" ? "" : `, the last one after: ${shown["Result"]}`;
    line("restarts", `${shown["NRestarts"]}${why}`);
  }
  return state === "active" ? 0 : 1;

  async function describeMark(name: string): Promise<string> {
    const mark = await places.mark(name);
    switch (mark?.kind) {
      case undefined:
      case "good":
        return "trusted";
      case "trial":
        return `on trial, ${mark.startsLeft} ${mark.startsLeft === 1 ? "start" : "starts"} left`;
      case "bad":
        return "failed";
    }
  }
}
