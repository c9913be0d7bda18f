// btrfs subvolumes through the kernel's own interface, so that btrfs-progs need not be installed.

import { closeSync, constants, lstatSync, openSync, statfsSync } from "node:fs";
import { ioctl } from "./libc.ts";

// Request numbers and layouts: linux/btrfs.h; stable user-space interface, little endian.
const SNAP_CREATE_V2 = 0x50009417;
const SNAP_DESTROY_V2 = 0x5000943f;
const SUBVOL_CREATE_V2 = 0x50009418;
const SUBVOL_SETFLAGS = 0x4008941a;
const SUBVOL_GETFLAGS = 0x80089419;
const GET_SUBVOL_INFO = 0x81f8943c;
const GET_SUBVOL_ROOTREF = 0xd000943d;

const RDONLY = 2n;
const VOL_ARGS_BYTES = 4096;
const VOL_ARGS_NAME_AT = 56;
const SUBVOL_INFO_BYTES = 504;
const UUID_AT = 296;
const PARENT_UUID_AT = 312;
const UUID_BYTES = 16;
const ROOTREF_BYTES = 4096;
// btrfs_ioctl_get_subvol_rootref_args: u64 min_treeid, 255 × {u64, u64}, u8 num_items.
const ROOTREF_COUNT_AT = 8 + 255 * 16;

/** `statfs(2)`'s f_type of btrfs. */
const BTRFS_MAGIC = 0x9123683e;
/** Inode number of every subvolume's root. */
const ROOT_INODE = 256n;
/** Inode number of the empty directory that stands in a snapshot where a nested subvolume was. */
export const PLACEHOLDER_INODE = 2n;

export interface SubvolumeInfo {
  uuid: string;
  /** UUID of the subvolume that this one is a snapshot of; all zeros when it is none. */
  parentUuid: string;
  readOnly: boolean;
}

/** Whether `path` (a directory, not a symlink to one) is the root of a btrfs subvolume. */
export function isSubvolume(path: string): boolean {
  const stat = lstatSync(path, { bigint: true });
  return stat.isDirectory() && stat.ino === ROOT_INODE && isBtrfs(path);
}

/** Whether `path` lies on btrfs. */
export function isBtrfs(path: string): boolean {
  // Bun may give f_type as a signed 32-bit number.
  return statfsSync(path).type >>> 0 === BTRFS_MAGIC;
}

/** UUIDs and read-only flag of the subvolume whose root is `path`. Throws `SystemCallError`. */
export function subvolumeInfo(path: string): SubvolumeInfo {
  return withDirectory(path, (fd) => {
    const info = Buffer.alloc(SUBVOL_INFO_BYTES);
    ioctl(fd, GET_SUBVOL_INFO, info);
    const flags = Buffer.alloc(8);
    ioctl(fd, SUBVOL_GETFLAGS, flags);
    return {
      uuid: info.toString("hex", UUID_AT, UUID_AT + UUID_BYTES),
      parentUuid: info.toString("hex", PARENT_UUID_AT, PARENT_UUID_AT + UUID_BYTES),
      readOnly: (flags.readBigUInt64LE(0) & RDONLY) !== 0n,
    };
  });
}

/** Whether other subvolumes hang below this one; a snapshot of it does not hold their content. */
export function hasNestedSubvolumes(path: string): boolean {
  return withDirectory(path, (fd) => {
    const found = Buffer.alloc(ROOTREF_BYTES);
    try {
      ioctl(fd, GET_SUBVOL_ROOTREF, found);
    } catch (error) {
      // EOVERFLOW: more children than one answer holds.
      if (error instanceof Error && "errno" in error && error.errno === 75) return true;
      throw error;
    }
    return found.readUInt8(ROOTREF_COUNT_AT) > 0;
  });
}

/** Makes the read-only snapshot `name` of the subvolume `source` in `directory`; durable on return. Throws `SystemCallError`. */
export function createSnapshot(source: string, directory: string, name: string): void {
  withDirectory(source, (sourceFd) => {
    const args = volumeArgs(name);
    args.writeBigInt64LE(BigInt(sourceFd), 0);
    args.writeBigUInt64LE(RDONLY, 16);
    withDirectory(directory, (fd) => ioctl(fd, SNAP_CREATE_V2, args));
  });
}

/** Makes the empty subvolume `name` in `directory`. Throws `SystemCallError`. */
export function createSubvolume(directory: string, name: string): void {
  withDirectory(directory, (fd) => ioctl(fd, SUBVOL_CREATE_V2, volumeArgs(name)));
}

/** Destroys the subvolume or snapshot `name` in `directory`; its space comes back later. Throws `SystemCallError`. */
export function destroySubvolume(directory: string, name: string): void {
  withDirectory(directory, (fd) => ioctl(fd, SNAP_DESTROY_V2, volumeArgs(name)));
}

/** Makes a snapshot writable, which its owner may do without root. Throws `SystemCallError`. */
export function makeWritable(path: string): void {
  withDirectory(path, (fd) => ioctl(fd, SUBVOL_SETFLAGS, Buffer.alloc(8)));
}

function volumeArgs(name: string): Buffer {
  const args = Buffer.alloc(VOL_ARGS_BYTES);
  args.write(name, VOL_ARGS_NAME_AT, "utf8");
  return args;
}

function withDirectory<T>(path: string, use: (fd: number) => T): T {
  const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  try {
    return use(fd);
  } finally {
    closeSync(fd);
  }
}
