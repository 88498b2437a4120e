/** The line to a host behind a real sshd: many boards, few sessions, jump hosts, slow and hanging connections, and what is left. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { appendFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openSshLab, drained, type SshLab } from "../lab/ssh-lab.ts";
import { until } from "../lab/until.ts";

setDefaultTimeout(120_000);

/** Waits in the job until `letEnd`. */
const waiting = (lab: SshLab): string =>
  `echo begun; until [ -e '${lab.directory}/end' ]; do sleep 0.05; done; echo ended`;
const letEnd = (lab: SshLab): void => writeFileSync(join(lab.directory, "end"), "");

async function runsAll(lab: SshLab, ids: string[]): Promise<void> {
  for (const id of ids) {
    await until("it runs", async () => (await lab.said(id, "stdout")).includes("begun"), 100_000);
  }
}

/** Shells on the host that are the far end of a line. */
function farEnds(lab: SshLab): number[] {
  return lab.sshd.commands().filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, "latin1").includes("far end of a line");
    } catch {
      return false;
    }
  });
}

describe("the line to a host behind ssh", () => {
  test("serves 40 boards at once, over one connection to a host that opens ten sessions", async () => {
    await using lab = await openSshLab({
      boards: 40,
      config: ["MaxSessions 10"],
      agent: "builtin",
      isCompiled: true,
    });
    const factory = lab.start();
    const ids = await Promise.all(Array.from({ length: 40 }, async () => await lab.submit(waiting(lab))));
    await runsAll(lab, ids);
    letEnd(lab);
    for (const id of ids) expect((await lab.ended(id)).state).toBe("completed");
    await drained(factory);
    expect(lab.sshd.connections()).toBe(1);
    expect(factory.log().filter(({ level }) => level !== "info")).toEqual([]);
  });

  test.concurrent("reaches a host behind a jump host", async () => {
    await using lab = await openSshLab();
    const { port, userKey } = lab.sshd;
    const known = ["HostName 127.0.0.1", `Port ${port}`, "User root", `IdentityFile ${userKey}`];
    const jump = ["ProxyJump jump", "Host jump", ...known, "StrictHostKeyChecking no", ""];
    appendFileSync(join(lab.directory, "ssh_config"), jump.join("\n"));
    const factory = lab.start();
    const id = await lab.submit("echo there");
    expect((await lab.ended(id)).state).toBe("completed");
    await drained(factory);
  });

  test.concurrent("works over a connection with a round trip of half a second", async () => {
    await using lab = await openSshLab();
    lab.sshd.delay(250);
    const factory = lab.start();
    for (let round = 0; round < 3; round += 1) {
      const id = await lab.submit("echo there");
      expect((await lab.ended(id)).state).toBe("completed");
    }
    await drained(factory);
    expect(factory.log().filter(({ level }) => level !== "info")).toEqual([]);
  });

  test.concurrent("leaves nothing on the host when the factory is killed in mid-job, and the next one finds the job", async () => {
    await using lab = await openSshLab();
    const killed = lab.start();
    const id = await lab.submit(waiting(lab));
    await runsAll(lab, [id]);
    await until("the line is there", () => farEnds(lab).length === 1);
    killed.kill("SIGKILL");
    await killed.exited;
    await until("its far end is gone", () => farEnds(lab).length === 0);
    const next = lab.start();
    await until("another line is there", () => farEnds(lab).length === 1);
    letEnd(lab);
    expect((await lab.ended(id)).state).toBe("completed");
    await drained(next);
    await until("its far end is gone, too", () => farEnds(lab).length === 0);
  });

  test.concurrent("a far end that is killed is begun again, and the job's end is noticed", async () => {
    await using lab = await openSshLab();
    const factory = lab.start();
    const id = await lab.submit(waiting(lab));
    await runsAll(lab, [id]);
    const [first = 0] = await until("the line is there", () => {
      const found = farEnds(lab);
      return found.length === 1 && found;
    });
    process.kill(first, "SIGKILL");
    await until("another one is there", () => farEnds(lab).some((pid) => pid !== first));
    letEnd(lab);
    expect((await lab.ended(id)).state).toBe("completed");
    await drained(factory);
  });
});
