/** An update, and a version that never gets ready, under a real systemd and in mid-job. */
import { afterAll, expect, setDefaultTimeout } from "bun:test";
import { copyFileSync, cpSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hostTarget } from "../../scripts/build.ts";
import { makeRelease } from "../../scripts/release.ts";
import { atStart, buildVersion, type Change, common } from "../lab/built-versions.ts";
import { testWith } from "../lab/needs.ts";
import { openSystemdLab } from "../lab/systemd-lab.ts";
import { until } from "../lab/until.ts";
import { signing } from "../lab/update-lab.ts";

setDefaultTimeout(180_000);
const test = testWith("systemd", "script");
const directory = mkdtempSync(join(tmpdir(), "update-systemd-"));
afterAll(() => rmSync(directory, { recursive: true }));

const unit = "buildomat-factory-sp-test";
const changes: Record<string, Change[]> = {
  "1.0.0": [],
  "1.1.0": [],
  "1.2.0": [["lib/commands/run.ts", atStart, `${atStart}  await here.clock.sleep(3_600_000);\n`]],
  // Its event loop hangs, too.
  "1.3.0": [["lib/commands/run.ts", atStart, `${atStart}  while (here.uid >= 0);\n`]],
};

test("an update in mid-job, and versions that never get ready or hang before, lose no job", async () => {
  await using lab = await openSystemdLab();
  const { box } = lab;
  const mirror = join(directory, "mirror");
  mkdirSync(mirror);
  const commits = new Map<string, string>();
  for (const [version, own] of Object.entries(changes)) {
    commits.set(version, (await buildVersion(directory, version, [...common, ...own])).commit);
  }
  const release = async (version: string): Promise<void> => {
    await makeRelease({
      directory: mirror,
      version,
      commit: commits.get(version) ?? "",
      targets: [hostTarget()],
      privateKeys: [signing.private],
      channel: "stable",
      issuedMs: Date.now(),
      expiresDays: 90,
      floor: null,
      revoke: [],
      build: (_, to) => Promise.resolve(copyFileSync(join(directory, `built-${version}`), to)),
    });
    cpSync(mirror, box.at("/root/mirror"), { recursive: true });
  };
  // By its own path: a machine may have something else of this name on the PATH.
  const update = `/opt/${unit}/bin/${unit} update --base-dir /root/base`;
  const current = async (): Promise<string> => await box.must(`readlink /opt/${unit}/bin/${unit}`);
  const marks = async (): Promise<string> => await box.must(`ls /opt/${unit}/boot`);
  const isActive = async (): Promise<boolean> =>
    (await box.run(`systemctl is-active ${unit}`)).exitCode === 0;

  copyFileSync(join(directory, "built-1.0.0"), box.at("/root/factory"));
  await box.must(`/root/factory setup --base-dir /root/base --update-url /root/mirror ${lab.setup}`);
  // As with LoadCredential, which has no files in a box: the service has the token, and the shell that updates has not.
  const drops = `/etc/systemd/system/${unit}.service.d`;
  await box.must(`sed -i '/^token/d' /root/base/config.toml && mkdir ${drops} /etc/lab/credentials &&
    cp /etc/lab/token /etc/lab/credentials/factory-token &&
    printf '[Service]\\nEnvironment=CREDENTIALS_DIRECTORY=/etc/lab/credentials\\n' >${drops}/token.conf`);
  await box.must("/root/factory service install --release --base-dir /root/base");
  await release("1.1.0");
  const id = await lab.submit("echo started; until [ -e /work/go ]; do sleep 0.05; done; echo ended");
  await lab.says(id, "started");

  expect(await box.must(update)).toContain("1.1.0 can be installed");
  const shown = await box.must(`script -qec '${update} --now' /dev/null`);
  expect(shown).toContain("its jobs run on");
  expect(shown).toMatch(/(\d+\.\d) of \1 MB, 0 s left/);
  await until("1.1.0 has proved itself", async () => (await marks()).includes("1.1.0.good"));
  expect(await current()).toContain("/1.1.0/");

  await box.must(`printf '[Service]\\nTimeoutStartSec=2\\n' >${drops}/short.conf && systemctl daemon-reload`);
  for (const version of ["1.2.0", "1.3.0"]) {
    await release(version);
    await box.must(`${update} --now`);
    await until(
      `${version} is rolled back`,
      async () => (await marks()).includes(`${version}.bad`) && (await isActive()),
    );
    expect(await current()).toContain("/1.1.0/");
    const shownStatus = await box.must(`/opt/${unit}/bin/${unit} service status`);
    expect(shownStatus).toMatch(new RegExp(`^failed .*${version}, not tried again`, "m"));
    // The result of the last start says nothing about those before it.
    expect(shownStatus).toMatch(/^restarts +\d+$/m);
    expect((await box.run(`${update} --now`)).stderr).toContain("was rolled back on this host");
  }

  await box.must("touch /root/base/work/grapefruit-1_1/work/go");
  expect((await lab.ended(id)).state).toBe("completed");
  expect(await lab.said(id)).toEqual(["started", "ended"]);
  expect((await lab.ended(await lab.submit("echo next"))).state).toBe("completed");
  const journal = await box.must(`journalctl --no-pager -o short-unix -u ${unit}`);
  const at = (what: string): number =>
    Number(
      journal
        .split("\n")
        .find((line) => line.includes(what))
        ?.split(" ")[0],
    );
  console.log(`without a daemon: ${(at("1.1.0 (") - at("left to the next start")).toFixed(2)} s`);
});
