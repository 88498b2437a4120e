/** `clear TESTBED` with and without a running factory, and for states that nothing else ends. */
import { Database } from "bun:sqlite";
import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { clearedBy } from "../../../lib/daemon/operator-clear.ts";
import type { Phase } from "../../../lib/words/domain.ts";
import { openClock } from "../../../lib/doors/clock.ts";
import { type FactoryProcess, type Lab, must, openLab, type StartOptions } from "../../lab/lab.ts";
import { instanceOf } from "../../policy/scenes.ts";
import { openSession } from "../../lab/pty.ts";
import { until } from "../../lab/until.ts";

setDefaultTimeout(60_000);

const because = "the board was moved to another bench";
const reason = `an operator cleared the testbed: ${because}`;
const inContainer = { prefix: ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"] };

async function clear(lab: Lab, args: string[], options: StartOptions = {}): Promise<[number, string]> {
  const command = lab.start({ ...options, command: ["clear", "bed-1"], args });
  const said = await command.stdout();
  return [await command.exited, said];
}

/** A line of what the last command of the lab wrote to standard error: the message, then its hint. */
function complaint({ directory }: Lab, line = 0): string {
  const logs = readdirSync(directory).filter((name) => /^factory-\d+\.log$/.test(name));
  return readFileSync(join(directory, `factory-${logs.length - 1}.log`), "utf8").split("\n")[line] ?? "";
}

async function drained(factory: FactoryProcess): Promise<void> {
  factory.kill("SIGUSR1");
  expect(await factory.exited).toBe(0);
}

async function startJob(lab: Lab): Promise<string> {
  const id = await lab.submit("echo begun; sleep 1000");
  await until("it runs", async () => (await lab.said(id, "stdout")).includes("begun"));
  return id;
}

async function runsNext(lab: Lab): Promise<void> {
  expect((await lab.ended(await lab.submit("echo next"))).state).toBe("completed");
}

test.each<[Phase, Phase, boolean]>([
  ["preparing", "destroying", true],
  ["creating", "destroying", true],
  ["created", "destroying", true],
  ["starting", "destroying", true],
  ["running", "destroying", true],
  ["destroying", "destroying", false],
  ["stopped", "stopped", false],
])(
  "clearedBy() ends an instance that is %s, and informs its job's owner why unless its end was decided",
  (phase, next, isTold) => {
    const instance = instanceOf({ phase });
    const ended = {
      phase: next,
      endReason: reason,
      endCause: "cleared" as const,
      untold: isTold ? reason : null,
    };
    expect(clearedBy(instance, because)).toEqual({ ...ended, isCleared: true });
    expect(clearedBy({ ...instance, endReason: "why" }, because).endReason).toBe("why");
  },
);

test.concurrent("while no factory runs the word is recorded, and the next start ends what is alive", async () => {
  await using it = await openLab();
  const factory = it.start();
  const id = await startJob(it);
  factory.kill("SIGTERM");
  expect(await factory.exited).toBe(0);
  expect(await clear(it, ["--yes"])).toEqual([2, ""]);
  expect(complaint(it)).toBe("Cannot clear bed-1: --because TEXT is missing");
  expect((await clear(it, ["--because", because]))[0]).toBe(2);
  expect(complaint(it)).toBe("Cannot clear bed-1 without --yes: there is no terminal to ask at");
  expect(complaint(it, 1)).toContain("count it as ended if its host can no longer be asked");
  const [code, said] = await clear(it, ["--yes", "--because", because]);
  expect(code).toBe(0);
  expect(said).toMatch(
    /^bed-1\/1: running, job \w{26}\n {2}processes +this host was searched: some are alive, and will be stopped first\n {2}worker +\w{26} is on the server; its agent has been online\nbed-1\/1: what is left of it is stopped, .*\nno factory is running: /,
  );
  expect((await it.job(id)).state).toBe("running");
  const again = it.start();
  expect((await it.ended(id)).state).toBe("failed");
  expect((await it.said(id, "worker")).join()).toContain(reason);
  await runsNext(it);
  expect(it.processes(join(it.base, "work/bed-1_1"))).toEqual([]);
  await drained(again);
});

test.concurrent("a running factory obeys the word and answers", async () => {
  await using it = await openLab();
  const factory = it.start();
  // What keeps jobs from a board may be known to that process alone.
  await until("it answers", async () => (await clear(it, []))[1] === "bed-1 can take the next job\n");
  const id = await startJob(it);
  const [code, said] = await clear(it, ["--yes", "--because", because]);
  expect([code, said.trim().split("\n").at(-1)]).toEqual([
    0,
    "bed-1/1: what is left of it is stopped, its worker is deleted, and then the testbed is free",
  ]);
  expect((await it.ended(id)).state).toBe("failed");
  expect((await it.said(id, "worker")).join()).toContain(reason);
  await runsNext(it);
  await drained(factory);
  expect(await clear(it, [])).toEqual([0, "bed-1 has nothing to clear\n"]);
});

test.concurrent("an instance whose worker is held on the server is not touched, whether a factory runs or not", async () => {
  await using it = await openLab();
  const factory = it.start();
  const id = await startJob(it);
  const [worker] = must(await it.factoryApi.workers());
  must(await it.admin.holdWorker(worker?.id ?? "", "looked at"));
  const refused = `bed-1/1: its worker ${worker?.id} is held on the server: nothing is touched until an administrator releases it there`;
  const isRefused = async (): Promise<void> => {
    const [code, said] = await clear(it, ["--yes", "--because", because]);
    expect([code, said.trim().split("\n").at(-1)]).toEqual([1, refused]);
  };
  await isRefused();
  factory.kill("SIGTERM");
  await factory.exited;
  await isRefused();
  expect((await it.job(id)).state).toBe("running");
  expect(it.processes(join(it.base, "work/bed-1_1"))).not.toEqual([]);
  must(await it.admin.releaseWorker(worker?.id ?? ""));
  expect((await clear(it, ["--yes", "--because", because]))[0]).toBe(0);
  const again = it.start();
  await runsNext(it);
  await drained(again);
});

test.concurrent("at a terminal it asks, and changes something only after a yes", async () => {
  await using it = await openLab();
  const factory = it.start();
  const id = await startJob(it);
  const program = [process.execPath, join(import.meta.dir, "../../../factory.ts"), "clear", "bed-1"];
  const env = {
    PATH: process.env["PATH"] ?? "",
    HOME: it.base,
    FACTORY_LOCK_DIR: join(it.directory, "locks"),
  };
  const ask = async (answer: string): Promise<[number, string | undefined]> => {
    const words = ["--because", because, "--base-dir", it.base];
    const session = openSession([...program, ...words], { cwd: "/", env });
    await session.answer(
      "End this, and count it as ended if its host can no longer be asked? [y/N] ",
      `${answer}\r`,
    );
    return [await session.exited, session.shown().trim().split("\n").at(-1)];
  };
  expect(await ask("")).toEqual([1, "Nothing was changed"]);
  expect((await it.job(id)).state).toBe("running");
  expect((await ask("y"))[0]).toBe(0);
  expect((await it.ended(id)).state).toBe("failed");
  await drained(factory);
});

// Alone: three containers and three agents start one after the other.
test.skipIf(process.getuid?.() !== 0)(
  "F91 clear ends an instance of a container that was restarted, and frees its lock",
  async () => {
    await using it = await openLab();
    const factory = it.start(inContainer);
    const id = await startJob(it);
    factory.kill("SIGKILL");
    await factory.exited;
    await until(
      "all of the container is gone",
      () => it.processes(join(it.base, "work/bed-1_1")).length === 0,
    );
    const second = it.start(inContainer);
    await until("it cannot tell", () =>
      second.log().some(({ message }) => message.includes("clear bed-1 --because TEXT")),
    );
    expect((await clear(it, ["--because", because], inContainer))[0]).toBe(2);
    expect(complaint(it, 1)).toContain("vouch that nothing of it is left running");
    const [code, said] = await clear(it, ["--yes", "--because", because], inContainer);
    expect(said).toContain("processes   this host: cannot tell: ");
    expect(code).toBe(0);
    expect((await it.ended(id)).state).toBe("failed");
    expect((await it.said(id, "worker")).join()).toContain(reason);
    await runsNext(it);
    expect(existsSync(join(it.base, "work/bed-1_1/opt/etc/agent.json"))).toBe(false);
  },
);

test.concurrent("an instance whose worker belongs to another factory account is cleared, and its worker is left alone", async () => {
  await using it = await openLab();
  const factory = it.start();
  await startJob(it);
  factory.kill("SIGTERM");
  await factory.exited;
  const path = join(it.base, "config.toml");
  const { token } = must(await it.admin.createFactory("another"));
  writeFileSync(path, readFileSync(path, "utf8").replace(it.factoryToken, token));
  const second = it.start();
  const [code, said] = await clear(it, ["--yes", "--because", because]);
  expect(code).toBe(0);
  expect(said).toContain("belongs to another factory account, and will be left alone");
  await runsNext(it);
  expect(must(await it.factoryApi.workers())).toHaveLength(1);
  await drained(second);
});

test.concurrent("a quarantine is lifted without a question, whether a factory runs or not", async () => {
  await using it = await openLab();
  const first = it.start();
  await runsNext(it);
  await drained(first);
  const clock = openClock();
  const retryAt = JSON.stringify({ bootId: clock.bootId, uptimeMs: clock.uptimeMs() + 600_000 });
  const quarantine = (): void => {
    const database = new Database(join(it.base, "data.sqlite3"));
    database.run("INSERT INTO factory_health VALUES ('bed-1', 6, ?, 'no power')", [retryAt]);
    database.close();
  };
  quarantine();
  expect(await clear(it, [])).toEqual([
    0,
    "bed-1 can take the next job\nno factory is running: this holds from the next start on\n",
  ]);
  quarantine();
  const factory = it.start();
  const id = await it.submit("echo lifted");
  await until("it runs", () => factory.log().some(({ message }) => message.includes("started on")));
  expect((await it.job(id)).state).toBe("queued");
  expect(await clear(it, [])).toEqual([0, "bed-1 can take the next job\n"]);
  expect((await it.ended(id)).state).toBe("completed");
  await drained(factory);
});
