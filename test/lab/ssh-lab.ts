/** A lab whose testbed hangs on another host: a real sshd on loopback. */
import { expect } from "bun:test";
import { join } from "node:path";
import { type FactoryProcess, type Lab, type LabOptions, openLab } from "./lab.ts";
import { type Sshd, type SshdOptions, startSshd } from "./sshd.ts";
import { until } from "./until.ts";

export interface SshLab extends Lab {
  sshd: Sshd;
  /** The work directory there. */
  work: string;
  /** Lines of the testbed's section. */
  bed: string[];
  /** As `configure`, with the testbed as it is. */
  configureBed(options: LabOptions): void;
}

export interface SshLabOptions extends LabOptions, Pick<SshdOptions, "config" | "machine" | "hasBoot"> {
  /** Lines of the testbed's section beyond the usual ones. */
  bed?: string[];
  /** How many boards hang on that host: bed-1 and so on. */
  boards?: number;
  /** Options of a file system in memory that is the work directory there. */
  disk?: string;
}

export async function openSshLab({
  bed = [],
  config,
  machine,
  disk,
  hasBoot = false,
  boards = 1,
  ...options
}: SshLabOptions = {}): Promise<SshLab> {
  const lab = await openLab(options);
  const isOwn = machine !== undefined;
  const sshd = await startSshd(lab.directory, {
    ...(config === undefined ? {} : { config }),
    ...(isOwn ? { machine } : {}),
    ...(disk === undefined ? {} : { disk: { place: join(lab.directory, "far"), options: disk } }),
    hasBoot,
  });
  // The user of a machine of its own has the usual place.
  const work = isOwn ? join(sshd.home, ".local/state/buildomat-factory") : join(lab.directory, "far");
  const lines = [
    'host = "bench-1"',
    `ssh_user = "${isOwn ? "lab" : "root"}"`,
    ...(isOwn ? [] : [`work_dir = "${work}"`]),
    ...(options.agent === "builtin" ? [] : [`agent_path = "${lab.directory}/stub-agent"`]),
    ...bed,
  ];
  const configureBed = (more: LabOptions): void =>
    lab.configure({
      ...options,
      ...more,
      testbeds: Object.fromEntries(Array.from({ length: boards }, (_, index) => [`bed-${index + 1}`, lines])),
    });
  configureBed({});
  const path = `${lab.directory}/bin:${process.env["PATH"]}`;
  return {
    ...lab,
    sshd,
    work,
    bed: lines,
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
