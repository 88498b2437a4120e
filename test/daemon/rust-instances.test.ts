/** The Rust factory's instances: where they are sought, and what cannot be seen from here. */
import { expect, test } from "bun:test";
import { locateFormer, lookAtFormer, stopFormer } from "../../lib/daemon/rust-instances.ts";
import type { RustPlace } from "../../lib/words/place.ts";
import type { MinderView } from "../../lib/hosts/minder/minder-answer.ts";
import { Secret } from "../../lib/words/secret.ts";
import { openStage } from "./stage.ts";
import { configOf, rustInstanceOf, testbedOf } from "../policy/scenes.ts";

const hiddenWays: RustPlace["at"][] = ["ssh", "sp-runner", "unknown"];

test.each(hiddenWays)(
  "the state of one by %s is unknown, whatever this host shows, and is not stopped here",
  async (way) => {
    await using it = openStage();
    const asked: string[] = [];
    const { here } = it.factory.hosts;
    here.minder = {
      ...here.minder,
      lookAtFormer: (paths) => {
        asked.push(...paths);
        return Promise.resolve(paths.map((directory) => ({ directory, state: "dead" }) as MinderView));
      },
      stopFormer: (path) => {
        asked.push(path);
        return Promise.resolve({ kind: "stopped" });
      },
    };
    const instance = rustInstanceOf(way);
    const view = (await lookAtFormer(it.factory, [instance])).get("a/7");
    expect(view).toMatchObject({ state: "cannot tell", process: "cannot tell" });
    expect(view?.reason).toEqual(expect.any(String));
    expect(await stopFormer(it.factory, instance)).toEqual({
      kind: "cannot tell",
      reason: view?.reason ?? "",
    });
    expect(asked).toEqual([]);
  },
);

test("each local one has its own view, with hidden ones among them", async () => {
  await using it = openStage();
  const { here } = it.factory.hosts;
  here.minder = {
    ...here.minder,
    lookAtFormer: (paths) =>
      Promise.resolve(
        paths.map(
          (directory) => ({ directory, state: directory.includes("b") ? "alive" : "dead" }) as MinderView,
        ),
      ),
  };
  const views = await lookAtFormer(it.factory, [
    rustInstanceOf("ssh", { testbed: "x" }),
    rustInstanceOf("local", { testbed: "a" }),
    rustInstanceOf("unknown", { testbed: "y" }),
    rustInstanceOf("local", { testbed: "b" }),
  ]);
  expect([...views].map(([name, { state }]) => [name, state])).toEqual([
    ["x/7", "cannot tell"],
    ["a/7", "dead"],
    ["y/7", "cannot tell"],
    ["b/7", "alive"],
  ]);
});

/** Where it is found when these files hold this text, and these directories these names. */
async function locate(
  files: Record<string, string>,
  lists: Record<string, string[]> = {},
  { config = configOf([testbedOf()]), living = [] as string[] } = {},
): Promise<RustPlace | undefined> {
  const row = rustInstanceOf("unknown", { bootstrap: new Secret("secret"), worker: "worker-a" });
  await using it = openStage({ config, rows: [row] });
  const { here } = it.factory.hosts;
  here.workDirectory = "/work";
  here.minder = {
    ...here.minder,
    formerDirectories: () => Promise.resolve({ ok: true, directories: living }),
  };
  Object.assign(it.factory.files, {
    readText: (path: string) => Promise.resolve(files[path] ?? null),
    list: (path: string) => Promise.resolve(lists[path] ?? []),
  });
  await locateFormer(it.factory);
  const place = it.store.open()[0]?.place;
  return place?.way === "rust" ? place : undefined;
}

const agentJson = "opt/buildomat/etc/agent.json";
const old = "/tmp/buildomat-sp-test";

test("its directory is the one whose agent was given its worker's bootstrap, not another of its name", async () => {
  const living = ["/somewhere/a_7", "/elsewhere/a_7"];
  const files = {
    [`/somewhere/a_7/${agentJson}`]: '{"bootstrap":"another"}',
    [`/elsewhere/a_7/${agentJson}`]: '{"bootstrap":"secret"}',
  };
  expect(await locate(files, {}, { living })).toMatchObject({ at: "local", directory: "/elsewhere/a_7" });
});

test("a directory of its name where that factory made them is its own, and says whether a service had it", async () => {
  expect(await locate({}, { [old]: ["a_7"] })).toMatchObject({ at: "local", directory: `${old}/a_7` });
  expect(await locate({}, { [old]: ["http-a_7", "a_7"] })).toMatchObject({
    at: "sp-runner",
    directory: `${old}/http-a_7`,
  });
});

test("without a directory the configuration says where it may be, and without that nothing does", async () => {
  expect((await locate({}))?.at).toBe("local");
  const config = configOf([testbedOf({ host: "bench-1" })]);
  expect((await locate({}, {}, { config }))?.at).toBe("ssh");
  const service = configOf([testbedOf({ spRunnerUrl: "http://runner" })]);
  expect((await locate({}, {}, { config: service }))?.at).toBe("sp-runner");
  expect((await locate({}, {}, { config: configOf([testbedOf({ name: "b" })]) }))?.at).toBe("unknown");
});
