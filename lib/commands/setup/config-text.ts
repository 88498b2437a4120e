/** The text of a new configuration file, with comments for whoever opens it next. It asks nothing and judges nothing. */
import { stringify } from "smol-toml";
import { tomlKey } from "../../config/problems.ts";
import type { SpType } from "../../config/config.ts";
import type { Secret } from "../../words/secret.ts";

export interface NewTestbed {
  name: string;
  spType: SpType;
  /** Empty: its section is a comment until somebody knows. */
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
}

/** What a section looks like, where none is known yet. */
const example: NewTestbed = { name: "NAME", spType: "grapefruit", targets: [] };

export function composeConfig({ baseurl, token, testbeds, targets, ...jobs }: NewConfig): string {
  const secret = "file" in token ? line("token_file", token.file) : line("token", token.value.reveal());
  const sections = [
    "# The factory's configuration, written by `setup`. `check` tells what is wrong with it and how to mend it.",
    `[general]\n${line("baseurl", baseurl)}`,
    `[factory]${"file" in token ? "" : "\n# A secret: keep this file readable by the factory's user alone."}\n${secret}`,
    "# Testbeds: sp_type is gimlet, grapefruit, sidecar or psc; targets are names of [target.*] sections below.",
    ...(testbeds.length > 0 ? testbeds : [example]).map((testbed) => testbedSection(testbed, jobs)),
    "# Targets, each with the ULID that the server's administrator sees for it: GET /0/admin/targets",
    ...targets.map(({ name, id }) => `[target.${tomlKey(name)}]\n${line("id", id)}`),
  ];
  return `${sections.join("\n\n")}\n`;
}

function testbedSection(
  { name, spType, targets }: NewTestbed,
  { spRunner, spConfig }: Pick<NewConfig, "spRunner" | "spConfig">,
): string {
  const lines = [`[testbed.${tomlKey(name)}]`, line("sp_type", spType), line("targets", targets)];
  if (spRunner !== null) lines.push(line("sp_runner_path", spRunner));
  if (spConfig !== null) lines.push(line("sp_runner_config", spConfig));
  if (targets.length > 0) return lines.join("\n");
  const how = "# Serves no target yet: name some, then take the comment marks away.";
  return [how, ...lines.map((each) => `# ${each}`)].join("\n");
}

function line(key: string, value: string | string[]): string {
  return stringify({ [key]: value }).trimEnd();
}
