/** Where the files of the factory are, and the error if they are missing. */
import { expect, test } from "bun:test";
import { findBase, readConfig, type Surroundings } from "../../lib/config/locations.ts";
import type { FactoryError } from "../../lib/words/failure.ts";

test.each([
  ["root", false],
  ["engineer", true],
])("%s without a configuration is pointed to sudo: %p", (user, isPointed) => {
  const readText = (): never => {
    throw Object.assign(new Error("ENOENT: no such file"), { code: "ENOENT" });
  };
  const here: Surroundings = {
    env: {},
    home: "/h",
    user,
    platform: "linux",
    workingDirectory: "/",
    readText,
  };
  let hint = "";
  try {
    readConfig(findBase({}, here), here);
  } catch (error) {
    hint = (error as FactoryError).hint ?? "";
  }
  expect(hint.includes("setup")).toBe(true);
  // A service that root runs has its files in root's home.
  expect(hint.includes("sudo")).toBe(isPointed);
});
