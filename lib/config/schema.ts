/** The sections of the configuration file: every key, its form and its default (README.md "Configure"). */
import { z } from "zod";
import { kindOf, nearestWord, showValue } from "./problems.ts";
import { parseBytes, parseDurationMs } from "../words/duration.ts";
import { parseUlid } from "../words/ulid.ts";

/** The boards that the lab's hardware tests support. */
export const spTypes = ["gimlet", "grapefruit", "sidecar", "psc"] as const;
export type SpType = (typeof spTypes)[number];

/** Strict, because directories, locks and workers are named after the testbed. */
export function isTestbedName(text: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(text);
}

export function isTargetName(text: string): boolean {
  return /^[^\s\p{C}]{1,128}$/u.test(text);
}

/** The parsed value, or what is wrong with the text and how to fix it. */
export type Parsed<T> = { value: T } | { wrong: string; fix: string };

/** A string that `read` parses. Its issues carry the fix in `params`. */
function textAs<T>(read: (text: string) => Parsed<T>) {
  return z.string().transform((text, context): T => {
    const parsed = read(text);
    if ("value" in parsed) return parsed.value;
    context.addIssue({ code: "custom", message: parsed.wrong, params: { fix: parsed.fix } });
    return z.NEVER;
  });
}

/** A string that must match `form` and is kept unchanged. */
function textLike(form: RegExp, wrong: string, fix: string) {
  return textAs<string>((text) =>
    form.test(text) ? { value: text } : { wrong: `${showValue(text)} ${wrong}`, fix },
  );
}

function duration(atLeastMs: number, example: string) {
  return textAs<number>((text) => {
    const value = parseDurationMs(text);
    const fix = `Write a number and one of ms, s, m, h, d, as in "${example}"`;
    if (value === null) return { wrong: `${showValue(text)} is not a duration`, fix };
    if (value < atLeastMs) {
      return { wrong: `${showValue(text)} is too short`, fix: `Write at least "${atLeastMs}ms"` };
    }
    const isTooLong = value > 365 * 86_400_000;
    return isTooLong ? { wrong: `${showValue(text)} is too long`, fix: `Write at most "365d"` } : { value };
  });
}

