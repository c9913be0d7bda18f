// Extended attributes of files and directories: names, values, setting and removing. See xattr(7).

import { checked, cString, libc, resultOf, SystemCallError } from "./libc.ts";

/** An open file, or the name of one (bytes) whose last component is not followed where it is a symlink. */
export type AttributeSource = number | Uint8Array;

/** Linux keeps names and each value to 64 KiB: XATTR_LIST_MAX and XATTR_SIZE_MAX of linux/limits.h. */
const BYTES_MAX = 65_536;
const EBADF = 9;
const ENODATA = 61;
const EOPNOTSUPP = 95;
// The kernel writes here and it is copied out before the next call; names and a value never stand here together.
const buffer = Buffer.alloc(BYTES_MAX);

/** Names as Latin-1 of their bytes; none where the file system has no attributes. Throws `SystemCallError`. */
export function attributeNames(source: AttributeSource): string[] {
  const { flistxattr, llistxattr } = libc();
  return named(
    typeof source === "number"
      ? flistxattr(source, buffer, BYTES_MAX)
      : llistxattr(cString(source), buffer, BYTES_MAX),
  );
}

function named(result: number | bigint): string[] {
  if (result === 0) return [];
  const length = resultOf(result);
  if (length === -EOPNOTSUPP) return [];
  if (length < 0) throw new SystemCallError("listxattr", -length);
  return buffer
    .toString("latin1", 0, length)
    .split("\0")
    .filter((name) => name !== "");
}

/** The value of one attribute; undefined when it has none of that name (any more). Throws `SystemCallError`. */
export function attributeValue(source: AttributeSource, name: string): Buffer | undefined {
  const { fgetxattr, lgetxattr } = libc();
  const text = nameText(name);
  const length = resultOf(
    typeof source === "number"
      ? fgetxattr(source, text, buffer, BYTES_MAX)
      : lgetxattr(cString(source), text, buffer, BYTES_MAX),
  );
  if (length === -ENODATA || length === -EOPNOTSUPP) return undefined;
  if (length < 0) throw new SystemCallError("getxattr", -length);
  return Buffer.from(buffer.subarray(0, length));
}

// What follows works on handles (O_PATH) too, which f…xattr(2) refuses: /proc/self/fd/N is the open file itself.

/** The names of what `fd` is open on, which may be a handle. Throws `SystemCallError`. */
export function attributeNamesOf(fd: number): string[] {
  const { flistxattr, listxattr } = libc();
  const result = flistxattr(fd, buffer, BYTES_MAX);
  if (result < 0 && resultOf(result) === -EBADF)
    return named(listxattr(openFile(fd), buffer, BYTES_MAX));
  return named(result);
}

/** Sets or replaces one attribute of what `fd` is open on. Throws `SystemCallError`. */
export function setAttribute(fd: number, name: string, value: Uint8Array): void {
  // An empty array has no address.
  const bytes = value.length > 0 ? value : new Uint8Array(1);
  const text = nameText(name);
  checked(`setxattr ${name}`, libc().setxattr(openFile(fd), text, bytes, value.length, 0));
}

/** Removes one attribute of what `fd` is open on; none of that name is no error. Throws `SystemCallError`. */
export function removeAttribute(fd: number, name: string): void {
  const result = resultOf(libc().removexattr(openFile(fd), nameText(name)));
  if (result < 0 && result !== -ENODATA) throw new SystemCallError(`removexattr ${name}`, -result);
}

function openFile(fd: number): Uint8Array {
  return cString(Buffer.from(`/proc/self/fd/${fd}`));
}

function nameText(name: string): Uint8Array {
  return cString(Buffer.from(name, "latin1"));
}
