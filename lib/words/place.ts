/** Where an instance's agent runs, and how it is reached. */

/** How an agent is reached. */
export type Way =
  | { way: "local" }
  | { way: "ssh"; ssh: SshHost }
  /** The URL of the service that controls the board; the agent runs on this host. */
  | { way: "sp-runner"; spRunnerUrl: string };

interface Located {
  /** Absolute, on its host. */
  directory: string;
  agent: "external" | "built-in";
}

/** Where and how an instance's agent runs. Recorded once, so that a changed configuration does not lose a running agent. */
export type Place = Located & Way;
export type SshPlace = Extract<Place, { way: "ssh" }>;

/** The Rust factory did not record where its agents run or how to reach them: `at` is our guess. */
export interface RustPlace extends Located {
  way: "rust";
  at: "local" | "ssh" | "sp-runner" | "unknown";
}

/** Arguments for the system's ssh. Null: the user's own ssh configuration decides. */
export interface SshAddress {
  host: string;
  user: string;
  port: number | null;
  key: string | null;
  /** Type and key; null: trust the first key seen. */
  hostKey: string | null;
}

/** An address, and what connecting to it showed: which user we are there, and which machine it is. */
export interface SshHost extends SshAddress {
  /** How agents become root there: by a program, or because `user` is root; null: they run as `user`. */
  elevation: "sudo" | "pfexec" | "root" | null;
  /** The uid of `user` there. */
  uid: number;
  /** The content of `testbed-id` in its work directory; missing or empty in rows of early versions. */
  machine?: string | undefined;
}

/** Whether both lead to the same service, or to the same user of the same machine. */
export function isSameWay(a: Way, b: Way): boolean {
  if (a.way === "sp-runner" && b.way === "sp-runner") return a.spRunnerUrl === b.spRunnerUrl;
  if (a.way !== "ssh" || b.way !== "ssh") return a.way === b.way;
  const keys = ["host", "user", "uid", "machine", "elevation"] as const;
  return keys.every((key) => a.ssh[key] === b.ssh[key]);
}

/** A name from what isSameWay() compares, and the port. Instances with the same name are checked by one command. */
export function farHostName({ host, user, port, uid, machine, elevation }: SshHost): string {
  return [host, user, port ?? "", uid, machine ?? "", elevation ?? ""].join(" ");
}
