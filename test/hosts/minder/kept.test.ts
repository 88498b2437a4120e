/** What the minder says is kept in a work directory, and what it removes of it. */
import { afterEach, expect, setDefaultTimeout } from "bun:test";
import { chmodSync, existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import {
  describe,
  kill,
  type Lab,
  newCookie,
  openLab,
  readText,
  rolesOf,
  test,
  until,
} from "./minder-lab.ts";

setDefaultTimeout(60_000);

let lab: Lab;
afterEach(() => lab.close());

describe("kept()", () => {
  test("names only the directories there, each with its size", async () => {
    lab = openLab();
    for (const name of ["board_1", "board_2", "with two  spaces_1", ".ssh"]) {
      mkdirSync(`${lab.work}/${name}`, { recursive: true });
    }
    writeFileSync(`${lab.work}/board_2/agent.log`, "x".repeat(1_000_000));
    writeFileSync(`${lab.work}/file_1`, "x");
    symlinkSync(lab.base, `${lab.work}/link_1`);
    const kept = await lab.minder.kept(lab.work);
    const directories = kept.ok
      ? kept.directories.toSorted((a, b) => (a.directory < b.directory ? -1 : 1))
      : [];
    expect(directories.map(({ directory }) => directory.replace(`${lab.work}/`, ""))).toEqual([
      "board_1",
      "board_2",
      "with two  spaces_1",
    ]);
    const [small = 0, large = 0] = directories.map(({ bytes }) => bytes);
    expect([small % 1024, large >= 1_000_000, large < 1_100_000, small < 20_000]).toEqual([
      0,
      true,
      true,
      true,
    ]);
    expect(await lab.minder.kept(`${lab.base}/nowhere`)).toEqual({ ok: true, directories: [] });
  });

  test("names more directories than fit on one command line", async () => {
    lab = openLab({ prefix: ["sh", "-c", 'ulimit -s 1024 && exec "$@"', "sh"] });
    const long = "x".repeat(200);
    for (let seq = 1; seq <= 2000; seq += 1) mkdirSync(`${lab.work}/${long}_${seq}`, { recursive: true });
    const kept = await lab.minder.kept(lab.work);
    expect(kept).toMatchObject({ ok: true });
    expect(kept.ok && new Set(kept.directories.map(({ directory }) => directory)).size).toBe(2000);
  });
});

describe("tidy() and remove()", () => {
  /** One that ran and ended; its job left things everywhere. */
  async function ended(text = ""): Promise<ReturnType<Lab["spec"]>> {
    const spec = lab.spec({
      agent: [
        lab.agent(`${text}
        mkdir -p "$BUILDOMAT_OPT/etc" "$BUILDOMAT_OPT/lib" "$HOME/deep"; echo '{}' >"$BUILDOMAT_OPT/etc/job-done.json"
        echo secret >"$HOME/deep/file"; echo ready; exec sleep 1000`),
      ],
    });
    await lab.minder.arm(spec);
    await lab.minder.go({ directory: spec.directory, worker: "W", agentJson: '{"token":"T"}' });
    await until(() => readText(`${spec.directory}/agent.log`).includes("ready"));
    return spec;
  }

  test("do not touch a running instance or another instance's directory", async () => {
    lab = openLab();
    const { directory, cookie } = await ended();
    const refused = { kind: "refused", reason: "it is not proved dead" };
    expect([await lab.minder.tidy(directory, cookie), await lab.minder.remove(directory, cookie)]).toEqual([
      expect.objectContaining(refused),
      refused,
    ] as never);
    // Its minder alone is gone.
    for (const pid of rolesOf(cookie).minder) kill(pid);
    await until(() => rolesOf(cookie).minder.length === 0);
    expect((await lab.minder.tidy(directory, cookie)).kind).toBe("refused");
    expect((await lab.minder.remove(directory, cookie)).kind).toBe("refused");
    await lab.minder.stop(directory, { cookie, graceMs: 1000 });
    const other = newCookie();
    expect((await lab.minder.remove(directory, other)).kind).toBe("refused");
    expect((await lab.minder.tidy(directory, other)).kind).toBe("tidied");
    expect(existsSync(`${directory}/opt/etc/agent.json`)).toBe(true);
    expect((await lab.minder.remove(directory, cookie)).kind).toBe("tidied");
    expect(existsSync(directory)).toBe(false);
  });

  test("tidy() keeps only the log and small records: no secret, pipe or file of the job", async () => {
    lab = openLab();
    const { directory, cookie } = await ended();
    await lab.minder.stop(directory, { cookie, graceMs: 1000 });
    expect(await lab.minder.tidy(directory, cookie)).toMatchObject({ kind: "tidied", left: null });
    expect(readdirSync(directory).toSorted()).toEqual(["agent.log", "minder", "opt"]);
    expect(readdirSync(`${directory}/opt`)).toEqual(["etc"]);
    expect(readdirSync(`${directory}/opt/etc`)).not.toContain("agent.json");
    expect(readdirSync(`${directory}/opt/etc`)).toContain("job-done.json");
    const records = readdirSync(`${directory}/minder`);
    for (const gone of ["root", "gate", "events", "mounts", "command", "armed"])
      expect(records).not.toContain(gone);
    for (const kept of ["minder", "identity.json", "intent.json", "claim"]) expect(records).toContain(kept);
  });

  test("remove directories that a job made read-only, also without root", async () => {
    lab = openLab({ user: 12_345 });
    const close =
      'mkdir -p "$HOME/closed/in"; : >"$HOME/closed/in/file"; chmod 500 "$HOME/closed/in" "$HOME/closed"';
    const { directory, cookie } = await ended(close);
    await lab.minder.stop(directory, { cookie, graceMs: 1000 });
    expect(await lab.minder.tidy(directory, cookie)).toMatchObject({ kind: "tidied", left: null });
    expect(existsSync(`${directory}/home`)).toBe(false);
    mkdirSync(`${directory}/again/in`, { recursive: true });
    Bun.spawnSync(["chown", "-R", "12345:12345", directory]);
    chmodSync(`${directory}/again`, 0o500);
    expect(await lab.minder.remove(directory, cookie)).toEqual({ kind: "tidied", left: null });
    expect(existsSync(directory)).toBe(false);
  });
});
