/** The hidden verb `self-test`: reads the configuration and database that it is to run with, and prints what this executable is. */
import { type BaseArgs, findBase, readConfigWithoutToken } from "../config/locations.ts";
import { tryReading } from "../store/file.ts";
import { selfTestAnswer } from "../update/self-test.ts";
import { lookAround, type ThisProcess } from "./this-process.ts";

export async function testItself(here: ThisProcess, args: BaseArgs): Promise<number> {
  const surroundings = await lookAround(here);
  const base = findBase(args, surroundings);
  readConfigWithoutToken(base, surroundings);
  if (here.exists(base.database)) tryReading(base.database);
  here.print(selfTestAnswer());
  return 0;
}
