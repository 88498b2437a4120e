/** Root may read and write everything, so a test of forbidden reads and writes runs without that capability. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";

/** CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH (capability.h). */
const powers = 0b110n;

function hasPowers(): boolean {
  const held = /^CapEff:\s*([0-9a-f]+)/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "0";
  return (BigInt(`0x${held}`) & powers) !== 0n;
}

/** As `test`, but in a process of its own without the capabilities if this one has them. `file`: the caller's file. */
export function testAsMortal(file: string, name: string, body: () => void | Promise<void>): void {
  test(name, async () => {
    if (!hasPowers()) return await body();
    const child = Bun.spawnSync([
      "setpriv",
      "--bounding-set=-dac_override,-dac_read_search",
      "--",
      process.execPath,
      "test",
      file,
      "--test-name-pattern",
      `${name}$`,
    ]);
    const output = `${child.stdout.toString()}${child.stderr.toString()}`;
    expect(output).toContain(" 1 pass");
    expect(output).toContain(" 0 fail");
    expect(child.exitCode).toBe(0);
  });
}
