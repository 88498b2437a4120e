/** The service under a real systemd: installed, restarted, stopped, hung, rebooted and gone again. */
import { afterAll, beforeAll, expect, setDefaultTimeout } from "bun:test";
import { copyFileSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildExecutable } from "../../scripts/build.ts";
import { testWith } from "../lab/needs.ts";
import { openSystemdLab, type SystemdLab } from "../lab/systemd-lab.ts";
import { openSystemdBox, type SystemdBox } from "../lab/systemd-box.ts";
import { until } from "../lab/until.ts";

const root = join(import.meta.dir, "../..");

setDefaultTimeout(120_000);
const test = testWith("systemd");

test("a box is a machine: its users have systemd too, a reboot keeps its files, and nothing of it is left", async () => {
  let group = "";
  {
    await using box = await openSystemdBox();
    await box.addUser("lab", "/home/lab of boards");
    expect(await box.must("systemctl --user is-system-running; pwd", { user: "lab" })).toBe(
      "running\n/home/lab of boards",
    );
    group = box.group;
    const before = await box.must("echo kept >/root/kept; cat /proc/sys/kernel/random/boot_id");
    await box.reboot();
    expect(await box.must("cat /root/kept")).toBe("kept");
    expect(await box.must("cat /proc/sys/kernel/random/boot_id")).not.toBe(before);
    expect(await box.must("systemctl --user is-system-running", { user: "lab" })).toBe("running");
    expect(existsSync("/root/kept")).toBe(false);
  }
  const list = Bun.spawnSync([
    "sh",
    "-c",
    `cat /proc/mounts /proc/*/cgroup 2>/dev/null | grep '${group}' | grep -v deleted`,
  ]);
  expect(list.stdout.toString().trim()).toBe("");
});

const directory = mkdtempSync(join(tmpdir(), "service-"));
const executable = join(directory, "factory");
const unit = "buildomat-factory-sp-test";

beforeAll(async () => void (await buildExecutable({ entry: join(root, "factory.ts"), executable })));
afterAll(() => rmSync(directory, { recursive: true }));

/** A job that says where it runs, and ends when the file `go` is in its /work. */
const waits =
  "tail -n 1 /proc/self/cgroup; echo started; until [ -e /work/go ]; do sleep 0.05; done; echo ended";

async function openInstalled(): Promise<SystemdLab> {
  const lab = await openSystemdLab();
  copyFileSync(executable, lab.box.at("/root/factory"));
  await lab.box.must(`/root/factory setup --base-dir /root/base ${lab.setup}`);
  await lab.box.must("/root/factory service install --base-dir /root/base");
  return lab;
}

const show = async (box: SystemdBox, property: string): Promise<string> =>
  await box.must(`systemctl show ${unit} --property=${property} --value`);

test("a restart and a stop of the service leave its jobs alone, and nothing of them in the unit", async () => {
  await using lab = await openInstalled();
  const { box } = lab;
  const id = await lab.submit(waits);
  await lab.says(id, "started");
  const [group] = await lab.said(id);
  expect(group).toMatch(/^0::\/system\.slice\/run-\w+\.scope$/);
  await box.must(`systemctl restart ${unit}`);
  await box.must(`systemctl stop ${unit}`);
  await box.must("touch /root/base/work/grapefruit-1_1/work/go");
  await until("the job's agent reports its end while no factory runs", async () =>
    (await lab.said(id)).includes("ended"),
  );
  await box.must(`systemctl start ${unit}`);
  expect((await lab.ended(id)).state).toBe("completed");
  expect(await lab.said(id)).toEqual([String(group), "started", "ended"]);
  const journal = await box.must(`journalctl --no-pager -o cat -u ${unit}`);
  expect(journal).not.toMatch(/remains running|left-over|Killing process/i);
  await until(
    "its scope is gone",
    async () => !(await box.must("systemctl list-units 'run-*.scope'")).includes("job agent"),
  );
});

test("a daemon that hangs is ended by the watchdog and started again, and its job goes on", async () => {
  await using lab = await openInstalled();
  const { box } = lab;
  await box.must(`mkdir /etc/systemd/system/${unit}.service.d &&
    printf '[Service]\\nWatchdogSec=3\\n' >/etc/systemd/system/${unit}.service.d/short.conf &&
    systemctl daemon-reload && systemctl restart ${unit}`);
  const id = await lab.submit(waits);
  await lab.says(id, "started");
  const pid = await show(box, "MainPID");
  await box.must(`kill -STOP ${pid}`);
  await until(
    "another daemon is active",
    async () =>
      (await show(box, "ActiveState")) === "active" && !["0", pid].includes(await show(box, "MainPID")),
  );
  await box.must("touch /root/base/work/grapefruit-1_1/work/go");
  expect((await lab.ended(id)).state).toBe("completed");
  expect(await box.must(`journalctl --no-pager -o cat -u ${unit}`)).toMatch(/[Ww]atchdog timeout/);
});

test("after a reboot in mid-job the service is back, the job failed with a reason, and the next one runs", async () => {
  await using lab = await openInstalled();
  const { box } = lab;
  const id = await lab.submit(waits);
  await lab.says(id, "started");
  await box.reboot();
  await until("the service is active", async () => (await show(box, "ActiveState")) === "active");
  expect((await lab.ended(id)).state).toBe("failed");
  const next = await lab.submit("echo next");
  expect((await lab.ended(next)).state).toBe("completed");
});

test("a second install changes and restarts nothing, and uninstall waits for the job and leaves the base directory alone", async () => {
  await using lab = await openInstalled();
  const { box } = lab;
  const files = `find / -xdev -path '/var/tmp/*' -prune -o -path '/checkout/*' -prune -o -path '*${unit}*' -print | sort`;
  const list = `${files} | xargs -d '\\n' stat -c '%n %F %Y %i' | grep -v directory`;
  const before = [await box.must(list), await show(box, "MainPID")];
  expect(await box.must("/root/factory service install --base-dir /root/base")).toContain("was left alone");
  expect([await box.must(list), await show(box, "MainPID")]).toEqual(before);

  const id = await lab.submit(waits);
  await lab.says(id, "started");
  const uninstalled = box.must(`${unit} service uninstall --yes --base-dir /root/base`);
  await until("it drains", async () => (await box.must(`journalctl -o cat -u ${unit}`)).includes("draining"));
  await box.must("touch /root/base/work/grapefruit-1_1/work/go");
  expect((await lab.ended(id)).state).toBe("completed");
  expect(await uninstalled).toContain("Nothing of it is left but /root/base");
  expect(await box.must(files)).toBe("");
  expect(await box.must(`systemctl list-unit-files '${unit}*' --no-legend; ls /root/base`)).toBe(
    "config.toml\ndata.sqlite3\ndata.sqlite3.lock\nwork",
  );
});
