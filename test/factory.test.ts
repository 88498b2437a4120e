/** The factory as a process, from queue to done and through what happens to it: with the stub of the real agent. */
import { Database } from "bun:sqlite";
import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildExecutable } from "../scripts/build.ts";
import { type FactoryProcess, type Lab, must, openLab } from "./lab/lab.ts";
import { until } from "./lab/until.ts";

setDefaultTimeout(60_000);

/** Ends the factory in good order: what runs is finished, and nothing may be left. */
async function drained(factory: FactoryProcess): Promise<void> {
  // One that has not come so far as to take signals would just be killed.
  await until("it is started", () => factory.log().some(({ message }) => message.includes("started on")));
  factory.kill("SIGUSR1");
  expect(await factory.exited).toBe(0);
}

async function workersLeft({ factoryApi }: Lab): Promise<number> {
  return must(await factoryApi.workers()).length;
}

/** A script that says where it runs, and then waits until the test lets it end. */
function waitFor({ directory }: Lab, name = "end"): string {
  return `echo started; while [ ! -e '${directory}/${name}' ]; do sleep 0.05; done; echo ended`;
}

function letEnd({ directory }: Lab, name = "end"): void {
  writeFileSync(join(directory, name), "");
}

test.concurrent("a queued job runs to its end, and its worker is deleted", async () => {
  await using it = await openLab();
  const factory = it.start();
  const id = await it.submit("echo hello from $BUILDOMAT_JOB_ID");
  expect((await it.ended(id)).state).toBe("completed");
  expect(await it.said(id, "stdout")).toEqual([`hello from ${id}`]);
  await until("the worker is deleted", async () => (await workersLeft(it)) === 0);
  await drained(factory);
});

test.concurrent("jobs queued behind one testbed run one after the other, each in a directory of its own", async () => {
  await using it = await openLab();
  const factory = it.start();
  const ids = await Promise.all([1, 2, 3].map((n) => it.submit(`ls /work; touch /work/${n}; echo job ${n}`)));
  for (const id of ids) expect((await it.ended(id)).state).toBe("completed");
  const said = await Promise.all(ids.map((id) => it.said(id, "stdout")));
  // Nothing of the job before is in /work.
  expect(said.map((lines) => lines.length)).toEqual([1, 1, 1]);
  await drained(factory);
});

test.concurrent("two testbeds of one host run at once, and each job has its own /work", async () => {
  await using it = await openLab({ testbeds: { "bed-1": [], "bed-2": [] } });
  const factory = it.start();
  const script = (word: string): string =>
    `echo ${word} > /work/x; ${waitFor(it)}; cat /work/x; echo "$(ls /work)"`;
  const ids = [await it.submit(script("one")), await it.submit(script("two"))];
  for (const id of ids) {
    await until("both run", async () => (await it.said(id, "stdout")).includes("started"));
  }
  letEnd(it);
  for (const id of ids) expect((await it.ended(id)).state).toBe("completed");
  expect(await it.said(ids[0] ?? "", "stdout")).toContain("one");
  expect(await it.said(ids[1] ?? "", "stdout")).toContain("two");
  await drained(factory);
});

test.concurrent("F21 a factory killed in mid-job takes the agent over when it is started again", async () => {
  await using it = await openLab();
  const killed = it.start();
  const id = await it.submit(waitFor(it));
  await until("it runs", async () => (await it.said(id, "stdout")).includes("started"));
  killed.kill("SIGKILL");
  await killed.exited;
  const calledBefore = it.proxy.calls.length;
  const factory = it.start();
  await until("it is watched again", () =>
    it.proxy.calls.slice(calledBefore).includes("GET /0/factory/workers"),
  );
  letEnd(it);
  expect((await it.ended(id)).state).toBe("completed");
  expect(await it.said(id, "stdout")).toEqual(["started", "ended"]);
  await drained(factory);
});

test.concurrent("an end that came while no factory ran is not missed", async () => {
  await using it = await openLab();
  const stopped = it.start();
  const id = await it.submit(waitFor(it));
  await until("it runs", async () => (await it.said(id, "stdout")).includes("started"));
  stopped.kill("SIGTERM");
  expect(await stopped.exited).toBe(0);
  expect(stopped.log().map(({ message }) => message)).toContain("SIGTERM: stopping; agents are left running");
  letEnd(it);
  expect((await it.ended(id)).state).toBe("completed");
  const factory = it.start();
  await until("the worker is deleted", async () => (await workersLeft(it)) === 0);
  await drained(factory);
});

