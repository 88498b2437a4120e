/** What the far end of a line does about signs of life: how long it lives without one, and which it answers. */
import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { lineScript } from "../../../lib/hosts/ssh/connection.ts";
import { openRandom } from "../../../lib/doors/random.ts";
import { newMark } from "../../../lib/hosts/minder/marks.ts";
import { until } from "../../lab/until.ts";

/** What the processes with this in their environment sleep for. */
function sleepsOf(mark: string): string[] {
  return readdirSync("/proc").flatMap((pid) => {
    try {
      const [program, seconds = ""] = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
      const isOurs = readFileSync(`/proc/${pid}/environ`, "utf8").includes(mark);
      return isOurs && program === "sleep" ? [seconds] : [];
    } catch {
      return [];
    }
  });
}

// Their sleep is a program of its own.
test.each(["dash", "bash"])("in %s, four minutes, and again from each sign of life on", async (shell) => {
  const mark = newMark(openRandom());
  const env = { PATH: process.env["PATH"] ?? "", LINE: mark };
  const argv = [shell, "-c", lineScript, "sh", "f00d"];
  const far = Bun.spawn(argv, { env, stdin: "pipe", stdout: "ignore", stderr: "ignore" });
  const only = async (): Promise<string[]> =>
    await until("there is one sleep", () => {
      const sleeps = sleepsOf(mark);
      return sleeps.length === 1 ? sleeps : null;
    });
  expect(await only()).toEqual(["240"]);
  for (let sign = 1; sign <= 3; sign += 1) {
    void far.stdin.write("live\n");
    await far.stdin.flush();
  }
  expect(await only()).toEqual(["240"]);
  void far.stdin.end();
  await far.exited;
  await until("nothing of it is left", () => sleepsOf(mark).length === 0);
});

test("only each tenth tick is answered", async () => {
  const far = Bun.spawn(["sh", "-c", lineScript, "sh", "f00d"], { stdin: "pipe", stdout: "pipe" });
  void far.stdin.write("tick 9\ntick 10\ntick 11\ntick 101\n");
  void far.stdin.end();
  expect(await far.stdout.text()).toBe("f00d ready\nf00d tick 10\n");
  await far.exited;
});

test("a command that it runs ends by SIGHUP as usual", async () => {
  const argv = ["env", "--default-signal", "sh", "-c", lineScript, "sh", "f00d"];
  const far = Bun.spawn(argv, { stdin: "pipe", stdout: "pipe" });
  void far.stdin.write("run 1 3 0\nsh\n-c\nkill -HUP $$; echo still here\n");
  await far.stdin.flush();
  let said = "";
  for await (const part of far.stdout) {
    said += new TextDecoder().decode(part);
    if (/end out 1 \d+\n/.test(said) && /end err 1 \d+\n/.test(said)) break;
  }
  expect(said).toContain("exit 129\n");
  expect(said).not.toContain("still here");
  far.kill();
  await far.exited;
});
