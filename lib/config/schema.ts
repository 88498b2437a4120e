/** The sections of the configuration file: every key, its form and its default (README.md "Configure"). */
import { z } from "zod";
import { kindOf, showValue } from "./problems.ts";
import {
  agent,
  dayWindow,
  duration,
  host,
  hostKey,
  httpUrl,
  line,
  listenAddress,
  path,
  readMirrorUrl,
  size,
  spType,
  textAs,
  textLike,
  token,
  ulid,
} from "./values.ts";

/** Variables that agents, minders or the shells between them set themselves. */
const takenNames =
  /^(?:BUILDOMAT_.*|HOME|USER|LOGNAME|BUN_BE_BUN|_|IFS|PWD|OLDPWD|PPID|UID|EUID|GROUPS|OPTIND|SHLVL|SHELLOPTS|BASHOPTS|BASH_[A-Z]+)$/;

/** Why a variable cannot be set for agents, and the fix; null if it can. It does not show the value, which may be secret. */
function findVariableFault(name: string, value: unknown): [string, string] | null {
  if (!/^[A-Za-z_][A-Za-z0-9_]{0,127}$/.test(name)) {
    return [
      "it cannot be a variable's name",
      "Use letters, digits and underscores; do not begin with a digit",
    ];
  }
  if (typeof value !== "string") return [`must be a string, not ${kindOf(value)}`, `Write ${name} = "..."`];
  if (takenNames.test(name)) return ["the factory or a shell sets this variable", "Remove it"];
  if (name === "NODE_TLS_REJECT_UNAUTHORIZED" && value === "0") {
    const fix = "Remove it; for a private certificate authority, set NODE_EXTRA_CA_CERTS";
    return ["it would let anybody pose as the server", fix];
  }
  return /[\0\r\n]/.test(value)
    ? ["it contains a line break or a zero byte", "Write one line of text"]
    : null;
}

const agentEnvironment = z
  .record(z.string(), z.unknown())
  .superRefine((table, context) => {
    for (const [name, value] of Object.entries(table)) {
      const [message, fix] = findVariableFault(name, value) ?? [];
      if (message === undefined) continue;
      context.addIssue({ code: "custom", path: [name], message, params: { fix } });
    }
  })
  .transform((table) => table as Record<string, string>);

const keepSchema = z.strictObject({
  days: z.number().min(0).max(36_500).default(14),
  size: size.default(10e9),
});

export const generalSchema = z.strictObject({
  baseurl: httpUrl(),
  work_dir: path().optional(),
  use_privilege_elevation: z.boolean().optional(),
  agent: agent.optional(),
  poll_interval: duration(50, "1s").default(1000),
  bind_job: z.boolean().default(true),
  isolate: textAs<"auto" | "off">((text) =>
    text === "auto" || text === "off"
      ? { value: text }
      : { wrong: `${showValue(text)} is not a known mode`, fix: `Write "auto" or "off"` },
  )
    .default("auto")
    .meta({ enum: ["auto", "off"] }),
  keep: keepSchema.default({ days: 14, size: 10e9 }),
  agent_environment: agentEnvironment.default({}),
  operators: textLike(
    /^[A-Za-z_][A-Za-z0-9_.@ -]{0,63}$/,
    "is not a group's name",
    'Write the name of a group of this host, as in "lab"',
  ).optional(),
});

export const factorySchema = z.strictObject({ token: token.optional(), token_file: path().optional() });

export const testbedSchema = z.strictObject({
  sp_type: spType,
  targets: z.array(z.string()).min(1),
  host: host.optional(),
  ssh_user: textLike(
    /^[A-Za-z0-9_][A-Za-z0-9._@-]{0,63}\$?$/,
    "is not a user name",
    `Write the name of an account on that host, as in "lab"`,
  ).optional(),
  ssh_port: z.int().min(1).max(65_535).optional(),
  ssh_key: path().optional(),
  host_key: hostKey.optional(),
  agent_path: path().optional(),
  work_dir: path().optional(),
  sp_runner_url: httpUrl().optional(),
  test_type: line(`Write a test type that the sp-runner knows, as in "update-rollback"`).default(
    "update-rollback",
  ),
  disable_watchdog: z.boolean().default(false),
  sp_runner_path: line(`Write a path or a command line, as in "sp-runner"`).default("sp-runner"),
  sp_runner_config: line(`Write a path, as in "~/Oxide/ci/config.toml"`).default("~/Oxide/ci/config.toml"),
  baseline: line(`Write a release, as in "v16"`).default("v16"),
  enabled: z.boolean().default(true),
  start_timeout: duration(1000, "5m").default(300_000),
  job_timeout: duration(1000, "2h").optional(),
  silence_timeout: duration(1000, "15m").optional(),
  check: line("Write a command line that exits with 0 when the testbed is ready").optional(),
  note: textLike(
    /^[^\p{Cc}]*$/u,
    "contains line breaks or control characters",
    "Write one line of text",
  ).default(""),
});

export const updateSchema = z.strictObject({
  mode: textAs<"auto" | "notify" | "off">((text) =>
    text === "auto" || text === "notify" || text === "off"
      ? { value: text }
      : { wrong: `${showValue(text)} is not a mode`, fix: 'Write "auto", "notify" or "off"' },
  )
    .default("notify")
    .meta({ enum: ["auto", "notify", "off"] }),
  url: textAs(readMirrorUrl).optional(),
  channel: textLike(/^[a-z0-9-]{1,32}$/, "is not a channel", 'Write a name, as in "stable"').default(
    "stable",
  ),
  window: dayWindow.optional(),
  pin: textLike(/^\d+\.\d+\.\d+(?:-[\w.-]+)?$/, "is not a version", 'Write one, as in "1.2.0"').optional(),
});

export const webSchema = z.strictObject({
  listen: listenAddress.default({ host: "127.0.0.1", port: 8642 }),
  hosts: z
    .array(
      textLike(/^[A-Za-z0-9.-]{1,253}$/, "is not a host's name", 'Write a name, as in "lab-1.example.org"'),
    )
    .default([]),
});

export const notifySchema = z.strictObject({
  command: line("Write a command line that reads one JSON object from its standard input").optional(),
  webhook: textAs((text) => {
    const url = URL.parse(text);
    const isGood =
      url !== null && /^https?:$/.test(url.protocol) && url.username === "" && url.password === "";
    // It may be a secret itself, so it is not shown.
    return isGood
      ? { value: text }
      : { wrong: "it is not an http or https URL without a password", fix: "Write the whole URL" };
  }).optional(),
  secret_file: path().optional(),
  reserved_over: duration(60_000, "8h").default(8 * 3_600_000),
});

export const targetSchema = z.strictObject({ id: ulid.optional() });

/** The keys of each section, to find the section that a misplaced key belongs to. */
export const sectionKeys: Record<string, string[]> = {
  general: Object.keys(generalSchema.shape),
  factory: Object.keys(factorySchema.shape),
  testbed: Object.keys(testbedSchema.shape),
  target: Object.keys(targetSchema.shape),
  update: Object.keys(updateSchema.shape),
  web: Object.keys(webSchema.shape),
  notify: Object.keys(notifySchema.shape),
};

export const keepKeys = Object.keys(keepSchema.shape);
