/** Paths in a configuration file. */
import { posix } from "node:path";
import { showValue } from "./problems.ts";

/** Replaces `~` by `home` and removes `.`, `..` and a slash at the end. */
export function expandHome(path: string, home: string): string {
  const expanded = posix.normalize(path === "~" || path.startsWith("~/") ? home + path.slice(1) : path);
  return expanded === "/" ? expanded : expanded.replace(/\/+$/, "");
}

/** Of a command line: each word that begins with `~`. It is the home of the user who runs the agent, whose own HOME is the instance's. */
export function expandHomes(text: string, home: string): string {
  return text.replace(/(^|\s)~(?=\/|\s|$)/g, (_, before: string) => `${before}${home}`);
}

/** Whether a path is in /work or /input. Each instance has its own, so an agent cannot see the host's. */
export function isHiddenInInstance(path: string): boolean {
  return /^\/(?:work|input)(?:\/|$)/.test(posix.normalize(path));
}

/** What is wrong and how to fix it. */
export const hiddenDirectory = (path: string): [string, string] => [
  `${showValue(path)} cannot be used: each job has its own /work and /input`,
  "Choose a directory outside /work and /input",
];