test.concurrent("F30 a second factory on the same database exits 75 before it calls the server", async () => {
  await using it = await openLab();
  const factory = it.start();
  await until("the first has begun", () => it.proxy.calls.length > 0);
  await until("it is idle", () => it.proxy.calls.includes("POST /0/factory/lease"));
  factory.kill("SIGSTOP");
  const before = it.proxy.calls.length;
  expect(await it.start().exited).toBe(75);
  expect(it.proxy.calls.length).toBe(before);
  factory.kill("SIGCONT");
  await drained(factory);
});

test.concurrent("F31 a factory with another base does not take a testbed that is in use", async () => {
  await using it = await openLab();
  const factory = it.start();
  const id = await it.submit(waitFor(it));
  await until("it runs", async () => (await it.said(id, "stdout")).includes("started"));
  const base = join(it.directory, "other");
  it.configure({}, base);
  const other = it.start({ base });
  await until("the other sees it", () =>
    other.log().some(({ message }) => message.includes("in use elsewhere")),
  );
  other.kill("SIGTERM");
  await other.exited;
  letEnd(it);
  expect((await it.ended(id)).state).toBe("completed");
  await drained(factory);
});

test.concurrent("F17 a cancelled job's processes are gone and its testbed free, though its agent ignores the cancel", async () => {
  await using it = await openLab();
  const factory = it.start();
  const mark = join(it.directory, "daemon");
  const id = await it.submit(
    `(setsid sleep 1000 '${mark}' || setsid sh -c 'sleep 1000; : ${mark}') & ${waitFor(it)}`,
  );
  await until("it runs", async () => (await it.said(id, "stdout")).includes("started"));
  must(await it.user.cancel(id));
  expect((await it.ended(id)).cancelled).toBe(true);
  await until("the worker is deleted", async () => (await workersLeft(it)) === 0);
  expect(it.processes(mark)).toEqual([]);
  await drained(factory);
});

test.concurrent("F37 a daemon that a job leaves behind is gone when the testbed is free", async () => {
  await using it = await openLab();
  const factory = it.start();
  const mark = join(it.directory, "daemon");
  const id = await it.submit(
    `setsid nohup sh -c 'while :; do sleep 1; done; : ${mark}' >/dev/null 2>&1 & echo left`,
  );
  expect((await it.ended(id)).state).toBe("completed");
  await until("the worker is deleted", async () => (await workersLeft(it)) === 0);
  expect(it.processes(mark)).toEqual([]);
  await drained(factory);
});

test.concurrent("F18 a held worker is not touched; released, its testbed is freed", async () => {
  await using it = await openLab();
  const factory = it.start();
  const id = await it.submit(waitFor(it));
  await until("it runs", async () => (await it.said(id, "stdout")).includes("started"));
  const [worker] = must(await it.factoryApi.workers());
  must(await it.admin.holdWorker(worker?.id ?? "", "look at it"));
  letEnd(it);
  expect((await it.ended(id)).state).toBe("completed");
  const next = await it.submit("echo next");
  const listsBefore = it.proxy.calls.filter((call) => call === "GET /0/factory/workers").length;
  await until("the hold was seen twice", () => {
    return it.proxy.calls.filter((call) => call === "GET /0/factory/workers").length >= listsBefore + 2;
  });
  expect((await it.job(next)).state).toBe("queued");
  expect(it.processes(join(it.base, "work/bed-1_1")).length).toBeGreaterThan(0);
  must(await it.admin.releaseWorker(worker?.id ?? ""));
  expect((await it.ended(next)).state).toBe("completed");
  await drained(factory);
});

test.concurrent("F16 an agent whose worker an administrator recycled is stopped", async () => {
  await using it = await openLab();
  const factory = it.start();
  const id = await it.submit(waitFor(it));
  await until("it runs", async () => (await it.said(id, "stdout")).includes("started"));
  const [worker] = must(await it.factoryApi.workers());
  must(await it.admin.recycleWorker(worker?.id ?? ""));
  expect((await it.ended(id)).state).toBe("failed");
  await until("the worker is deleted", async () => (await workersLeft(it)) === 0);
  await drained(factory);
});

