// Gives an open file one more name. See linkat(2).

import { checked, cString, libc } from "./libc.ts";

const AT_FDCWD = -100;
const AT_SYMLINK_FOLLOW = 0x400;

/**
 * Makes `name` (bytes) in the open directory `directory` another name of what `fd` is open on; a handle (O_PATH) will
 * do, also one of a symlink. Throws `SystemCallError`, e.g. EMLINK, EEXIST.
 */
export function linkOpenFile(fd: number, directory: number, name: Uint8Array): void {
  // The name in /proc is followed to the open file, whatever its path is by now.
  const from = cString(Buffer.from(`/proc/self/fd/${fd}`));
  checked("linkat", libc().linkat(AT_FDCWD, from, directory, cString(name), AT_SYMLINK_FOLLOW));
}
