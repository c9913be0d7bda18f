// inotify(7): the kernel tells when a file or what is in a directory changes. Works on cgroup files.

import { checked, cString, libc } from "./libc.ts";

/** linux/inotify.h */
export const INOTIFY = {
  MODIFY: 0x2,
  MOVED_FROM: 0x40,
  MOVED_TO: 0x80,
  CREATE: 0x100,
  DELETE: 0x200,
  DELETE_SELF: 0x400,
  MOVE_SELF: 0x800,
  /** Events were lost; the state must be looked at anew. Comes with wd -1. */
  Q_OVERFLOW: 0x4000,
  /** The watch is gone: removed, or its file was deleted. */
  IGNORED: 0x8000,
  ONLYDIR: 0x100_0000,
  ISDIR: 0x4000_0000,
} as const;

// IN_CLOEXEC | IN_NONBLOCK.
const FLAGS = 0x80800;

export interface Inotify {
  fd: number;
  /** Watches `path`; the same file again gives the same number and replaces the mask. Throws `SystemCallError`: ENOENT, EACCES, ENOSPC. */
  add(path: string, mask: number): number;
  /** Harmless when the watch is gone already. */
  remove(wd: number): void;
}

/** Read its `fd` by a watcher (`drain`) and `parseInotify`. Throws `SystemCallError`: EMFILE beyond the user's limit of instances. */
export function createInotify(): Inotify {
  const fd = checked("inotify_init1", libc().inotify_init1(FLAGS));
  return {
    fd,
    add: (path, mask) =>
      checked("inotify_add_watch", libc().inotify_add_watch(fd, cString(Buffer.from(path)), mask)),
    remove: (wd) => void libc().inotify_rm_watch(fd, wd),
  };
}
