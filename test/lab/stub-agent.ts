/**
 * A stand-in for the real agent, in nonroot mode, with its bad habits: it never exits, does not see that its job was
 * cancelled or its worker deleted, repeats every call for ever, and dies of TERM without ending its task. Started as
 * `stub-agent run`. It leaves out what tests of the factory do not need: inputs, bmat, its control socket.
 *
 * Misbehaviour, by environment:
 * - STUB_AGENT_EXIT=N         exits with N at once
 * - STUB_AGENT_EXIT_IN_JOB=N  exits with N once it has taken a job
 * - STUB_AGENT_SILENT=1       never bootstraps
 * - STUB_AGENT_FLOOD=N        prints N bytes, in lines, before anything else
 * - STUB_AGENT_IGNORE_TERM=1  ignores TERM
 */
import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";

interface Job {
  id: string;
  name: string;
  tasks: {
    id: number;
    name: string;
    script: string;
    env_clear: boolean;
    env: Record<string, string>;
    workdir: string;
  }[];
  output_rules: { rule: string }[];
}

const { env } = process;
const base = env["BUILDOMAT_OPT"] ?? "/opt/buildomat";
const jobPath = `${base}/etc/job.json`;
const donePath = `${base}/etc/job-done.json`;

if (process.argv[2] !== "run") {
  console.log("ERROR: choose a command");
  process.exit(1);
}
if (env["STUB_AGENT_EXIT"] !== undefined) process.exit(Number(env["STUB_AGENT_EXIT"]));
if (env["STUB_AGENT_IGNORE_TERM"] === "1") process.on("SIGTERM", () => undefined);
if (env["STUB_AGENT_FLOOD"] !== undefined) printFlood(Number(env["STUB_AGENT_FLOOD"]));
if (env["STUB_AGENT_SILENT"] === "1") await new Promise((resolve) => setTimeout(resolve, 2 ** 31 - 1));

const { baseurl, bootstrap, token } = JSON.parse(readFileSync(`${base}/etc/agent.json`, "utf8")) as Record<
  "baseurl" | "bootstrap" | "token",
  string
>;

function printFlood(bytes: number): void {
  const line = Buffer.from(`${"x".repeat(99)}\n`);
  for (let printed = 0; printed < bytes; printed += line.length) writeSync(1, line);
}

function log(message: string): void {
  console.log(JSON.stringify({ msg: message, time: new Date().toISOString() }));
}

/** Whatever the server says, until it says yes. */
async function call(method: string, path: string, body?: unknown): Promise<unknown> {
  for (;;) {
    try {
      const reply = await fetch(`${baseurl}${path}`, {
        method,
        headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
        ...(body === undefined
          ? {}
          : { body: body instanceof Uint8Array ? (body as Uint8Array<ArrayBuffer>) : JSON.stringify(body) }),
      });
      const text = await reply.text();
      if (reply.ok) return text === "" ? null : JSON.parse(text);
      log(`${method} ${path}: ${reply.status} ${text}`);
    } catch (error) {
      log(`${method} ${path}: ${String(error)}`);
    }
    await Bun.sleep(1000);
  }
}

async function playJob(ping: { job: Job }): Promise<void> {
  const { job } = ping;
  const file = openSync(jobPath, "wx");
  writeSync(file, JSON.stringify(ping, null, 2));
  fsyncSync(file);
  closeSync(file);
  if (env["STUB_AGENT_EXIT_IN_JOB"] !== undefined) process.exit(Number(env["STUB_AGENT_EXIT_IN_JOB"]));
  let isGood = true;
  for (const task of job.tasks) {
    isGood = await runTask(job, task);
    await call("POST", `/0/worker/job/${job.id}/task/${task.id}/complete`, { failed: !isGood });
    if (!isGood) break;
  }
  await uploadOutputs(job);
  await call("POST", `/0/worker/job/${job.id}/complete`, { failed: !isGood });
  renameSync(jobPath, donePath);
}

async function append(job: Job, stream: string, payloads: string[], task?: number): Promise<void> {
  const time = new Date().toISOString();
  for (let start = 0; start < payloads.length; start += 100) {
    const batch = payloads.slice(start, start + 100).map((payload) => ({ stream, time, payload, task }));
    await call("POST", `/1/worker/job/${job.id}/append`, batch);
  }
}

