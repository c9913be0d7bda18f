// The C library's functions that observer calls: the only dlopen of it, as one small table.

import { dlopen, FFIType, read } from "bun:ffi";
import { constants } from "node:os";

/**
 * By absolute path or by the one name that every loader knows: a bare name that the loader cannot find would be
 * looked for in the working directory. musl's loader answers to `libc.so.6` too; its own paths are for builds where it does not.
 */
const LIBRARIES = ["libc.so.6", "/lib/ld-musl-x86_64.so.1", "/lib/ld-musl-aarch64.so.1"];

const { i32, u32, u64, i64_fast, ptr } = FFIType;

// Symbols are resolved at the first call, so that what needs none of them runs where the library is missing.
// Each exists in glibc 2.17 and in musl; what is younger goes through syscall(2). Variadic functions are declared
// with the arguments that observer passes, which the calling conventions of x86-64 and arm64 Linux allow.
function open(library: string) {
  return dlopen(library, {
    // The kernel's own third argument is a pointer for every request that observer makes.
    ioctl: { args: [i32, u64, ptr], returns: i32 },
    fcntl: { args: [i32, i32, u64], returns: i32 },
    utimensat: { args: [i32, ptr, ptr, i32], returns: i32 },
    socket: { args: [i32, i32, i32], returns: i32 },
    bind: { args: [i32, ptr, u32], returns: i32 },
    setsockopt: { args: [i32, i32, i32, ptr, u32], returns: i32 },
    send: { args: [i32, ptr, u64, i32], returns: i64_fast },
    recv: { args: [i32, ptr, u64, i32], returns: i64_fast },
    read: { args: [i32, ptr, u64], returns: i64_fast },
    write: { args: [i32, ptr, u64], returns: i64_fast },
    lseek: { args: [i32, i64_fast, i32], returns: i64_fast },
    close: { args: [i32], returns: i32 },
    pipe2: { args: [ptr, i32], returns: i32 },
    dup3: { args: [i32, i32, i32], returns: i32 },
    poll: { args: [ptr, u64, i32], returns: i32 },
    epoll_create1: { args: [i32], returns: i32 },
    epoll_ctl: { args: [i32, i32, i32, ptr], returns: i32 },
    epoll_wait: { args: [i32, ptr, i32, i32], returns: i32 },
    eventfd: { args: [u32, i32], returns: i32 },
    inotify_init1: { args: [i32], returns: i32 },
    inotify_add_watch: { args: [i32, ptr, u32], returns: i32 },
    inotify_rm_watch: { args: [i32, i32], returns: i32 },
    clock_gettime: { args: [i32, ptr], returns: i32 },
    setpriority: { args: [i32, u32, i32], returns: i32 },
    syncfs: { args: [i32], returns: i32 },
    fallocate: { args: [i32, i32, i64_fast, i64_fast], returns: i32 },
    flistxattr: { args: [i32, ptr, u64], returns: i64_fast },
    fgetxattr: { args: [i32, ptr, ptr, u64], returns: i64_fast },
    listxattr: { args: [ptr, ptr, u64], returns: i64_fast },
    llistxattr: { args: [ptr, ptr, u64], returns: i64_fast },
    getxattr: { args: [ptr, ptr, ptr, u64], returns: i64_fast },
    lgetxattr: { args: [ptr, ptr, ptr, u64], returns: i64_fast },
    setxattr: { args: [ptr, ptr, ptr, u64, i32], returns: i32 },
    removexattr: { args: [ptr, ptr], returns: i32 },
    linkat: { args: [i32, ptr, i32, ptr, i32], returns: i32 },
    syscall: { args: [i64_fast, u64, u64, u64, u64], returns: i64_fast },
    __errno_location: { args: [], returns: ptr },
  }).symbols;
}

export type Libc = ReturnType<typeof open>;

let table: Libc | undefined;

