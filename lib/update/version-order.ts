/** Which of two versions is newer. */

/** Below 0: `a` is older than `b`. A release is newer than its own pre-releases. Both are as places.ts has them. */
export function compareVersions(a: string, b: string): number {
  const [[release = "", pre], [otherRelease = "", otherPre]] = [a.split(/-(.*)/), b.split(/-(.*)/)];
  const order = compareTexts(release, otherRelease);
  if (order !== 0) return order;
  if (pre === undefined || otherPre === undefined) {
    return Number(pre === undefined) - Number(otherPre === undefined);
  }
  return compareTexts(pre, otherPre);
}

/** Numbers in them count as numbers: rc10 comes after rc9. */
const compareTexts = (a: string, b: string): number => a.localeCompare(b, "en", { numeric: true });