/** An absolute http or https URL, without a query, a fragment or a password. The slash at its end is removed. */
export function readHttpUrl(text: string): Parsed<string> {
  const fix = `Write only scheme, host and port, as in "https://buildomat.example.org"`;
  // The parser silently removes these; in a configuration they are a mistake.
  if (/[\s\p{Cc}]/u.test(text)) return { wrong: "a URL cannot have spaces or control characters", fix };
  const url = URL.parse(text);
  if (url !== null && (url.username !== "" || url.password !== "")) {
    return { wrong: "a user name or password in a URL would appear in logs", fix };
  }
  if (url === null || !/^https?:\/\/[^/?#]/i.test(text)) {
    return { wrong: `${showValue(text)} is not an http or https URL`, fix };
  }
  if (/[?#]/.test(text)) return { wrong: `${showValue(text)} has a query or fragment`, fix };
  return { value: url.href.replace(/\/+$/, "") };
}

const anyHostPath = /^(?:~(?:\/[^\p{Cc}]*)?|\/[^\p{Cc}]*)$/u;
const path = () =>
  textLike(anyHostPath, "is not an absolute path", `Begin it with "/", or with "~/" for the home directory`);
const line = (fix: string) => textLike(/^[^\p{Cc}]*\S[^\p{Cc}]*$/u, "is not one line of text", fix);
const httpUrl = () => textAs(readHttpUrl);
const agent = textLike(
  /^(?:builtin|~\/[^\p{Cc}]+|\/[^\p{Cc}]+)$/u,
  "is not an absolute path",
  `Write the agent's path from "/" or "~/", or "builtin" for the built-in agent`,
);

const spType = textAs<SpType>((text) => {
  const found = spTypes.find((name) => name === text);
  if (found !== undefined) return { value: found };
  const near = nearestWord(text, spTypes);
  const meant = near === null ? "" : `; did you mean "${near}"?`;
  return {
    wrong: `${showValue(text)} is not a known type`,
    fix: `Write one of ${spTypes.join(", ")}${meant}`,
  };
}).meta({ enum: spTypes });

const size = textAs<number>((text) => {
  const value = parseBytes(text);
  const fix = `Write a number and one of B, kB, MB, GB, TB, KiB, MiB, GiB, TiB, as in "10GB"`;
  return value === null ? { wrong: `${showValue(text)} is not a size`, fix } : { value };
});

const ulid = textAs<string>((text) => {
  const value = parseUlid(text);
  const fix = `Write the 26 characters that the server's administrator sees for the target, as in "01HGYSTRYRBS0DG7J6E22ZS3M5"`;
  return value === null ? { wrong: `${showValue(text)} is not a ULID`, fix } : { value };
});

const host = textAs<string>((text) => {
  if (/^[^@]*@[^@]+$/.test(text)) {
    return {
      wrong: `${showValue(text)} has a user in it`,
      fix: "Write only the host here, and the user as ssh_user",
    };
  }
  // A leading "-" would be read as an option by ssh (test/FAULTS.md F69).
  if (/^[A-Za-z0-9_:][A-Za-z0-9._:%-]{0,252}$/.test(text)) return { value: text };
  return {
    wrong: `${showValue(text)} is not a host name`,
    fix: 'Write a host name, an address, or a Host from your ssh configuration, as in "lab-3.example.org"',
  };
});

const hostKey = textAs<string>((text) => {
  const [, key] =
    /^((?:ssh|ecdsa|sk)-[A-Za-z0-9@.-]{1,64} [A-Za-z0-9+/]{16,4096}={0,3})(?: [^\p{Cc}]*)?$/u.exec(
      text.trim(),
    ) ?? [];
  const fix = `Write the key's type and the key, as ssh-keyscan prints them after the host's name: "ssh-ed25519 AAAAC3Nza..."`;
  return key === undefined ? { wrong: `${showValue(text)} is not a public host key`, fix } : { value: key };
});

const token = textAs<string>((text) => {
  const wrong = findTokenFault(text);
  return wrong === null ? { value: text.trim() } : { wrong, fix: "Write the token as the server printed it" };
});

/** Why a text cannot be a token; null if it can. The answer does not contain the text. */
export function findTokenFault(text: string): string | null {
  const trimmed = text.trim();
  if (trimmed.length < 3) return trimmed === "" ? "it is empty" : "it is shorter than 3 characters";
  if (trimmed.length > 4096) return "it is longer than 4096 characters";
  if (/\s/.test(trimmed)) return "it contains a space or a line break";
  return /^[\x21-\x7e]+$/.test(trimmed) ? null : "it contains characters that an HTTP header cannot carry";
}

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

/** An http or https URL or a directory. The slash at its end is removed. */
export function readMirrorUrl(text: string): Parsed<string> {
  if (/^(?:file:\/\/)?\/[^\p{Cc}?#]*$/u.test(text)) return { value: text.replace(/\/+$/, "") };
  const read = readHttpUrl(text);
  if (!("wrong" in read)) return read;
  return {
    ...read,
    fix: 'Write a URL, as in "https://releases.example.org/factory", or a directory. Serve releases without a password: they are signed',
  };
}

/** Minutes since midnight, in this host's local time. */
export interface DayWindow {
  fromMinute: number;
  toMinute: number;
}

const dayWindow = textAs<DayWindow>((text) => {
  const [, ...parts] = /^([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)$/.exec(text) ?? [];
  const [fromHour = 0, from = 0, toHour = 0, to = 0] = parts.map(Number);
  const value = { fromMinute: fromHour * 60 + from, toMinute: toHour * 60 + to };
  if (parts.length > 0 && value.fromMinute !== value.toMinute) return { value };
  return { wrong: `${showValue(text)} is not a time window`, fix: 'Write it as in "02:00-05:00"' };
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

export const targetSchema = z.strictObject({ id: ulid.optional() });

/** The keys of each section, to find the section that a misplaced key belongs to. */
export const sectionKeys: Record<string, string[]> = {
  general: Object.keys(generalSchema.shape),
  factory: Object.keys(factorySchema.shape),
  testbed: Object.keys(testbedSchema.shape),
  target: Object.keys(targetSchema.shape),
  update: Object.keys(updateSchema.shape),
};

export const keepKeys = Object.keys(keepSchema.shape);
