import { describe, expect, test } from "bun:test";
import { matchesText, parsePattern } from "../../../lib/agent/outputs/glob.ts";

function matches(pattern: string, text: string): boolean {
  const parsed = parsePattern(pattern);
  if (!parsed.ok) throw new Error(parsed.message);
  return matchesText(parsed, text);
}

describe("matchesText()", () => {
  test.each<[pattern: string, text: string, isMatch: boolean]>([
    ["/work/a", "/work/a", true],
    ["/work/a", "/work/A", false],
    ["/work/a", "/work/a/b", false],
    ["/work/?", "/work/x", true],
    ["/work/?", "/work/", false],
    ["/work/?", "/work/é", true],
    ["/work/?", "/work/😀", true],
    ["/work/*", "/work/", true],
    ["/work/*", "/work/.hidden", true],
    ["/work/*.log", "/work/a.log", true],
    ["/work/*.log", "/work/a/b.log", true],
    ["/work?a", "/work/a", true],
    ["/work[/]a", "/work/a", true],
    ["/work/*.log", "/work/a.log.gz", false],
    ["*a*b*", "xxaxxbxx", true],
    ["*a*b*", "xxbxxaxx", false],
    ["/[abc]", "/b", true],
    ["/[abc]", "/d", false],
    ["/[a-c]", "/b", true],
    ["/[a-c]", "/-", false],
    ["/[a-]", "/-", true],
    ["/[-a]", "/-", true],
    ["/[!a]", "/b", true],
    ["/[!a]", "/a", false],
    ["/[!a-c]", "/b", false],
    ["/[[]x]", "/[x]", true],
    ["/[]]", "/]", true],
    ["/[!]]", "/]", false],
    ["/[!]]", "/x", true],
    ["/x]", "/x]", true],
    ["/{a,b}", "/a", false],
    ["/{a,b}", "/{a,b}", true],
    ["/\\*", "/\\x", true],
    ["/**/x", "/x", true],
    ["/**/x", "/a/x", true],
    ["/**/x", "/a/b/x", true],
    ["/**/x", "/ax", false],
    ["/**/x", "/a/bx", false],
    ["/a/**/b/**/c", "/a/b/c", true],
    ["/a/**/b/**/c", "/a/x/b/y/z/c", true],
    ["/a/**/b/**/c", "/a/x/c", false],
    ["/**/**/x", "/a/b/x", true],
    ["/a/**", "/a/", true],
    ["/a/**", "/a/b/", true],
    ["/a/**", "/a/b", true],
    ["/a/**", "/a", false],
    ["/a/**", "/ab", false],
    ["/a/**/*", "/a/b/.c", true],
    ["", "", true],
    ["", "x", false],
  ])("%s and %s: %p", (pattern, text, isMatch) => {
    expect(matches(pattern, text)).toBe(isMatch);
  });

  test("a hostile pattern takes time in proportion to its length", () => {
    const startedMs = performance.now();
    expect(matches(`/${"*a".repeat(200)}b`, `/${"a".repeat(3000)}`)).toBe(false);
    expect(performance.now() - startedMs).toBeLessThan(2000);
  });
});

describe("parsePattern()", () => {
  const wildcard = "wildcards are either regular `*` or recursive `**`";
  const recursive = "recursive wildcards must form a single path component";
  const range = "invalid range pattern";

  test.each<[pattern: string, position: number, message: string]>([
    ["/work/***", 8, wildcard],
    ["/work/****/x", 8, wildcard],
    ["/work/a**", 6, recursive],
    ["/work/**a", 8, recursive],
    ["/work/a**/b", 6, recursive],
    ["/work/[ab", 6, range],
    ["/work/[]", 6, range],
    ["/work/[!]", 6, range],
    ["/work/[", 6, range],
    ["/é/[", 3, range],
  ])("%s is refused at %i: %s", (pattern, position, message) => {
    expect(parsePattern(pattern)).toEqual({ ok: false, position, message });
  });

  test.each([
    ["/a/b", false, false],
    ["/a/*", true, false],
    ["/a/[b]", true, false],
    ["/a/?", true, false],
    ["**", true, true],
    ["/a]", false, false],
  ])("%s has a wildcard: %p, is recursive: %p", (pattern, hasWildcard, isRecursive) => {
    expect(parsePattern(pattern)).toMatchObject({ ok: true, hasWildcard, isRecursive });
  });
});
