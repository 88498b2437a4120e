/** Finds the token: in config.toml, in a file that it names, or in systemd's credential. */
import { expandHome } from "./home-paths.ts";
import { showValue, type Complain } from "./problems.ts";
import { factorySchema } from "./schema.ts";
import { findTokenFault } from "./values.ts";
import { isTable, readSection } from "./section-reader.ts";
import { errorText } from "../words/failure.ts";

export interface TokenSource {
  home: string;
  /** The text of systemd's credential `factory-token`; null if there is none. */
  systemdCredential?: string | null;
  /** The caller does not talk to the server. */
  mayLackToken?: boolean;
  /** Returns the file's text; throws an Error if it cannot be read. */
  readTokenFile(path: string): string;
}

const credentialName = "systemd's credential factory-token";

/** The token and its file; an empty text if there is none or more than one, which is reported. */
export function readToken(
  section: unknown,
  source: TokenSource,
  complain: Complain,
): { text: string; file: string | null } {
  const credential = source.systemdCredential ?? null;
  const factory = readSection(factorySchema, section ?? {}, ["factory"], complain);
  const has = (name: string): boolean => isTable(section) && Object.hasOwn(section, name);
  const given = [...["token", "token_file"].filter(has), ...(credential === null ? [] : [credentialName])];
  if (given.length > 1) {
    const at = has("token") ? "token" : "token_file";
    complain(["factory", at], `${given.join(" and ")} are set`, "Keep one of them");
  } else if (given.length === 0 && source.mayLackToken !== true) {
    const fix = `Add token = "..." or token_file = "..." to [factory]`;
    complain(["factory", "token"], "there is no token", fix);
  }
  if (credential !== null) return { text: checkToken(credential, credentialName, complain), file: null };
  if (factory.token_file === undefined) return { text: factory.token ?? "", file: null };
  const path = expandHome(factory.token_file, source.home);
  try {
    return { text: checkToken(source.readTokenFile(path), path, complain), file: path };
  } catch (error) {
    const fix = "Write the token to that file, readable only by the factory's user, or name another file";
    complain(["factory", "token_file"], `cannot read ${showValue(path)}: ${errorText(error)}`, fix);
    return { text: "", file: path };
  }
}

function checkToken(text: string, origin: string, complain: Complain): string {
  const fault = findTokenFault(text);
  if (fault !== null) {
    const fix = "It must contain only the token, on one line";
    complain(["factory", "token_file"], `no token in ${origin}: ${fault}`, fix);
  }
  return text.trim();
}
