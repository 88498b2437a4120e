/** `selftest`: the real factory and agents prove their testbeds by small jobs, or say what is wrong. */
import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Lab, openLab } from "../../lab/lab.ts";
import { until } from "../../lab/until.ts";

async function selftest(lab: Lab, ...words: string[]): Promise<{ code: number; said: string }> {
  const tokenFile = join(lab.directory, "user-token");
  writeFileSync(tokenFile, `${lab.userToken}\n`, { mode: 0o600 });
  const run = lab.start({ command: ["selftest", "--token-file", tokenFile, ...words] });
  const code = await run.exited;
  return { code, said: await run.stdout() };
}

/** The factory runs, and its testbeds take jobs. */
async function started(lab: Lab): Promise<void> {
  lab.start();
  await until("the testbeds are free", async () => {
    const status = lab.start({ command: ["status", "--json"] });
    // Nothing can be read before it has made its files.
    if ((await status.exited) !== 0) return false;
    const { testbeds } = JSON.parse(await status.stdout()) as { testbeds: { state: string }[] };
    return testbeds.every(({ state }) => state === "free");
  });
}

test("each testbed gets its own job, and what it proved is said", async () => {
  await using lab = await openLab({ agent: "builtin", testbeds: { "bed-1": [], "bed-2": [], "bed-3": [] } });
  await started(lab);
  const { code, said } = await selftest(lab);
  expect([said, code]).toEqual([expect.stringContaining("well"), 0]);
  for (const name of ["bed-1", "bed-2", "bed-3"]) {
    expect(said).toContain(`${name}: well, sp-test, `);
    expect(said).toContain(`an agent started on ${name}, its task ran and its lines came back`);
  }
  expect(said.match(/its output was uploaded/g)).toHaveLength(3);
  expect(said).not.toContain(lab.userToken);
}, 60_000);

test("an external agent proves its testbed as well", async () => {
  await using lab = await openLab();
  await started(lab);
  const { code, said } = await selftest(lab, "bed-1");
  expect(said).toContain("bed-1: well, sp-test, ");
  expect(code).toBe(0);
}, 60_000);

test("a wrong target id is found, with both ids, and the job does not stay in the queue", async () => {
  const wrong = "01HGYSTRYRBS0DG7J6E22ZS3M5";
  await using lab = await openLab({ agent: "builtin" });
  lab.configure({ agent: "builtin", targetId: wrong });
  await started(lab);
  const { code, said } = await selftest(lab);
  expect(code).toBe(1);
  expect(said).toContain(
    `wrong target id: the server's target "sp-test" is ${lab.targetId}, and config.toml has ${wrong}`,
  );
  const id = /\(job (\w+)\)/.exec(said)?.[1] ?? "";
  await until("it is cancelled", async () => (await lab.job(id)).state === "failed");
}, 60_000);

test("what takes no job now is not tested, and says why", async () => {
  await using lab = await openLab({ agent: "builtin" });
  await started(lab);
  await lab.start({ command: ["pause", "bed-1", "--note", "new cable"] }).exited;
  const { code, said } = await selftest(lab);
  expect(said).toMatch(/bed-1: not tested: paused by \S+: new cable/);
  expect(code).toBe(1);
}, 60_000);

test("a testbed that is not there, a token that is not a user's, and no factory", async () => {
  await using lab = await openLab({ agent: "builtin" });
  await started(lab);
  const near = lab.start({ command: ["selftest", "bed-11", "--token-file", "/dev/null"] });
  expect(await near.exited).toBe(2);
  // A directory cannot be read, as another user's file cannot.
  const unreadable = lab.start({ command: ["selftest", "--token-file", lab.directory] });
  expect(await unreadable.exited).toBe(2);
  const refused = join(lab.directory, "refused");
  writeFileSync(refused, `${lab.factoryToken}\n`);
  const run = lab.start({ command: ["selftest", "--token-file", refused] });
  expect(await run.exited).toBe(1);
  expect(await run.stdout()).toContain("is not a user's token of this server");
  await using other = await openLab();
  const nobody = other.start({ command: ["selftest", "--token-file", refused] });
  expect(await nobody.exited).toBe(1);
}, 60_000);
