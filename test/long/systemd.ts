/** The service under a real systemd: installed, restarted, stopped, hung, rebooted and gone again. */
import { expect, setDefaultTimeout } from "bun:test";
import { existsSync } from "node:fs";
import { testWith } from "../lab/needs.ts";
import { openSystemdBox } from "../lab/systemd-box.ts";

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
