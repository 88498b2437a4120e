/** The service under a real systemd: installed, restarted, stopped, hung, rebooted and gone again. */
import { afterAll, beforeAll, expect, setDefaultTimeout } from "bun:test";
import { generateKeyPairSync } from "node:crypto";
import { copyFileSync, cpSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openDurableFiles } from "../../lib/doors/durable-files.ts";
import { openPlaces } from "../../lib/update/places.ts";
import { buildExecutable, hostTarget } from "../../scripts/build.ts";
import { makeRelease } from "../../scripts/release.ts";
import { testWith } from "../lab/needs.ts";
import { openSystemdLab, type SystemdLab } from "../lab/systemd-lab.ts";
import { openSystemdBox, type RunOptions, type SystemdBox } from "../lab/systemd-box.ts";
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

test("F98 a restart and a stop of the service leave its jobs alone, and nothing of them in the unit", async () => {
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

test("F99 a daemon that hangs is ended by the watchdog and started again, and its job goes on, even without a scope", async () => {
  await using lab = await openInstalled();
  const { box } = lab;
  await box.must(`mkdir /etc/systemd/system/${unit}.service.d &&
    printf '[Service]\\nWatchdogSec=3\\n' >/etc/systemd/system/${unit}.service.d/short.conf &&
    systemctl daemon-reload && systemctl restart ${unit}`);
  await box.must("chmod 644 /usr/bin/systemd-run");
  const id = await lab.submit(waits);
  await lab.says(id, "started");
  expect((await lab.said(id))[0]).toBe(`0::/system.slice/${unit}.service`);
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

test("F100 after a reboot in mid-job the service is back, the job failed with a reason, and the next one runs", async () => {
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
  const files = `find / -xdev -path '/var/tmp/*' -prune -o -path '/checkout/*' -prune -o -path '*/dist/*' -prune -o -path '*${unit}*' -print | sort`;
  const list = `${files} | xargs -d '\\n' stat -c '%n %F %Y %i' | grep -v directory`;
  const before = [await box.must(list), await show(box, "MainPID")];
  expect(await box.must("/root/factory service install --base-dir /root/base")).toContain("was left alone");
  expect([await box.must(list), await show(box, "MainPID")]).toEqual(before);

  // What another installation holds while it is at work.
  const hold = `import { lockStore } from "/checkout/lib/store/file.ts";
    lockStore("/opt/${unit}/install"); console.log("held"); await Bun.sleep(600_000)`;
  const holder = await box.must(`/lab/fetched/bun -e '${hold}' >/tmp/held 2>&1 & echo $!`);
  await until("it is held", async () => (await box.must("cat /tmp/held")) === "held");
  const refused = await box.run("/root/factory service install --base-dir /root/base");
  expect(refused).toMatchObject({ exitCode: 75 });
  expect(refused.stderr).toContain("another installation is at work there");
  await box.must(`kill ${holder}`);

  const id = await lab.submit(waits);
  await lab.says(id, "started");
  await box.must(`systemctl stop ${unit}`);
  const early = await box.run(`${unit} service uninstall --yes --base-dir /root/base`);
  expect(early.stderr).toContain("1 job is left to the next start");
  await box.must(`systemctl start ${unit}`);
  const uninstalled = box.must(`${unit} service uninstall --yes --base-dir /root/base`);
  await until("it drains", async () => (await box.must(`journalctl -o cat -u ${unit}`)).includes("draining"));
  await box.must("touch /root/base/work/grapefruit-1_1/work/go");
  expect((await lab.ended(id)).state).toBe("completed");
  expect(await uninstalled).toContain("Nothing of it is left but /root/base");
  expect(await box.must(files)).toBe("");
  expect(await box.must(`systemctl list-unit-files '${unit}*' --no-legend; ls /root/base`)).toBe(
    "config.schema.json\nconfig.toml\ncontrol\ndata.sqlite3\ndata.sqlite3.lock\nwork",
  );
});

/** A release of one target, signed by a key that nobody trusts: install.sh goes by the hashes that it holds. */
async function makeReleaseAt(release: string): Promise<void> {
  const { privateKey } = generateKeyPairSync("ed25519");
  await makeRelease({
    directory: release,
    version: "1.2.3",
    targets: [hostTarget()],
    privateKeys: [privateKey.export({ format: "pem", type: "pkcs8" })],
    channel: "stable",
    issuedMs: Date.now(),
    expiresDays: 1,
    floor: null,
    revoke: [],
    build: (_, path) =>
      buildExecutable({ entry: join(root, "factory.ts"), executable: path, version: "1.2.3" }),
  });
}

test("install.sh makes a running service of a checkout, in at most ten lines, and done again changes nothing", async () => {
  await using lab = await openSystemdLab();
  const { box } = lab;
  const line = `/checkout/scripts/install.sh --from-checkout ${lab.setup}`;
  const said = await box.must(line);
  expect(said.split("\n").length).toBeLessThanOrEqual(10);
  expect(await box.must(`systemctl is-active ${unit}; systemctl is-enabled ${unit}`)).toBe("active\nenabled");
  expect((await lab.ended(await lab.submit("echo first"))).state).toBe("completed");
  const pid = await show(box, "MainPID");
  expect(await box.must(line)).toContain("was left alone");
  expect(await show(box, "MainPID")).toBe(pid);
  expect(await box.must(`ls /opt/${unit}/versions | wc -l; ls /opt/${unit}`)).toBe(
    "1\nbin\nboot\ninstall.lock\nlibexec\nversions",
  );
  // What is damaged is put right.
  const placed = `/opt/${unit}/versions/*/${unit}`;
  await box.must(`cd /opt/${unit}/versions/*; rm ${unit}; head -c 1000 /lab/fetched/bun >${unit}`);
  await box.must(line);
  expect(await box.must(`${placed} --version`)).toStartWith(unit);
  await box.must(`rm ${placed}`);
  const damaged = await box.run("/checkout/scripts/install.sh --uninstall --yes");
  expect(damaged.stderr).toContain("is damaged");
  await box.must(line);
  expect(await box.must("/checkout/scripts/install.sh --uninstall --purge --yes")).toContain(
    "Nothing of it is left",
  );
  expect(await box.must("ls -d /opt/build* /root/Oxide/ci/factory 2>/dev/null || echo gone")).toBe("gone");
});

test("install.sh of a release: a user's service in a home with spaces, and a sentence for what is in its way", async () => {
  const release = join(directory, "release");
  await makeReleaseAt(release);
  await using lab = await openSystemdLab();
  const { box } = lab;
  await box.must("mkdir -p /media/stick");
  cpSync(release, box.at("/media/stick"), { recursive: true });
  const as = { user: "lab" };
  await box.addUser("lab", "/home/lab of boards");
  const install = `sh /media/stick/install.sh ${lab.setup}`;
  const fails = async (line: string, options?: RunOptions): Promise<string> => {
    const ran = await box.run(line, options);
    expect(ran.exitCode).toBeGreaterThan(0);
    return ran.stderr;
  };

  expect(await fails(install, as)).toContain("this user is not root");
  await box.must(
    `mkdir /mnt/a /mnt/b /mnt/c && mount -t tmpfs -o noexec tmpfs /mnt/a && mount -t tmpfs -o ro tmpfs /mnt/b &&
     mount -t tmpfs -o size=60m tmpfs /mnt/c`,
  );
  expect(await fails(`${install} --prefix /mnt/a/x`)).toContain("noexec");
  expect(await fails(`${install} --prefix /mnt/b/x`)).toContain("Read-only file system");
  expect(await fails(`${install} --prefix /mnt/c/x`)).toContain("250 MB are needed");
  expect(await box.must("ls -A /mnt/a /mnt/c")).toBe("/mnt/a:\n\n/mnt/c:");
  expect(
    await fails(
      `mount -t tmpfs tmpfs /run/systemd/system && umount /run/systemd/system; uname() { echo SunOS; }; . /media/stick/install.sh`,
    ),
  ).toContain("there is no executable for SunOS");

  await box.must(`${install} --user`, as);
  expect(await box.must(`systemctl --user is-active ${unit}; ls ~/.local/opt/*/versions`, as)).toBe(
    "active\n1.2.3",
  );
  const id = await lab.submit(waits);
  await lab.says(id, "started");
  expect((await lab.said(id))[0]).toMatch(/^0::\/user\.slice\/.*\/run-\w+\.scope$/);
  await box.must(`systemctl --user restart ${unit}`, as);
  await box.must(`touch ~/Oxide/ci/factory/work/grapefruit-1_1/work/go`, as);
  expect((await lab.ended(id)).state).toBe("completed");
  await box.reboot();
  await until("the user's service is back", async () => {
    const { stdout } = await box.run(`systemctl --user is-active ${unit}`, as);
    return stdout === "active\n";
  });
  await box.must(`sh /media/stick/install.sh --user --uninstall --yes`, as);
  expect(await box.must(`find "$HOME" -path '*${unit}*'`, as)).toBe("");
});

test("F111 with lingering a user's service starts with the host, before the user logs in; without, it ends with the login", async () => {
  await using lab = await openSystemdLab();
  const { box } = lab;
  await box.startLogind();
  await box.addUser("lab");
  const as = { user: "lab" };
  copyFileSync(executable, box.at("/usr/local/bin/factory"));
  await box.must("chmod 755 /usr/local/bin/factory");
  await box.must(`factory setup ${lab.setup}`, as);
  const said = await box.must("factory service install --user", as);
  const hint = /sudo (loginctl enable-linger lab)/.exec(said)?.[1];
  await box.must(String(hint));
  // By this the box leaves its manager to logind.
  expect(await box.must("ls /var/lib/systemd/linger")).toBe("lab");
  await box.reboot();
  const id = await lab.submit("id -un");
  expect((await lab.ended(id)).state).toBe("completed");
  expect(await lab.said(id)).toEqual(["lab"]);
  expect(await box.must("loginctl list-sessions --no-legend")).toBe("");
  await box.must("loginctl disable-linger lab");
  await until("the user's systemd has ended", async () => {
    const { stdout } = await box.run("systemctl is-active user@$(id -u lab)");
    return stdout === "inactive\n";
  });
  expect((await box.run("pgrep -u lab")).stdout).toBe("");
});

test("F101 F110 after three tries of a version that does not start, and from one that is damaged, boot goes back; the job goes on", async () => {
  await using lab = await openInstalled();
  const { box } = lab;
  const id = await lab.submit(waits);
  await lab.says(id, "started");
  const places = openPlaces({ prefix: box.at(`/opt/${unit}`), files: openDurableFiles() });
  const before = String(await places.current());
  const broken = `${places.staging}/broken`;
  // 0 is what an executable that was cut short may end with.
  await Bun.write(broken, "#!/bin/sh\nexit 0\n");
  await places.place({ version: "9.9.9", executable: broken, sha256: "0".repeat(64), signed: null });
  await places.switchTo("9.9.9");
  await box.run(`systemctl restart ${unit}`);
  await until(
    "the version before is active again",
    async () => (await show(box, "ActiveState")) === "active",
  );
  expect(await places.current()).toBe(before);
  expect((await places.mark("9.9.9"))?.kind).toBe("bad");
  expect(await box.must(`${unit} service status`)).toMatch(/failed +9\.9\.9/);
  // A running daemon hands over to another build by itself, and its job goes on.
  const other = join(directory, "other");
  await buildExecutable({ entry: join(root, "factory.ts"), executable: other, version: "0.2.0" });
  copyFileSync(other, box.at("/root/other"));
  expect(await box.must("/root/other service install --base-dir /root/base")).toContain("hands over");
  await until("the other build runs", async () =>
    (await box.must(`journalctl -o cat -u ${unit}`)).includes(`${unit} 0.2.0 (`),
  );
  // A version that is trusted, and is damaged on the disk while it runs.
  const installed = String(await places.current());
  await places.setMark(installed, ".good");
  await box.must(
    `cd /opt/${unit}/versions/${installed} && head -c 60000000 ${unit} >cut && chmod 755 cut && mv cut ${unit} &&
     systemctl restart --no-block ${unit}`,
  );
  await until("the version before runs", async () => (await places.current()) === before);
  await until("it is active", async () => (await show(box, "ActiveState")) === "active");
  expect(await box.must(`journalctl -o cat -u ${unit}`)).toContain(`boot: ${installed} is damaged`);
  await box.must("touch /root/base/work/grapefruit-1_1/work/go");
  expect((await lab.ended(id)).state).toBe("completed");
});

testWith("arm64")(
  "the executable for 64-bit ARM, built here, starts and says its version and target",
  async () => {
    const arm = join(directory, "arm");
    await buildExecutable({ entry: join(root, "factory.ts"), executable: arm, target: "linux-arm64" });
    const run = Bun.spawnSync(["qemu-aarch64-static", "-L", "/usr/aarch64-linux-gnu", arm, "--version"]);
    expect(run.stdout.toString()).toMatch(
      new RegExp(`^${unit} \\d+\\.\\d+\\.\\d+ \\(\\S+, linux-arm64\\)\n$`),
    );
  },
);
