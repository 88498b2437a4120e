/**
 * The rules that say which files of a job are kept: `[!|=|%|=%|%=]/absolute/glob` (lib/devserver/README.md "Submitting
 * a job").
 */

export interface RuleRecord {
  rule: string;
  ignore: boolean;
  size_change_ok: boolean;
  require_match: boolean;
}

export function parseOutputRule(text: string): { ok: true; rule: RuleRecord } | { ok: false; why: string } {
  const parsed: RuleRecord = { rule: "", ignore: false, size_change_ok: false, require_match: false };
  for (let at = 0; at < text.length; at += 1) {
    const character = text[at];
    if (character === "/") return { ok: true, rule: { ...parsed, rule: text.slice(at) } };
    if (parsed.ignore) return { ok: false, why: `wanted '/', not '${character}', in output rule` };
    if (character === "!") {
      if (at > 0) return { ok: false, why: "'!' unexpected in output rule" };
      parsed.ignore = true;
    } else if (character === "=" && !parsed.require_match) parsed.require_match = true;
    else if (character === "%" && !parsed.size_change_ok) parsed.size_change_ok = true;
    else if (character === "=" || character === "%") {
      return { ok: false, why: `'${character}' unexpected in output rule` };
    } else return { ok: false, why: `wanted sigil/absolute path, not '${character}'` };
  }
  return { ok: false, why: "output rule pattern must be absolute path" };
}