test.concurrent("F39 a job whose agent dies is failed with the reason and the agent's last words", async () => {
  await using it = await openLab({ agent: "/bin/false" });
  const agent = join(it.directory, "dying-agent");
  writeFileSync(agent, "#!/bin/sh\necho the board is on fire >&2\nexit 3\n", { mode: 0o755 });
  it.configure({ agent });
  const factory = it.start();
  const id = await it.submit("echo never");
  expect((await it.ended(id)).state).toBe("failed");
  const reason = (await it.said(id, "worker")).join("\n");
  expect(reason).toContain("the agent ended before the job did: exit code 3");
  expect(reason).toContain("the board is on fire");
  await until("the worker is deleted", async () => (await workersLeft(it)) === 0);
  await drained(factory);
});

test.concurrent("F40 an agent that never reaches the server is stopped after start_timeout, and the job's output says why", async () => {
  await using it = await openLab({ testbeds: { "bed-1": ['start_timeout = "1s"'] }, agent: "/bin/false" });
  const agent = join(it.directory, "sleeping-agent");
  writeFileSync(agent, "#!/bin/sh\nexec sleep 1000\n", { mode: 0o755 });
  it.configure({ testbeds: { "bed-1": ['start_timeout = "1s"'] }, agent });
  const factory = it.start();
  const id = await it.submit("echo never");
  expect((await it.ended(id)).state).toBe("failed");
  expect((await it.said(id, "worker")).join("\n")).toContain("start_timeout (1 s)");
  await drained(factory);
});

test.concurrent("F45 an agent that is missing is found before the server is asked for a worker: the job stays queued", async () => {
  await using it = await openLab({ agent: "/nonexistent/agent" });
  const factory = it.start();
  const id = await it.submit("echo never");
  await until("it is logged", () =>
    factory.log().some(({ message }) => message.includes("/nonexistent/agent")),
  );
  expect((await it.job(id)).state).toBe("queued");
  expect(it.proxy.calls).not.toContain("POST /0/factory/worker");
  expect(existsSync(join(it.base, "work/bed-1_1"))).toBe(false);
  await drained(factory);
});

test.concurrent("F03 a worker whose creation's answer is lost is found again: there is never a second one", async () => {
  await using it = await openLab();
  let lost = 0;
  it.proxy.fate = (call) => (call === "POST /0/factory/worker" && lost++ === 0 ? "lose answer" : "pass");
  const factory = it.start();
  const id = await it.submit("echo once");
  expect((await it.ended(id)).state).toBe("completed");
  expect(await it.said(id, "stdout")).toEqual(["once"]);
  const assigned = (await it.said(id, "control")).filter((line) => line.startsWith("job assigned"));
  expect(assigned.length).toBe(1);
  await drained(factory);
});

test.concurrent("F01 F02 a server that is away in mid-job fails no job, and is logged once", async () => {
  await using it = await openLab();
  const factory = it.start();
  const id = await it.submit(waitFor(it));
  await until("it runs", async () => (await it.said(id, "stdout")).includes("started"));
  it.proxy.fate = (call) => (call.includes("/0/factory/") ? "bad gateway" : "pass");
  const reports = (): number =>
    factory.log().filter(({ message }) => message.includes("does not answer")).length;
  await until("it is noticed", () => reports() > 0);
  letEnd(it);
  expect((await it.ended(id)).state).toBe("completed");
  const before = it.proxy.calls.length;
  await until("it was tried again", () => it.proxy.calls.length > before + 2);
  expect(await workersLeft(it)).toBe(1);
  it.proxy.fate = () => "pass";
  await until("the worker is deleted", async () => (await workersLeft(it)) === 0);
  expect(reports()).toBe(1);
  await drained(factory);
});

test.concurrent("F09 a token that the server refuses stops leasing and nothing else", async () => {
  await using it = await openLab();
  const config = join(it.base, "config.toml");
  writeFileSync(config, readFileSync(config, "utf8").replace(it.factoryToken, "not-the-factorys-token"));
  const factory = it.start();
  await until("it is logged", () =>
    factory.log().some(({ message }) => message.includes("refuses the factory's token")),
  );
  expect(it.proxy.calls).not.toContain("POST /0/factory/lease");
  factory.kill("SIGTERM");
  expect(await factory.exited).toBe(0);
  // No agent runs.
  expect(factory.log().map(({ message }) => message)).toContain("SIGTERM: stopping");
});

test.concurrent("F15 a worker of ours without an instance is deleted, not at once", async () => {
  await using it = await openLab();
  const worker = must(await it.factoryApi.createWorker(it.targetId, null));
  const factory = it.start();
  await until("it is deleted", async () => must(await it.factoryApi.worker(worker.id)) === null);
  const lists = it.proxy.calls.indexOf(`DELETE /0/factory/worker/${worker.id}`);
  expect(
    it.proxy.calls.slice(0, lists).filter((call) => call === "GET /0/factory/workers").length,
  ).toBeGreaterThan(1);
  await drained(factory);
});

