/** The errors if systemd cannot be used. test/long/systemd.ts has a real one. */
import { expect, test } from "bun:test";
import type { Run } from "../../lib/doors/processes.ts";
import { openSystemd, type SystemdOptions } from "../../lib/service/systemd.ts";

const said = (stdout: string, exitCode = 0, stderr = ""): SystemdOptions["processes"] => ({
  run: () => Promise.resolve({ ok: true, exitCode, stdout, stderr }),
  talk: () => {
    throw new Error("nothing is talked to");
  },
});

const options: SystemdOptions = {
  kind: "system",
  processes: said("systemd 252\n"),
  exists: () => true,
  env: {},
  uid: 0,
  searchPath: "/usr/bin:/bin",
};

test.each([
  ["not root", { uid: 1000 }, "this user is not root", "--user"],
  ["no systemd", { exists: () => false }, "systemd does not run this host", "Without systemd"],
  [
    "too old a systemd",
    { processes: said("219\n") },
    "systemd 219 is too old, 236 is needed",
    "Without systemd",
  ],
  [
    "no systemd of the user's",
    { kind: "user", uid: 1000, processes: said("", 1, "Failed to connect to bus: No medium found\n") },
    "Cannot reach the user's systemd: Failed to connect to bus",
    "loginctl enable-linger",
  ],
  [
    "no systemctl",
    { processes: { ...said(""), run: () => Promise.resolve({ ok: false, reason: "systemctl: not found" }) } },
    "Cannot ask systemd: systemctl: not found",
    "PATH",
  ],
] as [string, Partial<SystemdOptions>, string, string][])(
  "%s is an error that says what to do",
  async (_, change, message, hint) => {
    const opened = openSystemd({ ...options, ...change });
    expect(await opened.catch((error: unknown) => error)).toMatchObject({
      name: "FactoryError",
      message: expect.stringContaining(message) as string,
      hint: expect.stringContaining(hint) as string,
    });
  },
);

test("a user's systemd is called with the user's runtime directory, the system's without one", async () => {
  const runs: Run[] = [];
  const processes: SystemdOptions["processes"] = {
    ...said(""),
    run: (run) => {
      runs.push(run);
      return Promise.resolve({ ok: true, exitCode: 0, stdout: "252.38-1\n", stderr: "" });
    },
  };
  expect((await openSystemd({ ...options, processes })).version).toBe(252);
  await openSystemd({ ...options, processes, kind: "user", uid: 1000 });
  expect(runs.map(({ argv, env }) => [argv[1], env["XDG_RUNTIME_DIR"]])).toEqual([
    ["show", undefined],
    ["--user", "/run/user/1000"],
  ]);
});
