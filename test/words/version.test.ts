import { expect, test } from "bun:test";
import manifest from "../../package.json" with { type: "json" };
import { version, versionLine } from "../../lib/words/version.ts";

test("a program that runs from source shows `development` as commit and target", () => {
  expect(version).toEqual({
    product: "buildomat-factory-sp-test",
    version: manifest.version,
    commit: "development",
    target: "development",
  });
  expect(versionLine()).toBe(`buildomat-factory-sp-test ${manifest.version} (development, development)`);
});
