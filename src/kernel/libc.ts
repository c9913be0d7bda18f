// The C library's functions that observer calls: the only dlopen of it, as one small table.

import { dlopen, FFIType, ptr, read } from "bun:ffi";

// Symbols are resolved at the first call, so that what needs none of them runs where the library is missing.
function open() {
  return dlopen("libc.so.6", {
    // The kernel's own third argument is a pointer for every request that observer makes.
    ioctl: { args: [FFIType.i32, FFIType.u64, FFIType.ptr], returns: FFIType.i32 },
    utimensat: {
      args: [FFIType.i32, FFIType.ptr, FFIType.ptr, FFIType.i32],
      returns: FFIType.i32,
    },
    socket: { args: [FFIType.i32, FFIType.i32, FFIType.i32], returns: FFIType.i32 },
    send: {
      args: [FFIType.i32, FFIType.ptr, FFIType.u64, FFIType.i32],
      returns: FFIType.i64_fast,
    },
    recv: {
      args: [FFIType.i32, FFIType.ptr, FFIType.u64, FFIType.i32],
      returns: FFIType.i64_fast,
    },
    close: { args: [FFIType.i32], returns: FFIType.i32 },
    syncfs: { args: [FFIType.i32], returns: FFIType.i32 },
    fallocate: {
      args: [FFIType.i32, FFIType.i32, FFIType.i64_fast, FFIType.i64_fast],
      returns: FFIType.i32,
    },
    __errno_location: { args: [], returns: FFIType.ptr },
  }).symbols;
}

export type Libc = ReturnType<typeof open>;

let table: Libc | undefined;

/** The symbols, opened at the first call. Throws where the library has another name. */
export function libc(): Libc {
  return (table ??= open());
}

// Must be read right after the call: anything in between may set it anew.
function errno(symbols: Libc): number {
  const location = symbols.__errno_location();
  return location === null ? 0 : read.i32(location);
}

/** A system call that failed, with the kernel's error number. */
export class SystemCallError extends Error {
  readonly errno: number;

  constructor(call: string, number: number) {
    super(`${call} failed: errno ${number}`);
    this.name = "SystemCallError";
    this.errno = number;
  }
}

/** `ioctl(fd, request, argument)`; the kernel reads and writes `argument`. Throws `SystemCallError`. */
export function ioctl(fd: number, request: number, argument: Uint8Array): void {
  const symbols = libc();
  if (symbols.ioctl(fd, request, ptr(argument)) < 0)
    throw new SystemCallError(`ioctl 0x${request.toString(16)}`, errno(symbols));
}

const AT_FDCWD = -100;
const AT_SYMLINK_NOFOLLOW = 0x100;
// Special tv_nsec of utimensat(2): leave this time as it is.
const UTIME_OMIT = (1n << 30n) - 2n;
const NS_PER_S = 1_000_000_000n;

/**
 * Sets the modification time of `path` itself, never of what a symlink points to, exact to the nanosecond.
 * The access time stays. `path` is bytes without NUL. Throws `SystemCallError`.
 */
export function setModified(path: Uint8Array, mtimeNs: bigint): void {
  const symbols = libc();
  const seconds = mtimeNs / NS_PER_S - (mtimeNs % NS_PER_S < 0n ? 1n : 0n);
  const times = new BigInt64Array([0n, UTIME_OMIT, seconds, mtimeNs - seconds * NS_PER_S]);
  const text = new Uint8Array(path.length + 1);
  text.set(path);
  if (symbols.utimensat(AT_FDCWD, ptr(text), ptr(times), AT_SYMLINK_NOFOLLOW) < 0)
    throw new SystemCallError("utimensat", errno(symbols));
}

/** Writes everything dirty of the file system that `fd` is on to its disk. Throws `SystemCallError`. */
export function syncFileSystem(fd: number): void {
  const symbols = libc();
  if (symbols.syncfs(fd) < 0) throw new SystemCallError("syncfs", errno(symbols));
}
