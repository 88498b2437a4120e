/** The hidden verb `self-test`: what this executable is, once it has read the configuration and database that it is to run with. */
import { existsSync } from "node:fs";
import { type BaseArgs, findBase, readConfig } from "../config/locations.ts";
import { tryReading } from "../store/file.ts";
import { selfTestAnswer } from "../update/self-test.ts";
import { lookAround, type ThisProcess } from "./this-process.ts";

export async function testItself(here: ThisProcess, args: BaseArgs): Promise<number> {
  const surroundings = await lookAround(here);
  const base = findBase(args, surroundings);
  readConfig(base, surroundings);
  if (existsSync(base.database)) tryReading(base.database);
  here.print(selfTestAnswer());
  return 0;
}
