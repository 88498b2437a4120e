/**
 * Instances that the Rust factory began: where their agents are, whether they live, and their end. It kept none of this; what
 * cannot be seen from here stays reserved until an operator says that nothing of it is left.
 */
import { directoryName, type Instance, instanceName, isRust, type RustInstance } from "../words/domain.ts";
import type { RustPlace } from "../words/place.ts";
import type { MinderView, StopResult } from "../hosts/minder/minder-answer.ts";
import { openInstances, advance } from "./instance-memory.ts";
import { type Factory, logFor } from "./memory.ts";

type Needs = Pick<Factory, "config" | "files" | "hosts" | "known" | "log" | "store">;

/** Where that factory made its directories unless it was told otherwise. */
const formerWorkDirectory = "/tmp/buildomat-sp-test";

/** At each start, because a directory that was not found may be named by then. Throws what the store throws. */
export async function locateFormer(factory: Needs): Promise<void> {
  const former = openInstances(factory.known).filter(isRust);
  const sought = former.filter(({ isCleared }) => !isCleared);
  for (const instance of former) {
    if (instance.phase !== "stopped") {
      logFor(factory, instance).info(`taken over from the Rust factory: it is ${instance.phase}`);
    }
  }
  if (sought.length === 0) return;
  const living = await factory.hosts.here.minder.formerDirectories(sought.map(directoryName));
  const found = living.ok ? living.directories : [];
  for (const instance of sought) {
    const place = await placeOf(factory, instance, found);
    if (JSON.stringify(place) !== JSON.stringify(instance.place)) advance(factory, instance, { place });
  }
}

/** What is there says more than today's configuration. */
async function placeOf(factory: Needs, instance: RustInstance, living: string[]): Promise<RustPlace> {
  const { files, config } = factory;
  const { workDirectory } = factory.hosts.here;
  const name = directoryName(instance);
  const usual = [workDirectory, formerWorkDirectory];
  const place = (at: RustPlace["at"], directory: string): RustPlace => ({ ...instance.place, at, directory });
  const candidates = [
    ...living.filter((path) => path.endsWith(`/${name}`)),
    ...usual.map((path) => `${path}/${name}`),
  ];
  for (const directory of candidates) {
    if (await holdsBootstrap(factory, instance, directory)) return place("local", directory);
  }
  for (const path of usual) {
    const names = await files.list(path).catch((): string[] => []);
    if (names.includes(`http-${name}`)) return place("sp-runner", `${path}/http-${name}`);
    if (names.includes(name)) return place("local", `${path}/${name}`);
  }
  const testbed = config.testbeds.find((each) => each.name === instance.testbed);
  const directory = `${workDirectory}/${name}`;
  if (testbed === undefined) return place("unknown", directory);
  if (testbed.spRunnerUrl !== null) return place("sp-runner", directory);
  return place(testbed.host === null ? "local" : "ssh", directory);
}

/** Whether the agent there was given the bootstrap of this instance's worker: no other directory has it. */
async function holdsBootstrap(
  { files }: Needs,
  { bootstrap }: RustInstance,
  directory: string,
): Promise<boolean> {
  const text = await files.readText(`${directory}/opt/buildomat/etc/agent.json`).catch(() => null);
  return (
    text !== null && bootstrap !== null && bootstrap.reveal() !== "" && text.includes(bootstrap.reveal())
  );
}

/** What there is to see of an agent without a minder. */
type RustView = Pick<MinderView, "state" | "reason" | "output" | "process" | "minder">;

const unknown = "cannot tell";
const nothingSeen: RustView = {
  state: unknown,
  reason: null,
  output: null,
  process: unknown,
  minder: "dead",
};

export async function lookAtFormer(
  { hosts }: Pick<Factory, "hosts">,
  instances: RustInstance[],
): Promise<Map<string, RustView>> {
  const here = instances.filter((instance) => whyHidden(instance) === null);
  const seen = await hosts.here.minder.lookAtFormer(here.map(({ place }) => place.directory));
  const views = new Map<string, RustView>();
  for (const instance of instances) {
    const view = seen[here.indexOf(instance)] ?? nothingSeen;
    views.set(instanceName(instance), { ...view, reason: whyHidden(instance) ?? view.reason });
  }
  return views;
}

export async function stopFormer(
  { hosts }: Pick<Factory, "hosts">,
  instance: RustInstance,
): Promise<StopResult> {
  const hidden = whyHidden(instance);
  if (hidden !== null) return { kind: "cannot tell", reason: hidden };
  return await hosts.here.minder.stopFormer(instance.place.directory);
}

/** Why this host does not show whether its agent lives; null where it does. */
function whyHidden({ place, isCleared }: RustInstance): string | null {
  if (isCleared) return null;
  switch (place.at) {
    case "local":
      return null;
    case "ssh":
      return "the Rust factory started it over ssh, on the testbed's host";
    case "sp-runner":
      return "the Rust factory handed it to the testbed's sp-runner service";
    case "unknown":
      return "its testbed is not configured, and nothing here says where the Rust factory started it";
  }
}

/** For people: what they can say where we cannot look. */
export function howToClear({ testbed }: Instance): string {
  return `once nothing of it runs any more: clear ${testbed} --because TEXT`;
}
