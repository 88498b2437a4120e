/**
 * What a minder is told, and how the script reads it on standard input: one `word value` a line, so that no value is ever part of a command.
 * A value with a line break is refused, not mangled.
 */
export interface ArmSpec {
  /** `testbed/seq`. */
  instance: string;
  /** Whose lock is taken; any text of at most 80 bytes. */
  testbed: string;
  /** 32 hex digits, random, never used before: what proves that a process belongs to this instance. */
  cookie: string;
  /** Absolute, `<work>/<testbed>_<seq>`; its parent is made when missing. */
  directory: string;
  /** What is run, the program as an absolute path: `[agent, "run"]`. */
  agent: string[];
  /** What `bin/bmat` runs: one path becomes a symbolic link, more words a small script. */
  bmat: string[];
  /** The agent is not the built-in one: one of buildomat's main line is refused where it would not find its files. */
  isExternal: boolean;
  /** The agent's soft limit on open files; null: as the minder's. */
  openFiles: number | null;
  /**
   * Added to the agent's environment, which is otherwise just HOME, PATH, BUILDOMAT_OPT, BUILDOMAT_INPUT,
   * BUILDOMAT_WORK, BUILDOMAT_NONROOT unless it is elevated, and the cookie.
   */
  environment: Record<string, string>;
  /**
   * `off`: no namespaces; the host's own /work and /input, and one such instance at a time on a host. `auto`: so only
   * where namespaces are refused.
   */
  isolate: "auto" | "off";
  /** False: where it is not isolated it needs nothing of the host's, and may share that. */
  usesHost: boolean;
  /** Its agent went, and is proved gone with the job not at an end: the same directory, for an agent that can go on. */
  isAgain: boolean;
  /** `look` tells whether the job prints. */
  isOutputWatched: boolean;
  /**
   * Absolute paths that an isolated job does not see: directories as a whole, and files with all that is named after them.
   * What is kept is shown even so; the instance's own directory, the agent and bmat always are. The work directory and
   * /tmp need not be named.
   */
  covered: string[];
  hidden: string[];
  kept: string[];
  /** A minder not told to go within this unlocks, cleans up and exits. */
  expirySeconds: number;
  /** agent.log is cut to about this; `look` does it. */
  logCapBytes: number;
  /** Written to `$HOME/testbed.json` for the job. One line. */
  testbedJson: string;
  /** Kept in the instance directory so that a lost database can be rebuilt (`recall`). One line. */
  intentJson: string;
}

export interface GoSpec {
  directory: string;
  /** The worker's id; kept beside the intent. */
  worker: string;
  /** Content of `etc/agent.json`. It reaches the file through standard input alone. */
  agentJson: string;
}

/** The transport gives root's power; what agents write belongs to this user. */
export interface Elevation {
  uid: number;
}

type Text = { ok: true; text: string } | { ok: false; reason: string };

export function armText(spec: ArmSpec, elevation?: Elevation): Text {
  const name = lockName(spec.testbed);
  if (name.length > 120) return { ok: false, reason: `the testbed's name ${spec.testbed} is too long` };
  if (!/^[0-9a-f]{16,64}$/.test(spec.cookie)) throw new Error("a cookie is 16 to 64 hex digits");
  const badName = Object.keys(spec.environment).find((key) => !/^[A-Za-z_][A-Za-z0-9_]*$/.test(key));
  if (badName !== undefined)
    return { ok: false, reason: `${badName} cannot be the name of an environment variable` };
  const words: (readonly [string, string])[] = [
    ["instance", spec.instance],
    ["about", `"instance":${JSON.stringify(spec.instance)}`],
    ["testbed", name],
    ["isolate", spec.isolate],
    ["uses-host", spec.usesHost ? "yes" : "no"],
    ["again", spec.isAgain ? "yes" : "no"],
    ["watched", spec.isOutputWatched ? "yes" : "no"],
    ...(elevation === undefined
      ? []
      : [["elevated", "yes"] as const, ["owner", String(elevation.uid)] as const]),
    ["expiry", String(spec.expirySeconds)],
    ["log-cap", String(Math.round(spec.logCapBytes))],
    ["testbed-json", spec.testbedJson],
    ["intent-json", spec.intentJson],
    ...spec.covered.map((path): [string, string] => ["cover", path]),
    ...spec.hidden.map((path): [string, string] => ["hide", path]),
    ...spec.kept.map((path): [string, string] => ["keep", path]),
    ...(spec.isExternal ? [["external", spec.agent[0] ?? ""] as const] : []),
    ...(spec.openFiles === null ? [] : [["open-files", String(spec.openFiles)] as const]),
    ...spec.bmat.map((word): [string, string] => ["bmat", word]),
    ...Object.entries(agentEnvironment(spec, elevation)).map(([key, value]): [string, string] => [
      "environment",
      `${key}=${value}`,
    ]),
    ...spec.agent.map((word): [string, string] => ["agent", word]),
  ];
  for (const [word, value] of [["directory", spec.directory] as const, ...words]) {
    if (/[\n\0]/.test(value)) {
      const what = word === "environment" ? value.slice(0, value.indexOf("=")) : `the ${word}`;
      // A variable's value may be a secret.
      const shown = word === "environment" ? "" : `: ${JSON.stringify(value)}`;
      return { ok: false, reason: `${what} contains a line break or a zero byte${shown}` };
    }
  }
  const lines = words.map(([word, value]) => `${word} ${value}\n`);
  return { ok: true, text: `${spec.cookie}\n${lines.join("")}end\n` };
}

function agentEnvironment(
  { directory, cookie, environment }: ArmSpec,
  elevation: Elevation | undefined,
): Record<string, string> {
  return {
    PATH: "/usr/bin:/bin:/usr/sbin:/sbin",
    ...(elevation === undefined ? { BUILDOMAT_NONROOT: "1" } : {}),
    ...environment,
    HOME: `${directory}/home`,
    BUILDOMAT_OPT: `${directory}/opt`,
    // As jobs see them: the instance's own, or the host's where nothing is isolated.
    BUILDOMAT_INPUT: "/input",
    BUILDOMAT_WORK: "/work",
    BUILDOMAT_FACTORY_COOKIE: cookie,
  };
}

export function goText({ worker, agentJson }: GoSpec): string {
  const lines = agentJson.split("\n").map((line) => ` ${line}\n`);
  return `worker ${JSON.stringify({ worker })}\n${lines.join("")}end\n`;
}

/** A testbed's name as part of a file name: no slash, no leading dot, no @, which ends it. */
export function lockName(testbed: string): string {
  const text = Buffer.from(testbed).toString("latin1");
  return text.replace(
    /[^A-Za-z0-9._-]|^\./g,
    (byte) => `%${byte.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
}

export function testbedOf(name: string): string {
  const text = name.replace(/%([0-9a-f]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return Buffer.from(text, "latin1").toString("utf8");
}
