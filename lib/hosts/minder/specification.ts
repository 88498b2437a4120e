/**
 * What a minder needs to know, and its form on the script's standard input: one `word value` on each line, so that a value is
 * never part of a command. A value with a line break is refused.
 */
export interface ArmSpec {
  /** `testbed/seq`. */
  instance: string;
  /** The testbed whose lock is taken; any text of at most 80 bytes. */
  testbed: string;
  /** 32 random hex digits, never used before. They prove that a process belongs to this instance. */
  cookie: string;
  /** Absolute, `<work>/<testbed>_<seq>`. A missing parent is created. */
  directory: string;
  /** The agent's command, with the program as an absolute path: `[agent, "run"]`. */
  agent: string[];
  /** The command of `bin/bmat`: one path becomes a symbolic link, more words a small script. */
  bmat: string[];
  /** The agent is not the built-in one. If it is from buildomat's main line, it is refused where it would not find its files. */
  isExternal: boolean;
  /** The agent's soft limit on open files; null: the same as the minder's. */
  openFiles: number | null;
  /**
   * Added to the agent's environment, which otherwise has only HOME, PATH, BUILDOMAT_OPT, BUILDOMAT_INPUT,
   * BUILDOMAT_WORK, BUILDOMAT_NONROOT unless it is elevated, and the cookie.
   */
  environment: Record<string, string>;
  /**
   * `off`: no namespaces. The instance uses the host's own /work and /input, and a host runs only one such instance at a time.
   * `auto`: the same, but only if namespaces are refused.
   */
  isolate: "auto" | "off";
  /** False: without isolation it does not use the host's /work and /input, and can run beside other instances. */
  usesHost: boolean;
  /** Start an agent again in the same directory: the earlier one is proved gone, and its job is not over. */
  isAgain: boolean;
  /** `look` reports whether the job prints. */
  isOutputWatched: boolean;
  /**
   * Absolute paths. An isolated job does not see the `covered` directories, the `hidden` files or files whose names begin with
   * a hidden one's. It still sees `kept` paths, the instance's own directory, the agent and bmat. The work directory and /tmp
   * are always covered.
   */
  covered: string[];
  hidden: string[];
  kept: string[];
  /** Without a go signal within this time, the minder unlocks, cleans up and exits. */
  expirySeconds: number;
  /** `look` cuts agent.log to about this size. */
  logCapBytes: number;
  /** One line for `$HOME/testbed.json`, which the job reads. */
  testbedJson: string;
  /** One line, kept in the instance directory so that a lost database can be rebuilt (`recall`). */
  intentJson: string;
}

export interface GoSpec {
  directory: string;
  /** The worker's id, kept beside the intent. */
  worker: string;
  /** Content of `etc/agent.json`. It is passed only by standard input. */
  agentJson: string;
}

/** The transport runs as root; the agents' files belong to this user. */
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
    // The paths in a job: the instance's own, or the host's without isolation.
    BUILDOMAT_INPUT: "/input",
    BUILDOMAT_WORK: "/work",
    BUILDOMAT_FACTORY_COOKIE: cookie,
  };
}

export function goText({ worker, agentJson }: GoSpec): string {
  const lines = agentJson.split("\n").map((line) => ` ${line}\n`);
  return `worker ${JSON.stringify({ worker })}\n${lines.join("")}end\n`;
}

/** A testbed's name as part of a file name: without a slash, a leading dot or @, which ends it. */
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
