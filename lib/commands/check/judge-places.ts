/** Whether the factory's user, and nobody else, can write the directories and files that the factory uses. Pure. */
import { faultOf, judgeRoom, octal } from "../../hosts/work-directory.ts";
import type { Facts, Seen, SeenPath } from "./facts.ts";
import { error, type Finding, ok, warning } from "./finding.ts";

export function judgeTokenFiles({ tokenFiles }: Facts): Finding[] {
  if (!tokenFiles.ok) return [warning("token", `cannot tell who may read it: ${tokenFiles.reason}`, null)];
  return tokenFiles.value.flatMap(({ path, mode }) =>
    (mode & 0o077) === 0
      ? []
      : [
          warning(
            "token",
            `others may ${mode & 0o022 ? "write" : "read"} ${path} (mode ${octal(mode)})`,
            `chmod 600 ${path}`,
          ),
        ],
  );
}

/** The directories of the database and the configuration. They are often the same; with -d and -f they need not be the base directory. */
export function judgeBase({
  configDirectory,
  databaseDirectory,
  database,
  databaseTrouble,
  uid,
}: Facts): Finding[] {
  const isOne =
    configDirectory.ok && databaseDirectory.ok && configDirectory.value.path === databaseDirectory.value.path;
  return [
    ...(isOne ? [] : judgeLook("directory", configDirectory, judgeLoose)),
    ...judgeLook("directory", databaseDirectory, judgeDatabaseDirectory),
    ...judgeLook("database", database, (place) => judgeDatabase(place, uid)),
    ...judgeContent(databaseTrouble),
  ];
}

function judgeContent(trouble: Seen<string | null>): Finding[] {
  // A database that cannot be read is reported above.
  if (!trouble.ok || trouble.value === null) return [];
  const hint = "Move it aside, but keep it; running agents are found again without it";
  return [error("database", trouble.value, hint)];
}

function judgeDatabaseDirectory(place: SeenPath): Finding[] {
  const subject = "directory";
  const { path, kind, isWritable } = place;
  if (kind === "missing") return [error(subject, `${path} is not there`, `mkdir -p -m 700 ${path}`)];
  if (kind !== "directory") {
    return [error(subject, `${path} is not a directory`, "Name another one with --base-dir or -d")];
  }
  if (!isWritable) {
    return [error(subject, `${path} cannot be written by this user`, "Run as its owner, or chown it")];
  }
  const loose = judgeLoose(place);
  return loose.length > 0 ? loose : [ok(subject, `this user can write ${path}`)];
}

/** Anyone who may write to a directory can replace the files in it. */
function judgeLoose({ path, mode }: SeenPath): Finding[] {
  if ((mode & 0o022) === 0 || (mode & 0o1000) !== 0) return [];
  return [warning("directory", `others may write to ${path} (mode ${octal(mode)})`, `chmod go-w ${path}`)];
}

function judgeDatabase(
  { path, kind, mode, isReadable, isWritable }: SeenPath,
  uid: number | null,
): Finding[] {
  const subject = "database";
  if (kind === "missing") return [ok(subject, `${path} will be created at the first start`)];
  if (kind !== "file")
    return [error(subject, `${path} is not a file`, "Move it aside, or name another one with -d")];
  if (!isReadable || !isWritable) {
    const hint = `Run as its owner, or chown it${uid === null ? "" : ` to user ${uid}`}`;
    return [error(subject, `${path} cannot be read and written by this user`, hint)];
  }
  if ((mode & 0o077) !== 0) {
    return [
      warning(
        subject,
        `others may read ${path} (mode ${octal(mode)}): it holds agents' secrets`,
        `chmod 600 ${path}`,
      ),
    ];
  }
  return [ok(subject, `${path} can be read and written`)];
}

export function judgeWork({ workDirectory, uid }: Facts): Finding[] {
  const subject = "work directory";
  return judgeLook(subject, workDirectory, (place) => {
    const fault = faultOf(place, uid, "general.work_dir");
    if (fault !== null) return [error(subject, fault.message, fault.fix)];
    const { path, kind } = place;
    if (kind === "missing") return [ok(subject, `${path} will be created at the first start`)];
    return [ok(subject, `only this user can write ${path}`)];
  });
}

/** As strict as the minder. */
export function judgeLockDirectory({ lockDirectory, uid }: Facts): Finding[] {
  const subject = "lock directory";
  const elsewhere = "or set FACTORY_LOCK_DIR to the same directory for all factories of this host";
  return judgeLook(subject, lockDirectory, ({ path, kind, mode, uid: owner, isWritable }) => {
    if (kind === "link")
      return [error(subject, `${path} is a symbolic link`, `Name the directory itself, ${elsewhere}`)];
    const hint = `mkdir -m 1777 ${path} as root, ${elsewhere}`;
    if (kind === "missing") {
      if (isWritable) return [ok(subject, `${path} will be created for the first job`)];
      return [error(subject, `${path} is not there and cannot be created by this user`, hint)];
    }
    if (kind !== "directory") return [error(subject, `${path} is not a directory`, hint)];
    if (!isWritable)
      return [error(subject, `${path} cannot be written by this user`, `chmod 1777 ${path}, ${elsewhere}`)];
    if ((mode & 0o1000) === 0 && (mode & 0o022) !== 0) {
      return [error(subject, `${path} is not sticky (mode ${octal(mode)})`, `chmod 1777 ${path}`)];
    }
    if ((mode & 0o1000) === 0 && owner !== 0 && owner !== uid) {
      return [error(subject, `${path} belongs to user ${owner} alone`, `chmod 1777 ${path}`)];
    }
    return [ok(subject, `${path} is shared by this host's factories`)];
  });
}

export function judgeFreeSpace({ freeBytes, workDirectory }: Facts): Finding[] {
  const subject = "disk space";
  if (!freeBytes.ok) return [warning(subject, `cannot be measured: ${freeBytes.reason}`, null)];
  const place = workDirectory.ok ? workDirectory.value.path : null;
  const { is, message, fix } = judgeRoom(freeBytes.value, place, "general.work_dir");
  if (is === "enough") return [ok(subject, message)];
  return [is === "little" ? warning(subject, message, fix) : error(subject, message, fix)];
}

function judgeLook<T>(subject: string, look: Seen<T>, judge: (value: T) => Finding[]): Finding[] {
  if (look.ok) return judge(look.value);
  return [error(subject, `cannot be read: ${look.reason}`, "Run as the factory's user")];
}