/** The symbols, opened at the first call. Throws where no library of these names has them all. */
export function libc(): Libc {
  if (table) return table;
  let first: unknown;
  for (const library of LIBRARIES) {
    try {
      return (table = open(library));
    } catch (thrown) {
      first ??= thrown;
    }
  }
  throw first;
}

// Must be read right after the call: anything in between may set it anew.
function errno(symbols: Libc): number {
  const location = symbols.__errno_location();
  return location === null ? 0 : read.i32(location);
}

const NAMES = new Map(Object.entries(constants.errno).map(([name, value]) => [value, name]));

/** A system call that failed, with the kernel's error number. */
export class SystemCallError extends Error {
  readonly errno: number;
  /** `ESRCH`, `EPERM`, …; `errno 133` where the number has no name here. */
  readonly code: string;

  constructor(call: string, number: number) {
    const code = NAMES.get(number) ?? `errno ${number}`;
    super(`${call} failed: ${code}`);
    this.name = "SystemCallError";
    this.errno = number;
    this.code = code;
  }
}

/** Whether `thrown` is a failed call of the C library or of node:fs with one of these codes. */
export function failedWith(thrown: unknown, ...codes: string[]): boolean {
  return (
    thrown instanceof Error &&
    "code" in thrown &&
    typeof thrown.code === "string" &&
    codes.includes(thrown.code)
  );
}

/** The result of a call that returns -1 when it fails. Nothing may come between the call and this. Throws `SystemCallError`. */
export function checked(call: string, result: number | bigint): number {
  if (result < 0) throw new SystemCallError(call, errno(libc()));
  return Number(result);
}

/** As `checked`, without throwing: the result, or the error number as a negative one. */
export function resultOf(result: number | bigint): number {
  return result < 0 ? -errno(libc()) : Number(result);
}

/** `ioctl(fd, request, argument)`; the kernel reads and writes `argument`. Throws `SystemCallError`. */
export function ioctl(fd: number, request: number, argument: Uint8Array): void {
  checked(`ioctl 0x${request.toString(16)}`, libc().ioctl(fd, request, argument));
}

const F_DUPFD_CLOEXEC = 1030;
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
  const times = timesOf(mtimeNs);
  checked("utimensat", libc().utimensat(AT_FDCWD, cString(path), times, AT_SYMLINK_NOFOLLOW));
}

/** Two `struct timespec`: the access time left as it is, and `mtimeNs`. */
function timesOf(mtimeNs: bigint): BigInt64Array {
  const seconds = mtimeNs / NS_PER_S - (mtimeNs % NS_PER_S < 0n ? 1n : 0n);
  return new BigInt64Array([0n, UTIME_OMIT, seconds, mtimeNs - seconds * NS_PER_S]);
}

/** The same for the file that `fd` is open on, which may be a handle of a symlink. Throws `SystemCallError`. */
export function setModifiedOf(fd: number, mtimeNs: bigint): void {
  const path = cString(Buffer.from(`/proc/self/fd/${fd}`));
  checked("utimensat", libc().utimensat(AT_FDCWD, path, timesOf(mtimeNs), 0));
}

/** Writes everything dirty of the file system that `fd` is on to its disk. Throws `SystemCallError`. */
export function syncFileSystem(fd: number): void {
  checked("syncfs", libc().syncfs(fd));
}

/** `bytes` with the NUL that ends a C string. */
export function cString(bytes: Uint8Array): Uint8Array {
  const text = new Uint8Array(bytes.length + 1);
  text.set(bytes);
  return text;
}

/** A second number for the same open file, closed on exec. Throws `SystemCallError`. */
export function duplicate(fd: number): number {
  return checked("fcntl", libc().fcntl(fd, F_DUPFD_CLOEXEC, 0));
}

/** Asks the kernel with `argument`, as `ioctl`, and returns the error number, 0 for success. */
export function ioctlErrno(fd: number, request: number, argument: Uint8Array): number {
  return -Math.min(0, resultOf(libc().ioctl(fd, request, argument)));
}