async function runTask(job: Job, task: Job["tasks"][number]): Promise<boolean> {
  await append(job, "task", [`starting task ${task.id}: "${task.name}"`], task.id);
  const script = `${env["HOME"]}/${crypto.randomUUID().replaceAll("-", "").slice(0, 16)}.sh`;
  await Bun.write(script, task.script.endsWith("\n") ? task.script : `${task.script}\n`);
  const startedMs = performance.now();
  const ours = {
    HOME: env["HOME"] ?? "/tmp",
    USER: env["USER"] ?? "nobody",
    LOGNAME: env["USER"] ?? "nobody",
    TZ: "UTC",
    PATH: "/usr/bin:/bin:/usr/sbin:/sbin:/opt/ooce/bin:/opt/ooce/sbin",
    LANG: "en_US.UTF-8",
    LC_ALL: "en_US.UTF-8",
    BUILDOMAT_JOB_ID: job.id,
    BUILDOMAT_TASK_ID: String(task.id),
  };
  let child: Bun.ReadableSubprocess;
  try {
    child = Bun.spawn(["/bin/bash", script], {
      cwd: task.workdir,
      env: task.env_clear ? task.env : { ...ours, ...task.env },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
  } catch {
    await append(job, "agent", ["ERROR: exec: No such file or directory (os error 2)"]);
    return true;
  }
  await Promise.all([
    ship(child.stdout, (lines) => append(job, "stdout", lines, task.id)),
    ship(child.stderr, (lines) => append(job, "stderr", lines, task.id)),
  ]);
  await child.exited;
  // The real one writes it in /tmp and leaves it; tests would fill that.
  rmSync(script, { force: true });
  const code = child.exitCode ?? 2_147_483_647;
  const duration = Math.floor(performance.now() - startedMs);
  await append(job, "task", [`process exited: duration ${duration} ms, exit code ${code}`], task.id);
  return code === 0;
}

async function ship(
  output: ReadableStream<Uint8Array>,
  send: (lines: string[]) => Promise<void>,
): Promise<void> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const part of output) {
    const lines = (rest + decoder.decode(part, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    await send(lines.map((line) => line.trimEnd()));
  }
  if (rest !== "") await send([rest]);
}

/** Rules that name one file, which is all that tests use. */
async function uploadOutputs(job: Job): Promise<void> {
  const found = job.output_rules.map(({ rule }) => rule).filter((path) => existsSync(path));
  await append(job, "worker", [`found ${found.length} output files`]);
  for (const path of found) {
    const bytes = new Uint8Array(await Bun.file(path).arrayBuffer());
    await append(job, "worker", [`uploading: ${path} (${bytes.length} bytes)`]);
    const chunks: string[] = [];
    for (let start = 0; start < bytes.length; start += 5_242_880) {
      const chunk = bytes.slice(start, start + 5_242_880);
      const stored = (await call("POST", `/0/worker/job/${job.id}/chunk`, chunk)) as { id: string };
      chunks.push(stored.id);
    }
    const output = { path, size: bytes.length, chunks, commit_id: createUlid() };
    for (;;) {
      const commit = (await call("POST", `/1/worker/job/${job.id}/output`, output)) as { complete: boolean };
      if (commit.complete) break;
      await Bun.sleep(1000);
    }
    await append(job, "worker", [`uploaded: ${path}`]);
  }
}

function createUlid(): string {
  const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
  let number = BigInt(Date.now());
  let time = "";
  for (let digit = 0; digit < 10; digit += 1) {
    time = alphabet[Number(number & 31n)] + time;
    number >>= 5n;
  }
  const chance = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => alphabet[byte & 31]);
  return time + chance.join("");
}

const hasOpenJob = existsSync(jobPath);
rmSync(donePath, { force: true });
await call("POST", "/0/worker/bootstrap", { bootstrap, token });
log("bootstrapped");
if (hasOpenJob) await call("POST", "/0/worker/fail", {});
let isParked = hasOpenJob;
let isBusy = false;
let hasJob = false;
for (;;) {
  const ping = (await call("GET", "/0/worker/ping")) as { poweroff: boolean; job: Job | null };
  if (ping.poweroff) isParked = true;
  if (!isParked && !hasJob && ping.job !== null) {
    hasJob = true;
    isBusy = true;
    log(`job ${ping.job.id}`);
    void playJob({ ...ping, job: ping.job }).finally(() => (isBusy = false));
  }
  // A job that ends is seen a second later, as with the real one.
  for (let waited = 0; waited < 50; waited += 1) {
    await Bun.sleep(100);
    if (!isBusy && waited >= 9) break;
  }
}
