/** A lab whose testbed hangs on another host: a real sshd on loopback. */
import { expect } from "bun:test";
import { join } from "node:path";
import { type FactoryProcess, type Lab, type LabOptions, openLab } from "./lab.ts";
import { type Sshd, startSshd } from "./sshd.ts";
import { until } from "./until.ts";

export interface SshLab extends Lab {
  sshd: Sshd;
  /** The work directory there. */
  work: string;
  /** As `configure`, with the testbed as it is. */
  configureBed(options: LabOptions): void;
}

export async function openSshLab(
  lines: string[] = [],
  config: string[] = [],
  options: LabOptions = {},
): Promise<SshLab> {
  const lab = await openLab(options);
  const sshd = await startSshd(lab.directory, { config });
  const work = join(lab.directory, "far");
  const bed = [
    'host = "bench-1"',
    'ssh_user = "root"',
    `work_dir = "${work}"`,
    ...(options.agent === "builtin" ? [] : [`agent_path = "${lab.directory}/stub-agent"`]),
    ...lines,
  ];
  const configureBed = (more: LabOptions): void =>
    lab.configure({ ...options, ...more, testbeds: { "bed-1": bed } });
  configureBed({});
  const path = `${lab.directory}/bin:${process.env["PATH"]}`;
  return {
    ...lab,
    sshd,
    work,
    configureBed,
    start: (wanted = {}) => lab.start({ ...wanted, env: { PATH: path, ...wanted.env } }),
    [Symbol.asyncDispose]: async () => {
      await sshd.stop();
      await lab[Symbol.asyncDispose]();
    },
  };
}

export async function drained(factory: FactoryProcess): Promise<void> {
  await until("it has started", () => factory.log().some(({ message }) => message.includes("started on")));
  factory.kill("SIGUSR1");
  expect(await factory.exited).toBe(0);
}
