/** Prometheus' text of a snapshot and of what was counted. Pure. */
import type { Version } from "../words/version.ts";
import { type Snapshot, testbedStates } from "./snapshot.ts";
import { bounds, type Histogram, type Tally } from "./tally.ts";

type Labels = Record<string, string>;

export function metricsText(snapshot: Snapshot, tally: Tally, build: Version): string {
  const { testbeds, server, factory } = snapshot;
  const lines: string[] = [];
  const metric = (
    name: string,
    type: "gauge" | "counter",
    help: string,
    samples: readonly [Labels, number][],
  ): void => {
    head(lines, name, type, help);
    for (const [labels, value] of samples) lines.push(sample(name, labels, value));
  };
  const { product: _, ...of } = build;
  metric("sp_factory_build_info", "gauge", "The version of this factory.", [[of, 1]]);
  if (factory.startedMs !== null) {
    metric("sp_factory_start_time_seconds", "gauge", "When this factory started, since 1970.", [
      [{}, factory.startedMs / 1_000],
    ]);
  }
  metric("sp_factory_draining", "gauge", "1 while the factory takes nothing new.", [
    [{}, Number(factory.mode !== "run")],
  ]);
  metric("sp_factory_server_up", "gauge", "1 while the server answers and takes the token.", [
    [{}, Number(server.is === "answers")],
  ]);
  metric("sp_factory_server_errors_total", "counter", "Calls of the server that failed.", [
    [{}, tally.serverErrors],
  ]);
  metric(
    "sp_factory_testbeds",
    "gauge",
    "Testbeds in each state.",
    testbedStates.map((state) => [{ state }, testbeds.filter((each) => each.state === state).length]),
  );
  metric(
    "sp_factory_testbed_state",
    "gauge",
    "1 for the state that the testbed is in.",
    testbeds.map(({ testbed, type, state }) => [{ testbed, type: type ?? "", state }, 1]),
  );
  metric(
    "sp_factory_testbed_strikes",
    "gauge",
    "Failures of the lab in a row.",
    testbeds.map(({ testbed, health }) => [{ testbed }, health?.strikes ?? 0]),
  );
  metric("sp_factory_leases_total", "counter", "Jobs leased.", [[{}, tally.leases]]);
  metric("sp_factory_starts_total", "counter", "Job agents started.", [[{}, tally.starts]]);
  metric(
    "sp_factory_jobs_total",
    "counter",
    "Jobs that ended here, by result and cause.",
    [...tally.ends].map(([key, count]) => {
      const [result = "", cause = ""] = key.split("\0");
      return [{ result, cause }, count];
    }),
  );
  histogram(
    lines,
    "sp_factory_job_queued_seconds",
    "From submission until the agent was started.",
    tally.queued,
  );
  histogram(
    lines,
    "sp_factory_job_online_seconds",
    "From the lease until the agent reached the server.",
    tally.online,
  );
  histogram(lines, "sp_factory_job_turnaround_seconds", "From submission to the end.", tally.turnaround);
  return `${lines.join("\n")}\n`;
}

function head(lines: string[], name: string, type: string, help: string): void {
  lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
}

function histogram(lines: string[], name: string, help: string, { counts, sum, count }: Histogram): void {
  head(lines, name, "histogram", help);
  let below = 0;
  for (const [index, bound] of bounds.entries()) {
    below += counts[index] ?? 0;
    lines.push(sample(`${name}_bucket`, { le: String(bound) }, below));
  }
  lines.push(sample(`${name}_bucket`, { le: "+Inf" }, count));
  lines.push(sample(`${name}_sum`, {}, sum), sample(`${name}_count`, {}, count));
}

function sample(name: string, labels: Labels, value: number): string {
  const pairs = Object.entries(labels).map(([label, text]) => `${label}="${escaped(text)}"`);
  return `${name}${pairs.length === 0 ? "" : `{${pairs.join(",")}}`} ${value}`;
}

function escaped(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}
