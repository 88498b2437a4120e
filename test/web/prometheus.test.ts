/** The example alerts and dashboard: judged by Prometheus' own tools, and by the metrics that there are. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { metricsText } from "../../lib/status/metrics.ts";
import { Tally } from "../../lib/status/tally.ts";
import { version } from "../../lib/words/version.ts";
import dashboard from "../../lib/web/grafana-dashboard.json" with { type: "json" };
import { testWith } from "../lab/needs.ts";
import { snapshotOf } from "../status/snapshots.ts";

const directory = mkdtempSync(join(tmpdir(), "prometheus-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));
const rules = join(import.meta.dir, "../../lib/web/prometheus-alerts.yml");

function promtool(...words: string[]): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync(["promtool", ...words], { cwd: directory });
  return exitCode === 0 ? "good" : `${stdout.toString()}${stderr.toString()}`;
}

testWith("promtool")("the alerts are rules that Prometheus takes", () => {
  expect(promtool("check", "rules", rules)).toBe("good");
});

testWith("promtool")("each alert is raised by its metric, and not before its time", () => {
  const file = Bun.YAML.parse(readFileSync(rules, "utf8")) as { groups: { rules: Rule[] }[] };
  const raisedBy = (name: string, series: string, values: string, after: string): object => {
    const rule = file.groups[0]?.rules.find(({ alert }) => alert === name);
    const labels = Object.fromEntries(
      [...series.matchAll(/(\w+)="([^"]*)"/g)].map(([, label, value]) => [label, value]),
    );
    const summary = rule?.annotations.summary.replace(
      /\{\{ \$labels\.(\w+) \}\}/g,
      (_, label: string) => labels[label] ?? "",
    );
    return {
      interval: "1m",
      input_series: [{ series, values }],
      alert_rule_test: [
        { eval_time: "1m", alertname: name, exp_alerts: [] },
        {
          eval_time: after,
          alertname: name,
          exp_alerts: [{ exp_labels: labels, exp_annotations: { summary } }],
        },
      ],
    };
  };
  const at = `instance="lab-1",job="sp-factory"`;
  writeFileSync(
    join(directory, "test.yml"),
    JSON.stringify({
      rule_files: [rules],
      evaluation_interval: "1m",
      tests: [
        raisedBy("FactoryDown", `up{${at}}`, "0x60", "6m"),
        raisedBy("FactoryServerAway", `sp_factory_server_up{${at}}`, "0x60", "6m"),
        raisedBy(
          "TestbedQuarantined",
          `sp_factory_testbed_state{${at},testbed="a",state="quarantined"}`,
          "1x60",
          "16m",
        ),
      ],
    }),
  );
  expect(promtool("test", "rules", "test.yml")).toBe("good");
});

interface Rule {
  alert: string;
  annotations: { summary: string };
}

test("the dashboard asks only for metrics that there are", () => {
  const text = metricsText(snapshotOf(), new Tally(), version);
  const known = new Set([...text.matchAll(/^# TYPE (\w+) (\w+)$/gm)].map(([, name]) => name));
  const asked = dashboard.panels.flatMap(({ targets }) =>
    targets.flatMap(({ expr }) => expr.match(/sp_factory_\w+/g) ?? []),
  );
  expect(asked.length).toBeGreaterThan(8);
  expect(asked.map((name) => name.replace(/_bucket$/, "")).filter((name) => !known.has(name))).toEqual([]);
});
