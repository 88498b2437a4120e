/** The host's C library, for the few system calls that the runtime has no other way to. */
import { dlopen, type FFIFunction, type Library } from "bun:ffi";

/** Throws if there is none that has these functions. */
export function openCLibrary<Calls extends Record<string, FFIFunction>>(
  calls: Calls,
): Library<Calls>["symbols"] {
  let fault: unknown;
  for (const name of names()) {
    try {
      return dlopen(name, calls).symbols;
    } catch (error) {
      fault = error;
    }
  }
  throw fault;
}

/** glibc's first, then musl's. */
function names(): string[] {
  if (process.platform === "darwin") return ["libSystem.B.dylib"];
  const cpu = process.arch === "arm64" ? "aarch64" : "x86_64";
  return ["libc.so.6", `libc.musl-${cpu}.so.1`];
}
