/** The executable for musl on a host with musl and without the C++ library that it needs, which a fresh Alpine has not. */
import { expect } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildExecutable, hostTarget } from "../../scripts/build.ts";
import { makeRelease } from "../../scripts/release.ts";
import { testWith } from "../lab/needs.ts";
import { stableRelease } from "../lab/update-lab.ts";

testWith("musl")(
  "install.sh on musl names the packages that the executable lacks, and leaves nothing",
  async () => {
    const directory = mkdtempSync(join(tmpdir(), "musl-"));
    const [home, bin, mirror] = ["home", "bin", "mirror"].map((name) => join(directory, name)) as [
      string,
      string,
      string,
    ];
    for (const each of [home, bin, mirror]) mkdirSync(each);
    // By this install.sh knows which C library the host has.
    writeFileSync(join(bin, "getconf"), "#!/bin/sh\nexit 1\n", { mode: 0o755 });
    const target = `${hostTarget()}-musl`;
    await makeRelease({
      directory: mirror,
      version: "1.0.0",
      targets: [target],
      ...stableRelease(),
      build: async (_, executable) =>
        await buildExecutable({ entry: join(import.meta.dir, "../../factory.ts"), executable, target }),
    });
    const words = ["--user", "--no-service", "--server-url", "https://b.example"];
    const ran = Bun.spawnSync(["sh", join(mirror, "install.sh"), ...words], {
      env: { PATH: `${bin}:/usr/bin:/bin`, HOME: home, FACTORY_TOKEN: "token" },
      stdin: "ignore",
    });
    expect(ran.stderr.toString()).toMatch(
      /^install\.sh: the executable does not start: .*libstdc\+\+.*\n {2}It needs the C\+\+ library: apk add libstdc\+\+ libgcc\n$/,
    );
    expect(ran.exitCode).toBe(1);
    expect(
      readdirSync(home, { recursive: true })
        .map(String)
        .filter((name) => name.includes("buildomat")),
    ).toEqual([]);
    rmSync(directory, { recursive: true });
  },
);
