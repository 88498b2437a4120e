/** Paths as a configuration names them. */
import { posix } from "node:path";
import { showValue } from "./problems.ts";

/** With `~` as `home`; without `.`, `..` or a slash at the end. */
export function expandHome(path: string, home: string): string {
  const expanded = posix.normalize(path === "~" || path.startsWith("~/") ? home + path.slice(1) : path);
  return expanded === "/" ? expanded : expanded.replace(/\/+$/, "");
}

/** Whether a path is at or under a directory that is a job's own inside an instance: what is there, an agent cannot see. */
export function isHiddenInInstance(path: string): boolean {
  return /^\/(?:work|input)(?:\/|$)/.test(posix.normalize(path));
}

/** What is wrong and how to mend it. */
export const hiddenDirectory = (path: string): [string, string] => [
  `${showValue(path)} cannot be seen from inside an instance, which has a /work and /input of its own`,
  "Choose a directory that is neither at nor under /work or /input",
];
