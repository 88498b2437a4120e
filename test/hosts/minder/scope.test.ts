/** Where minders live: in a scope of systemd's if this program is a service, and otherwise without one. */
import { expect, test } from "bun:test";
import { chooseScope } from "../../../lib/hosts/minder/scope.ts";
import { openScript } from "../../../lib/hosts/minder/script-call.ts";
import { localTransport, type Transport } from "../../../lib/hosts/minder/transport.ts";
import { openClock } from "../../../lib/doors/clock.ts";
import { openProcesses } from "../../../lib/doors/processes.ts";
import { openRandom } from "../../../lib/doors/random.ts";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const system = { INVOCATION_ID: "1", NOTIFY_SOCKET: "/run/systemd/notify" };
const ofUser = { ...system, MANAGERPID: "9", XDG_RUNTIME_DIR: "/run/user/1000" };

test("only a service of root's or of a user's systemd asks for a scope", () => {
  expect(chooseScope({ env: {}, uid: 0 })).toBeNull();
  expect(chooseScope({ env: system, uid: 0 })?.words).not.toContain("--user");
  expect(chooseScope({ env: ofUser, uid: 1000 })).toMatchObject({
    words: expect.arrayContaining(["systemd-run", "--scope", "--user", "--"]) as string[],
    env: { XDG_RUNTIME_DIR: "/run/user/1000" },
  });
});

test("a service of the system's systemd that runs as another user does not ask for a scope", () => {
  expect(chooseScope({ env: system, uid: 1000 })).toBeNull();
});

test.each([
  ["refuses", ["sh", "-c", "echo 'Failed to start transient scope unit' >&2; exit 1"], 3],
  ["is not there", ["/nonexistent/systemd-run"], 3],
  ["is there", ["sh", "-c", 'exec "$@"', "sh"], 2],
])("a minder is started where systemd-run %s", async (_, words, calls) => {
  const directory = mkdtempSync(join(tmpdir(), "scope-"));
  const processes = openProcesses({ clock: openClock() });
  const transport = localTransport({ processes });
  const ran: string[] = [];
  const counted =
    (name: string, each: Transport): Transport =>
    (argv, ...rest) => {
      if (argv.includes("locks")) ran.push(name);
      return each(argv, ...rest);
    };
  const script = openScript({
    transport: counted("plain", transport),
    lasting: counted("scope", localTransport({ processes, scope: { words, env: {} } })),
    random: openRandom(),
    directory,
    shell: "sh",
  });
  expect(await script.call("locks", [directory], "", 20_000, true)).toMatchObject({ ok: true });
  expect(ran).toHaveLength(calls);
  ran.length = 0;
  // What starts nothing that lasts is never put into one.
  expect(await script.call("locks", [directory], "", 20_000)).toMatchObject({ ok: true });
  expect(ran).toEqual(["plain"]);
  rmSync(directory, { recursive: true });
});
