/**
 * `bun run test`: the tests, with progress and failures instead of each test's name, in one temporary directory that is removed
 * at the end. What was skipped is counted, with what to install. Leaving a file behind fails the run.
 */
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A short name: the path of a socket below it has at most 103 bytes. */
const own = mkdtempSync(join(tmpdir(), "t-"));
// The mode of /tmp, because some tests run as other users.
chmodSync(own, 0o1777);
const skippedName = ".skipped";
const skippedPath = join(own, skippedName);

const shared = new Set([tmpdir(), "/tmp"]);
const before = new Map([...shared].map((place) => [place, new Set(readdirSync(place))]));
const isCi = process.env["CI"] === "true";

// Ctrl+C reaches the tests too, and ends them. The rest of this script must still run.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => run.kill(signal));
// Concurrent tests start factories and agents: more at once would miss their deadlines on a slow machine.
const words = ["test", "--dots", "--max-concurrency=4", ...process.argv.slice(2)];
const run = Bun.spawn([process.execPath, ...words], {
  stdio: ["inherit", "inherit", "inherit"],
  env: { ...process.env, TMPDIR: own, SKIPPED_TESTS: skippedPath },
});
let code = await run.exited;

const counts = new Map<string, number>();
for (const line of existsSync(skippedPath) ? readFileSync(skippedPath, "utf8").split("\n") : []) {
  if (line !== "") counts.set(line, (counts.get(line) ?? 0) + 1);
}
for (const [need, count] of counts) {
  console.log(`skipped: ${count} ${count === 1 ? "test needs" : "tests need"} ${need}`);
}

const left = readdirSync(own)
  .filter((name) => name !== skippedName && !isOfBun(name))
  .map((name) => join("$TMPDIR", name));
// In another directory, another run of the tests may be at work.
if (isCi) for (const place of shared) left.push(...newIn(place));
if (left.length > 0) {
  console.log(`left behind by the tests: ${left.join(" ")}`);
  code ||= 1;
}
rmSync(own, { recursive: true, force: true });
process.exitCode = code;

function newIn(place: string): string[] {
  return readdirSync(place)
    .filter((name) => before.get(place)?.has(name) === false && join(place, name) !== own && isOurs(name))
    .map((name) => join(place, name));
}

/** What tests, agents and Bun make: a name with six random letters, a task's script, or a directory of Bun's. */
function isOurs(name: string): boolean {
  return /^(?:[a-z-]+-[A-Za-z0-9]{6}|[0-9a-f]{16}\.sh|bun-.*)$/.test(name);
}

/** Headers that Bun keeps in the temporary directory of a process that compiles C: here the one that runs the tests. */
function isOfBun(name: string): boolean {
  return /^bun-cc-\d+$/.test(name);
}
