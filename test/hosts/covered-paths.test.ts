import { expect, test } from "bun:test";
import { coverOf, type Cover } from "../../lib/hosts/covered-paths.ts";
import { configOf } from "../policy/scenes.ts";

interface Layout {
  config?: string;
  database?: string;
  tokenFile?: string | null;
  work?: string;
  program?: string[];
  env?: Record<string, string>;
}

const own = "/home/lab/Oxide/ci/factory";

function coverIn({
  config,
  database,
  tokenFile = null,
  work,
  program = ["/opt/factory"],
  env = {},
}: Layout): Cover {
  const base = {
    directory: own,
    config: config ?? `${own}/config.toml`,
    database: database ?? `${own}/data.sqlite3`,
  };
  const surroundings = { env, home: "/home/lab", workingDirectory: "/srv/started" };
  const workDirectory = work ?? `${own}/work`;
  return coverOf({ ...configOf([]), tokenFile }, { base, workDirectory, surroundings, program });
}

const layouts: [string, Layout, string[]][] = [
  ["the base directory as a whole", {}, [own]],
  ["a configuration elsewhere by its name alone", { config: "/etc/factory/config.toml" }, [own]],
  [
    "a database elsewhere with its work directory",
    { database: "/data/f/d.sqlite3", work: "/data/f/work" },
    [own, "/data/f"],
  ],
  [
    "nothing of the home directory but the control socket's",
    { database: "/home/lab/d.sqlite3", work: "/home/lab/work" },
    [own, "/home/lab/control"],
  ],
  [
    "nothing of a system's directory but the control socket's",
    { database: "/var/lib/d.sqlite3", work: "/var/lib/work" },
    [own, "/var/lib/control"],
  ],
  [
    "nothing of the checkout that it runs from but the control socket's",
    { program: ["/bin/bun", own] },
    [`${own}/control`],
  ],
  [
    "systemd's credentials",
    { env: { CREDENTIALS_DIRECTORY: "/run/credentials/f" } },
    [own, "/run/credentials/f"],
  ],
];

test.each(layouts)("coverOf() covers %s", (_, layout, covered) => {
  expect(coverIn(layout).covered).toEqual(covered);
});

test("coverOf() hides each secret file by its name, wherever it is, and keeps the program", () => {
  const { hidden, kept } = coverIn({
    config: "/etc/f.toml",
    tokenFile: "secrets/token",
    program: ["/tmp/f"],
  });
  expect(hidden).toEqual(["/etc/f.toml", `${own}/data.sqlite3`, "/srv/started/secrets/token"]);
  expect(kept).toEqual(["/tmp/f"]);
});
