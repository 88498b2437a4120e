/** The text of a new configuration file, with comments for the next reader. It asks nothing and judges nothing. */
import { stringify } from "smol-toml";
import { tomlKey } from "../../config/problems.ts";
import { type SpType, spTypes } from "../../config/values.ts";
import { schemaLine } from "../schema.ts";
import type { Secret } from "../../words/secret.ts";

export interface NewTestbed {
  name: string;
  spType: SpType;
  /** Empty: its section is written as a comment. */
  targets: string[];
}

export interface NewTarget {
  name: string;
  id: string;
}

export interface NewConfig {
  baseurl: string;
  token: { value: Secret } | { file: string };
  /** Null: the default. */
  spRunner: string | null;
  spConfig: string | null;
  testbeds: NewTestbed[];
  targets: NewTarget[];
  /** Where new versions come from; null: nowhere. */
  updateUrl: string | null;
}

export function composeConfig({ baseurl, token, testbeds, targets, updateUrl, ...jobs }: NewConfig): string {
  const secret = "file" in token ? line("token_file", token.file) : line("token", token.value.reveal());
  const sections = [
    schemaLine +
      "\n# The factory's configuration, written by `setup`. `check` says what is wrong with it and how to fix it.",
    `[general]\n${line("baseurl", baseurl)}`,
    `[factory]${"file" in token ? "" : "\n# A secret: only the factory's user may read this file."}\n${secret}`,
    "# Testbeds: sp_type is gimlet, grapefruit, sidecar or psc; targets are names of [target.*] sections below.",
    ...(testbeds.length > 0
      ? testbeds.map((testbed) => testbedSection(testbed, jobs))
      : [exampleSection(targets, jobs)]),
    "# Targets, each with its ULID, which the server's administrator sees in GET /0/admin/targets",
    ...targets.map(({ name, id }) => `[target.${tomlKey(name)}]\n${line("id", id)}`),
    `# The page and the metrics, read only; 0.0.0.0 instead shows them to other hosts, too.\n[web]\n${line("listen", "127.0.0.1:8642")}`,
    ...(updateUrl === null ? [] : [updateSection(updateUrl)]),
  ];
  return `${sections.join("\n\n")}\n`;
}

const updateSection = (url: string): string =>
  `# New versions: mode "notify" logs that there is one, "auto" installs it; jobs run on.\n[update]\n${line("url", url)}\n${line("mode", "notify")}`;

type JobKeys = Pick<NewConfig, "spRunner" | "spConfig">;

function testbedSection(testbed: NewTestbed, jobs: JobKeys): string {
  const lines = testbedLines(testbed, jobs);
  if (testbed.targets.length > 0) return lines.join("\n");
  return commented("Serves no target yet: name some, then remove the comment marks.", lines);
}

/** What a section looks like, for a configuration without a testbed. */
function exampleSection(targets: NewTarget[], jobs: JobKeys): string {
  const names = targets.map(({ name }) => name);
  const spType = spTypes.find((type) => names.some((name) => name.includes(type))) ?? "grapefruit";
  const lines = testbedLines({ name: "NAME", spType, targets: names }, jobs);
  return commented(
    "No testbed yet: put in its name, type and targets, then remove the comment marks.",
    lines,
  );
}

function testbedLines({ name, spType, targets }: NewTestbed, { spRunner, spConfig }: JobKeys): string[] {
  return [
    `[testbed.${tomlKey(name)}]`,
    line("sp_type", spType),
    line("targets", targets),
    ...(spRunner === null ? [] : [line("sp_runner_path", spRunner)]),
    ...(spConfig === null ? [] : [line("sp_runner_config", spConfig)]),
  ];
}

const commented = (how: string, lines: string[]): string =>
  [how, ...lines].map((each) => `# ${each}`).join("\n");

function line(key: string, value: string | string[]): string {
  return stringify({ [key]: value }).trimEnd();
}