test.concurrent("F62 a testbed that is no longer configured finishes its job and is freed", async () => {
  await using it = await openLab();
  const stopped = it.start();
  const id = await it.submit(waitFor(it));
  await until("it runs", async () => (await it.said(id, "stdout")).includes("started"));
  stopped.kill("SIGTERM");
  await stopped.exited;
  it.configure({ testbeds: { "bed-2": [] } });
  const factory = it.start();
  letEnd(it);
  expect((await it.ended(id)).state).toBe("completed");
  await until("the worker is deleted", async () => (await workersLeft(it)) === 0);
  await drained(factory);
});

test.concurrent("F26 with its database lost, the factory finds the running agent again and never starts a second one", async () => {
  await using it = await openLab();
  const killed = it.start();
  const id = await it.submit(waitFor(it));
  await until("it runs", async () => (await it.said(id, "stdout")).includes("started"));
  killed.kill("SIGKILL");
  await killed.exited;
  for (const end of ["", "-wal", "-shm", ".lock"])
    rmSync(join(it.base, `data.sqlite3${end}`), { force: true });
  const factory = it.start();
  await until("it is taken over", () => factory.log().some(({ message }) => message.includes("taken over")));
  const next = await it.submit("echo next");
  letEnd(it);
  expect((await it.ended(id)).state).toBe("completed");
  expect((await it.ended(next)).state).toBe("completed");
  // The next instance has a seq of its own.
  expect(it.instanceFile("bed-1_2", "agent.log")).not.toBeNull();
  await drained(factory);
});

test.concurrent("workers that are born held are not run until they are released", async () => {
  await using it = await openLab();
  must(await it.admin.enableFactory(it.factoryId, true));
  const factory = it.start();
  const id = await it.submit("echo at last");
  const worker = await until("there is a worker", async () => must(await it.factoryApi.workers())[0]);
  await until("its hold was seen", () => it.proxy.calls.includes(`GET /0/factory/worker/${worker.id}`));
  expect(await it.said(id, "stdout")).toEqual([]);
  must(await it.admin.releaseWorker(worker.id));
  expect((await it.ended(id)).state).toBe("completed");
  await drained(factory);
});

test.concurrent("general.bind_job = false: the server assigns the job once the agent is there", async () => {
  await using it = await openLab({ general: ["bind_job = false"] });
  const factory = it.start();
  const id = await it.submit("echo unbound");
  expect((await it.ended(id)).state).toBe("completed");
  await drained(factory);
});

test.concurrent("a testbed whose check fails takes no job", async () => {
  await using it = await openLab();
  const ready = join(it.directory, "ready");
  it.configure({ testbeds: { "bed-1": [`check = "test -e '${ready}'"`] } });
  const factory = it.start();
  const id = await it.submit("echo checked");
  await until("it is logged", () =>
    factory.log().some(({ message }) => message.includes("until its check succeeds")),
  );
  expect(it.proxy.calls).not.toContain("POST /0/factory/lease");
  writeFileSync(ready, "");
  expect((await it.ended(id)).state).toBe("completed");
  await drained(factory);
});

test.concurrent("the factory and its jobs run as a user who is not root", async () => {
  await using it = await openLab({ uid: 12345, agent: "builtin" });
  const factory = it.start();
  const id = await it.submit("id -u; ls /work /input | wc -l; touch /work/mine && echo written");
  const job = await it.ended(id);
  const user = process.getuid?.() === 0 ? 12345 : process.getuid?.();
  expect(await it.said(id, "stdout")).toContain(`${user}`);
  expect(await it.said(id, "stdout")).toContain("written");
  expect(job.state).toBe("completed");
  await drained(factory);
});

test.concurrent("the built-in agent leaves nothing in the temporary directory, nor what keeps it so in a job's environment", async () => {
  await using it = await openLab({ agent: "builtin" });
  const factory = it.start();
  const id = await it.submit("bmat store put a b; ls -A /tmp | grep bun; env | grep -i tmpdir; echo over");
  expect((await it.ended(id)).state).toBe("completed");
  expect(await it.said(id, "stdout")).toEqual(["over"]);
  await drained(factory);
});

