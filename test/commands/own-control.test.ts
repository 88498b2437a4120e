/** The control socket of a running factory: who may look and who may steer, as real users. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, chownSync, existsSync, mkdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { openFactoryClient } from "../../lib/control/client.ts";
import { openClock } from "../../lib/doors/clock.ts";
import { openHttp } from "../../lib/doors/http.ts";
import { type Lab, openLab } from "../lab/lab.ts";
import { testWith } from "../lab/needs.ts";
import { until } from "../lab/until.ts";

setDefaultTimeout(60_000);

const http = openHttp({ clock: openClock() });

test.concurrent("a running factory answers on its control socket, and takes it away when it ends", async () => {
  await using it = await openLab();
  const path = join(it.base, "control/control.sock");
  const client = openFactoryClient({ http, path });
  expect(await client.status()).toMatchObject({ ok: false, is: "nobody" });
  const factory = it.start();
  const status = await until("it answers", async () => {
    const answer = await client.status();
    return answer.ok && answer.value;
  });
  expect(status).toMatchObject({ format: 1, factory: { isRunning: true, mode: "run" } });
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(await client.history({ most: 10 })).toMatchObject({ ok: true });
  factory.kill("SIGKILL");
  await factory.exited;
  // A child that it was just starting may hold the socket for a moment.
  await until("nobody listens", async () => {
    const answer = await client.status();
    return !answer.ok && answer.is === "nobody";
  });
  const again = it.start();
  await until("it answers", async () => (await client.status()).ok);
  again.kill("SIGTERM");
  expect(await again.exited).toBe(0);
  expect(existsSync(path)).toBe(false);
});

interface User {
  uid: number;
  gid?: number;
}

function as({ uid, gid }: User): string[] {
  const groups = gid === undefined ? "--clear-groups" : `--groups=${gid}`;
  return ["setpriv", `--reuid=${uid}`, `--regid=${uid}`, groups, "--"];
}

/** A verb by a user who has no name here, and what it wrote. */
async function say(it: Lab, who: User, ...words: string[]): Promise<[number, string]> {
  const [verb = "", ...args] = words;
  const command = it.start({ prefix: [...as(who), "sh", "-c", '"$@" 2>&1', "sh"], command: [verb], args });
  const said = await command.stdout();
  return [await command.exited, said];
}

const own = 40_000;
const ann = 40_001;
const bob = 40_002;
const stranger = 40_003;
/** Of the group daemon, which every host has. */
const operators = Number(
  /^daemon:[^:]*:(\d+):/m.exec(Bun.spawnSync(["cat", "/etc/group"]).stdout.toString())?.[1],
);
const looking = 40_010;

testWith("root")(
  "root, the factory's own user and its operators steer, and a stranger does neither",
  async () => {
    await using it = await openLab({ isCompiled: true, general: ['operators = "daemon"'] });
    Bun.spawnSync(["chown", "-R", `${own}:${own}`, it.base]);
    chmodSync(it.base, 0o711);
    // The factory's user is one of them: else only root may give a file to that group.
    const factory = it.start({
      prefix: ["setpriv", `--reuid=${own}`, `--regid=${own}`, `--groups=${operators}`, "--"],
    });
    const client = openFactoryClient({ http, path: join(it.base, "control/control.sock") });
    await until("it answers", async () => (await client.status()).ok);
    expect(factory.log().filter(({ level }) => level === "warn")).toEqual([]);
    const [one, two] = await Promise.all([
      say(it, { uid: ann, gid: operators }, "reserve", "bed-1", "--for", "1h"),
      say(it, { uid: bob, gid: operators }, "reserve", "bed-1", "--for", "1h"),
    ]);
    const [winner, loser] = one[0] === 0 ? [ann, two] : [bob, one];
    expect(
      [one[0], two[0]].toSorted((a, b) => a - b),
      loser[1],
    ).toEqual([0, 1]);
    expect(loser[1]).toStartWith(`bed-1 is reserved by uid ${winner} until `);
    const other = { uid: winner === ann ? bob : ann, gid: operators };
    expect((await say(it, other, "release", "bed-1"))[1]).toContain("--yes releases it all the same");
    expect((await say(it, other, "release", "bed-1", "--yes"))[0]).toBe(0);
    expect((await say(it, { uid: own }, "pause", "bed-1"))[1]).toStartWith(`bed-1: paused by uid ${own}`);
    expect((await say(it, { uid: 0 }, "resume", "bed-1"))[0]).toBe(0);
    expect((await say(it, { uid: stranger }, "pause", "bed-1"))[0]).toBe(1);
    for (const verb of [["pause", "bed-1"], ["status"], ["history"]]) {
      const said = (await say(it, { uid: stranger }, ...verb))[1];
      expect(said).toContain("or as a member of the group general.operators");
    }
    const done = await client.history({ what: ["act"], most: 10 });
    const verbsOf = done.ok ? done.value.map(({ entry }) => (entry.what === "act" ? entry.verb : "")) : [];
    expect(verbsOf).toEqual(["reserve", "release", "pause", "resume"]);
    factory.kill("SIGTERM");
    expect(await factory.exited).toBe(0);
  },
);

