// Opens a directory below another one in one step that the kernel keeps below it. See openat2(2), Linux 5.6.

import { constants } from "node:fs";
import { ptr } from "bun:ffi";
import { cString, libc, resultOf, SystemCallError } from "./libc.ts";

// The same number on every architecture.
const SYS_OPENAT2 = 437;
const NO_XDEV = 0x01n;
const NO_MAGICLINKS = 0x02n;
const NO_SYMLINKS = 0x04n;
const BENEATH = 0x08n;
const O_CLOEXEC = 0o2000000;
const EPERM = 1;
const EAGAIN = 11;
const ENOSYS = 38;
/** `struct open_how`: flags, mode, resolve, 8 bytes each. */
const HOW_BYTES = 24;

let missing = false;

/**
 * A descriptor of the directory `path` (bytes, relative) below the open directory `top`. Nothing on the way may be a
 * symlink, a mount point or `..`. Undefined where the kernel has no openat2 or a sandbox refuses it. Throws
 * `SystemCallError`, e.g. ELOOP, EXDEV, ENOTDIR.
 */
export function openDirectoryBeneath(top: number, path: Uint8Array): number | undefined {
  if (missing) return undefined;
  const how = new BigUint64Array([
    BigInt(constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW | O_CLOEXEC),
    0n,
    NO_XDEV | NO_MAGICLINKS | NO_SYMLINKS | BENEATH,
  ]);
  const text = cString(path);
  const fd = resultOf(libc().syscall(SYS_OPENAT2, top, ptr(text), ptr(how), HOW_BYTES));
  if (fd >= 0) return fd;
  // A sandbox that does not know the call says EPERM, which opening a directory for reading never does.
  if (fd === -ENOSYS || fd === -EPERM) missing = true;
  if (missing || fd === -EAGAIN) return undefined;
  throw new SystemCallError("openat2", -fd);
}