test.concurrent("the built-in agent describes the testbed to the job, and has a bmat on the PATH that needs no environment", async () => {
  await using it = await openLab({ agent: "builtin", testbeds: { "bed-1": ['baseline = "v17"'] } });
  const factory = it.start();
  const id = await it.submit(
    'echo "$SP_TESTBED $SP_TYPE $SP_TARGET $SP_RUNNER $SP_BASELINE"; cat "$HOME/testbed.json"; env -i "$(command -v bmat)" factory private',
  );
  expect((await it.ended(id)).state).toBe("completed");
  const [line, json, place] = await it.said(id, "stdout");
  expect(line).toBe("bed-1 grapefruit sp-test sp-runner v17");
  expect(JSON.parse(json ?? "")).toEqual({
    testbed: "bed-1",
    sp_type: "grapefruit",
    target: "sp-test",
    sp_runner: "sp-runner",
    sp_runner_config: `${it.base}/Oxide/ci/config.toml`,
    baseline: "v17",
  });
  expect(place).toBe("bed-1/1");
  await drained(factory);
});

test.concurrent("the built-in agent runs as an external one", async () => {
  await using it = await openLab();
  const executable = join(it.directory, "executable");
  await buildExecutable({ entry: join(import.meta.dir, "../factory.ts"), executable });
  const agent = join(it.directory, "external-agent");
  writeFileSync(agent, `#!/bin/sh\nexec '${executable}' agent "$@"\n`, { mode: 0o755 });
  it.configure({ agent });
  const factory = it.start();
  const id = await it.submit("echo hello > /work/out; echo said", { rules: ["=/work/out"] });
  expect((await it.ended(id)).state).toBe("completed");
  expect(must(await it.user.outputs(id)).map(({ path, size }) => [path, size])).toEqual([["/work/out", 6]]);
  await drained(factory);
});

test.concurrent("F10 F11 a list that lacks a running worker, twice and 10 s apart, ends nothing while the worker itself is there", async () => {
  await using it = await openLab();
  const factory = it.start();
  const id = await it.submit(waitFor(it));
  await until("it runs", async () => (await it.said(id, "stdout")).includes("started"));
  let emptyLists = 0;
  it.proxy.fate = (call) => {
    if (call !== "GET /0/factory/workers") return "pass";
    emptyLists += 1;
    return "empty list";
  };
  // The first is missing, the one 10 s later gone: then the worker is read, and read again.
  const readsBefore = it.proxy.calls.filter((call) => call.startsWith("GET /0/factory/worker/")).length;
  await until("the worker was read", () => {
    return it.proxy.calls.filter((call) => call.startsWith("GET /0/factory/worker/")).length > readsBefore;
  });
  expect(emptyLists).toBeGreaterThan(1);
  it.proxy.fate = () => "pass";
  letEnd(it);
  expect((await it.ended(id)).state).toBe("completed");
  await drained(factory);
});

test.concurrent("F18 a worker that was held while its end was under way and no factory ran is not touched", async () => {
  await using it = await openLab({ testbeds: { "bed-1": ['job_timeout = "2s"'] } });
  it.proxy.fate = (call) =>
    call.endsWith("/append") && call.includes("/0/factory/") ? "bad gateway" : "pass";
  const killed = it.start();
  const id = await it.submit(waitFor(it));
  await until("its end is decided, and its owner cannot be informed", () =>
    it.proxy.calls.some((call) => call.startsWith("POST /0/factory/worker/") && call.endsWith("/append")),
  );
  killed.kill("SIGKILL");
  await killed.exited;
  const [worker] = must(await it.factoryApi.workers());
  must(await it.admin.holdWorker(worker?.id ?? "", "look at it"));
  it.proxy.fate = () => "pass";
  const seen = it.proxy.calls.length;
  const factory = it.start();
  await until("the hold was seen by two lists", () => {
    return it.proxy.calls.slice(seen).filter((call) => call === "GET /0/factory/workers").length >= 2;
  });
  expect(it.processes(join(it.base, "work/bed-1_1")).length).toBeGreaterThan(0);
  must(await it.admin.releaseWorker(worker?.id ?? ""));
  expect((await it.ended(id)).state).toBe("failed");
  expect((await it.said(id, "worker")).join("\n")).toContain("job_timeout (2 s)");
  await drained(factory);
});