testWith("root")("a group that an administrator lets in may look, and not steer", async () => {
  await using it = await openLab({ isCompiled: true, general: ['operators = "no-such-group"'] });
  Bun.spawnSync(["chown", "-R", `${own}:${own}`, it.base]);
  chmodSync(it.base, 0o711);
  mkdirSync(join(it.base, "control"));
  chownSync(join(it.base, "control"), own, looking);
  chmodSync(join(it.base, "control"), 0o710);
  const factory = it.start({
    prefix: ["setpriv", `--reuid=${own}`, `--regid=${own}`, `--groups=${looking}`, "--"],
  });
  const client = openFactoryClient({ http, path: join(it.base, "control/control.sock") });
  await until("it answers", async () => (await client.status()).ok);
  expect(
    factory
      .log()
      .filter(({ level }) => level === "warn")
      .map(({ message }) => message),
  ).toEqual([
    'nobody but this factory\'s user can steer it: this host has no group "no-such-group" (general.operators)',
  ]);
  const looker = { uid: ann, gid: looking };
  const [code, shown] = await say(it, looker, "status");
  expect([code, shown]).toEqual([0, expect.stringMatching(/^bed-1 +grapefruit +/m)]);
  expect((await say(it, looker, "history"))[0]).toBe(0);
  const [refusal, why] = await say(it, looker, "pause", "bed-1");
  expect([refusal, why]).toEqual([
    1,
    expect.stringContaining(`uid ${ann} may look at this factory, but not steer it`),
  ]);
  expect(await client.history({ what: ["act"], most: 10 })).toEqual({ ok: true, value: [] });
  factory.kill("SIGTERM");
  expect(await factory.exited).toBe(0);
});

testWith("root")("a directory that keeps the operators out is named once", async () => {
  await using it = await openLab({ general: ['operators = "daemon"'] });
  const factory = it.start();
  const warning = await until("it warns", () => factory.log().find(({ level }) => level === "warn"));
  expect(warning.message).toBe(
    `the group daemon cannot reach the control socket: ${it.base} does not let it pass (chmod g+x)`,
  );
  factory.kill("SIGTERM");
  expect(await factory.exited).toBe(0);
});

testWith("root")(
  "a factory that can have no socket does its work without one, and says so once",
  async () => {
    await using it = await openLab();
    mkdirSync(join(it.base, "control"));
    chownSync(join(it.base, "control"), stranger, stranger);
    const factory = it.start();
    expect((await it.ended(await it.submit("echo done"))).state).toBe("completed");
    const warnings = factory.log().filter(({ level }) => level === "warn");
    expect(warnings.map(({ message }) => message)).toEqual([
      `runs without a control socket: ${it.base}/control belongs to another user; status reads the files, and nothing can be steered while the factory runs`,
    ]);
    factory.kill("SIGUSR1");
    expect(await factory.exited).toBe(0);
  },
);

testWith("namespaces")("an isolated job sees no control socket, wherever that is", async () => {
  await using it = await openLab();
  // A directory with files of others, which a job sees.
  const general = [`work_dir = "${it.base}/work"`];
  it.configure({ agent: "builtin", general });
  const path = join(it.directory, "control/lab.sqlite3.sock");
  const factory = it.start({ args: ["-d", join(it.directory, "lab.sqlite3")] });
  await until("it answers", async () => (await openFactoryClient({ http, path }).status()).ok);
  const id = await it.submit(
    `ls '${it.directory}' | grep -c stub-agent; ls '${it.directory}/control' | wc -l; test -S '${path}' || echo unseen`,
  );
  expect((await it.ended(id)).state).toBe("completed");
  const [others, ...rest] = await it.said(id, "stdout");
  expect([Number(others) > 0, ...rest]).toEqual([true, "0", "unseen"]);
  factory.kill("SIGUSR1");
  expect(await factory.exited).toBe(0);
});
