/** The manual page in roff, made of the verbs' own descriptions, flags and examples. Pure. */
import type { ArgsDef } from "citty";
import { version } from "../words/version.ts";
import { verbs } from "./verbs.ts";

const name = version.product;

export function manPage(): string {
  const shown = Object.entries(verbs).filter(([, { isHidden }]) => isHidden !== true);
  return [
    `.TH ${name.toUpperCase()} 1 "" "${roff(version.version)}"`,
    ".SH NAME",
    `${roff(name)} \\- runs a buildomat server's hardware\\-test jobs on the testbeds of a lab`,
    ".SH SYNOPSIS",
    `.B ${roff(name)}`,
    "[\\fIVERB\\fR] [\\fIFLAGS\\fR]",
    ".PP",
    "Without a verb it does what \\fBrun\\fR does.",
    ".SH VERBS",
    ...shown.flatMap(([verb, { description, args = {}, examples = [] }]) => [
      ".SS",
      [`\\fB${roff(verb)}\\fR`, ...positionals(args)].join(" "),
      `${roff(description)}.`,
      ...flags(args),
      ...examples.flatMap(([line, what]) => [".TP", `\\fB${roff(`${name} ${line}`)}\\fR`, roff(what)]),
    ]),
    ".SH SEE ALSO",
    "README.md of the project has the keys of config.toml, the states of testbeds, and what to do when something is wrong.",
  ].join("\n");
}

function positionals(args: ArgsDef): string[] {
  return Object.entries(args).flatMap(([word, arg]) =>
    arg.type === "positional" ? [`\\fI${roff(word.toUpperCase())}\\fR`] : [],
  );
}

function flags(args: ArgsDef): string[] {
  return Object.entries(args).flatMap(([word, arg]) => {
    // A flag without a description is for install.sh alone.
    if (arg.type === "positional" || arg.description === undefined) return [];
    const short = "alias" in arg && typeof arg.alias === "string" ? `\\fB\\-${arg.alias}\\fR, ` : "";
    const hint = arg.valueHint === undefined ? "" : ` \\fI${roff(arg.valueHint)}\\fR`;
    return [".TP", `${short}\\fB\\-\\-${roff(word)}\\fR${hint}`, roff(arg.description)];
  });
}

/** As text: a hyphen that can be copied, and nothing that roff takes for a command. */
function roff(text: string): string {
  return text
    .replaceAll("\\", "\\e")
    .replaceAll("-", "\\-")
    .replace(/^(?=[.'])/, "\\&");
}
