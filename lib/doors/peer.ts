/** Who is at the other end of a unix socket, by the kernel's word. */
import { ptr } from "bun:ffi";
import { openCLibrary } from "./c-library.ts";

export interface Peer {
  uid: number;
  /** All groups that the process had when it connected. */
  gids: number[];
  pid: number;
}

const linux = { level: 1, credentials: 17, groups: 59 };
/** LOCAL_PEERCRED gives a version, the uid, a count and up to 16 groups. */
const darwin = { level: 0, credentials: 1, pid: 2, bytes: 76 };
const usualGroups = 64;

/** Null: the kernel does not say. Throws if there is no C library. */
export function openPeers(): (descriptor: number) => Peer | null {
  const { getsockopt } = openCLibrary({
    getsockopt: { args: ["i32", "i32", "i32", "ptr", "ptr"], returns: "i32" },
  });
  /** The bytes that were given; what did not fit is a number. */
  function read(
    descriptor: number,
    level: number,
    option: number,
    bytes: number,
  ): Uint32Array | number | null {
    const room = new Uint32Array(bytes / 4);
    const size = new Uint32Array([bytes]);
    const [given = 0] = getsockopt(descriptor, level, option, ptr(room), ptr(size)) === 0 ? size : [-1];
    if (given >= 0) return room.subarray(0, given / 4);
    const [wanted = 0] = size;
    return wanted > bytes ? wanted : null;
  }
  function readGroups(descriptor: number, bytes: number): number[] | null {
    const groups = read(descriptor, linux.level, linux.groups, bytes);
    return typeof groups === "number" ? readGroups(descriptor, groups) : groups && [...groups];
  }
  if (process.platform === "darwin") {
    return (descriptor) => {
      const given = read(descriptor, darwin.level, darwin.credentials, darwin.bytes);
      if (given === null || typeof given === "number") return null;
      const [, uid = 0, count = 0] = given;
      const pid = read(descriptor, darwin.level, darwin.pid, 4);
      // The count is of two bytes.
      const gids = [...given.subarray(3, 3 + (count & 0xffff))];
      return { uid, gids, pid: pid === null || typeof pid === "number" ? 0 : (pid[0] ?? 0) };
    };
  }
  return (descriptor) => {
    const given = read(descriptor, linux.level, linux.credentials, 12);
    if (given === null || typeof given === "number") return null;
    const [pid = 0, uid = 0, gid = 0] = given;
    // Linux before 4.13 names the first group only.
    return { uid, pid, gids: [gid, ...(readGroups(descriptor, usualGroups * 4) ?? [])] };
  };
}