test.concurrent("what a job left read-only does not keep the testbed from the next job", async () => {
  await using it = await openLab({ uid: 12345, agent: "builtin" });
  const factory = it.start();
  const first = await it.submit(
    'mkdir -p "$HOME/go/mod" && touch "$HOME/go/mod/x" && chmod -R a-w "$HOME/go"',
  );
  const second = await it.submit("echo next");
  expect((await it.ended(first)).state).toBe("completed");
  expect((await it.ended(second)).state).toBe("completed");
  await until("it is gone", () => !existsSync(join(it.base, "work/bed-1_1/home")));
  await drained(factory);
});

test.concurrent("general.keep: directories of ended instances go when they are too large, and their numbers are not used again", async () => {
  await using it = await openLab();
  const first = it.start();
  expect((await it.ended(await it.submit("echo kept"))).state).toBe("completed");
  await drained(first);
  expect(it.instanceFile("bed-1_1", "agent.log")).not.toBeNull();
  it.configure({ general: ['keep = { days = 14, size = "1B" }'] });
  const second = it.start();
  await until("it is removed", () => !existsSync(join(it.base, "work/bed-1_1")));
  // Its number is not used again.
  expect((await it.ended(await it.submit("echo next"))).state).toBe("completed");
  expect(it.instanceFile("bed-1_2", "agent.log")).not.toBeNull();
  await drained(second);
});

test.concurrent("F71 F72 the factory's token is in no argument, no log and no job's environment", async () => {
  await using it = await openLab();
  const factory = it.start();
  const id = await it.submit(
    `env; cat /proc/*/cmdline /proc/*/environ 2>/dev/null | tr '\\0' '\\n'; ${waitFor(it)}`,
  );
  await until("it runs", async () => (await it.said(id, "stdout")).includes("started"));
  expect(it.processes(it.factoryToken)).toEqual([]);
  letEnd(it);
  await it.ended(id);
  expect((await it.said(id)).join("\n")).not.toContain(it.factoryToken);
  await drained(factory);
  expect(JSON.stringify(factory.log())).not.toContain(it.factoryToken);
});

test.concurrent("F95 while another program holds the database, the factory goes on with the server, and then ends the job", async () => {
  await using it = await openLab();
  const factory = it.start();
  const id = await it.submit(waitFor(it));
  await until("it runs", async () => (await it.said(id, "stdout")).includes("started"));
  const other = new Database(join(it.base, "data.sqlite3"));
  await until("the file is ours", () => {
    try {
      other.run("BEGIN IMMEDIATE");
      return true;
    } catch {
      return false;
    }
  });
  letEnd(it);
  expect((await it.ended(id)).state).toBe("completed");
  const next = await it.submit("echo next");
  await until("it is logged", () =>
    factory.log().some(({ message }) => message.includes("cannot write the database")),
  );
  const before = it.proxy.calls.length;
  const lists = (): number =>
    it.proxy.calls.slice(before).filter((call) => call === "GET /0/factory/workers").length;
  await until("the list was read three times", () => lists() >= 3);
  expect(await workersLeft(it)).toBe(1);
  other.run("ROLLBACK");
  other.close();
  expect((await it.ended(next)).state).toBe("completed");
  await drained(factory);
});

test.concurrent("isolation off: without a /work and an /input of the host, preflight says so and the job stays", async () => {
  await using it = await openLab({ general: ['isolate = "off"'] });
  const factory = it.start();
  const id = await it.submit("echo hello");
  const has = existsSync("/work") && existsSync("/input");
  if (has) {
    expect((await it.ended(id)).state).toBe("completed");
  } else {
    await until("it is logged", () =>
      factory.log().some(({ message }) => message.includes("without isolation jobs use this host's")),
    );
    expect((await it.job(id)).state).toBe("queued");
  }
  await drained(factory);
});

test.concurrent("a work directory that is a symbolic link is refused, and the job stays in the queue", async () => {
  await using it = await openLab();
  const real = join(it.directory, "elsewhere");
  Bun.spawnSync(["mkdir", "-p", real]);
  Bun.spawnSync(["ln", "-s", real, join(it.base, "work")]);
  const factory = it.start();
  const id = await it.submit("echo never");
  const outcome = await until("it is logged", async () => {
    if (factory.log().some(({ message }) => message.includes("symbolic link"))) return "logged";
    const over = await Promise.race([factory.exited, Bun.sleep(0)]);
    return over === undefined ? null : "ended";
  });
  expect(outcome).toBe("logged");
  expect((await it.job(id)).state).toBe("queued");
  factory.kill("SIGTERM");
  await factory.exited;
  renameSync(join(it.base, "work"), join(it.base, "was-work"));
});
