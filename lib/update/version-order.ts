/** Which of two versions is newer: numbers, then a release before its own pre-releases. */

/** Below 0: `a` is older than `b`. Both as places.ts has them. */
export function compareVersions(a: string, b: string): number {
  const [first, second] = [partsOf(a), partsOf(b)];
  for (const index of [0, 1, 2]) {
    const difference = Number(first.numbers[index]) - Number(second.numbers[index]);
    if (difference !== 0) return difference;
  }
  if (first.rest === null || second.rest === null)
    return Number(first.rest === null) - Number(second.rest === null);
  return first.rest.localeCompare(second.rest, "en", { numeric: true });
}

function partsOf(version: string): { numbers: string[]; rest: string | null } {
  const at = version.indexOf("-");
  const numbers = (at < 0 ? version : version.slice(0, at)).split(".");
  return { numbers, rest: at < 0 ? null : version.slice(at + 1) };
}
