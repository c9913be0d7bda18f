// Reads a small file that a process of a user names, without reading for that user what it could not read itself.

import { constants } from "node:fs";
import { lstat, open, realpath } from "node:fs/promises";
import { dirname, join, relative } from "node:path";

export interface OwnedFileRequest {
  /** Empty for our own root directory, `/proc/PID/root` for that of a container. */
  root: string;
  /** Absolute, in the terms of that root. */
  path: string;
  /** Who must own the file, and be let through every directory above it. */
  uid: number;
  bytesMax: number;
}

export interface OwnedFile {
  text: string;
  modifiedMs: number;
}

// A link at the end is not followed, and a pipe does not wait for its other end.
const FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** The file; null when it is not there, too large, no plain file, another's, or out of that user's reach. */
export async function readOwnedFile(request: OwnedFileRequest): Promise<OwnedFile | null> {
  const { root, path, uid, bytesMax } = request;
  const directory = await reachable({ root, path: dirname(path), uid });
  if (directory === null) return null;
  const file = await open(join(directory, path.slice(path.lastIndexOf("/") + 1)), FLAGS).catch(
    () => null,
  );
  if (file === null) return null;
  try {
    const stat = await file.stat();
    if (!stat.isFile() || stat.uid !== uid || (stat.mode & 0o400) === 0) return null;
    if (stat.size > bytesMax) return null;
    const buffer = Buffer.alloc(bytesMax);
    const { bytesRead } = await file.read(buffer, 0, bytesMax, 0);
    return { text: buffer.toString("utf8", 0, bytesRead), modifiedMs: stat.mtimeMs };
  } catch {
    return null;
  } finally {
    await file.close();
  }
}

/** The directory as it can be opened from here, when each one on the way lets that user through. */
async function reachable(request: Pick<OwnedFileRequest, "root" | "path" | "uid">) {
  const { root, path, uid } = request;
  // In a container an absolute link would lead out of it, into our own files: none is followed there.
  const real = root === "" ? await realpath(path).catch(() => null) : path;
  if (real === null) return null;
  const parts = relative("/", real)
    .split("/")
    .filter((part) => part !== "");
  if (parts.includes("..")) return null;
  let at = root === "" ? "/" : `${root}/`;
  for (const part of ["", ...parts]) {
    if (part !== "") at = join(at, part);
    // The first is the root itself, which in a container is a link of /proc.
    const stat = await lstat(part === "" ? `${at}.` : at).catch(() => null);
    if (!stat?.isDirectory() || !letsThrough(stat, uid)) return null;
  }
  return at;
}

// Groups are not looked at: a directory that is open to a group only counts as closed.
function letsThrough({ uid: owner, mode }: { uid: number; mode: number }, uid: number): boolean {
  if (uid === 0) return true;
  return (mode & (owner === uid ? 0o100 : 0o001)) !== 0;
}
