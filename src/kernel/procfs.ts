// What /proc says of one process. A process that ended, or that we may not look at, gives null; nothing here throws.

import { readdirSync, readlinkSync, statSync } from "node:fs";
import { readKernelBytes, readKernelText } from "./kernel-file.ts";
import {
  parseEnvironment,
  parseStat,
  parseStatus,
  parseStrings,
  type ProcessStat,
  type ProcessStatus,
} from "./structs/proc-stat.ts";

/** 52 numbers of at most 20 digits and a command stay far below. */
const STAT_BYTES_MAX = 4 * 1024;
const STATUS_BYTES_MAX = 16 * 1024;
/** Enough for the program, its script and its first arguments; what follows may be megabytes of a prompt. */
const COMMAND_LINE_BYTES_MAX = 16 * 1024;
const ENVIRONMENT_BYTES_MAX = 64 * 1024;

export function readStat(pid: number): ProcessStat | null {
  const line = readKernelBytes(`/proc/${pid}/stat`, STAT_BYTES_MAX);
  return line && parseStat(line);
}

export function readStatus(pid: number): ProcessStatus | null {
  const text = readKernelBytes(`/proc/${pid}/status`, STATUS_BYTES_MAX);
  return text && parseStatus(text.toString("utf8"));
}

/** Real uid. */
export function readUid(pid: number): number | null {
  return readStatus(pid)?.uid ?? null;
}

/** The pid that the process has in its own pid namespace; null also on kernels before 4.1. */
export function namespacePid(pid: number): number | null {
  return readStatus(pid)?.namespacePid ?? null;
}

/** Arguments, of which the first 16 KiB, or fewer; empty for kernel threads and zombies. */
export function readCommandLine(pid: number, bytesMax = COMMAND_LINE_BYTES_MAX): string[] | null {
  const bytes = readKernelBytes(`/proc/${pid}/cmdline`, bytesMax);
  return bytes && parseStrings(bytes);
}

/** The variables that it was started with, of which the first 64 KiB. Needs its user or root. */
export function readEnvironment(pid: number): Map<string, string> | null {
  const bytes = readKernelBytes(`/proc/${pid}/environ`, ENVIRONMENT_BYTES_MAX);
  return bytes && parseEnvironment(bytes, bytes.length === ENVIRONMENT_BYTES_MAX);
}

const DELETED = " (deleted)";

/** The kernel's text of it: in the terms of the process's own mounts, with ` (deleted)` after a removed directory. */
export function workingDirectoryLink(pid: number): string | null {
  return linkOf(`/proc/${pid}/cwd`);
}

/**
 * Working directory, null when it was removed or lies outside of the process's root. The path is in the terms of the
 * process's own mounts: see `sameMountNamespace`. Needs its user or root.
 */
export function workingDirectory(pid: number): string | null {
  const link = workingDirectoryLink(pid);
  if (!link?.startsWith("/")) return null;
  return link.endsWith(DELETED) && !isSameFile(link, `/proc/${pid}/cwd`) ? null : link;
}

/** Path of the program, null for kernel threads and when the file was removed or replaced. Needs its user or root. */
export function programPath(pid: number): string | null {
  const link = linkOf(`/proc/${pid}/exe`);
  if (!link?.startsWith("/")) return null;
  return link.endsWith(DELETED) && !isSameFile(link, `/proc/${pid}/exe`) ? null : link;
}

// A directory may really be called `x (deleted)`.
function isSameFile(path: string, link: string): boolean {
  try {
    const [one, other] = [statSync(path), statSync(link)];
    return one.ino === other.ino && one.dev === other.dev;
  } catch {
    return false;
  }
}

/** Whether its paths mean what they mean here; false also when that cannot be read. */
export function sameMountNamespace(pid: number): boolean {
  const own = linkOf("/proc/self/ns/mnt");
  return own !== null && linkOf(`/proc/${pid}/ns/mnt`) === own;
}

function linkOf(path: string): string | null {
  try {
    return readlinkSync(path);
  } catch {
    return null;
  }
}

/** Processes that exist now, zombies and kernel threads too, in the order of the kernel. Empty without /proc. */
export function listPids(): number[] {
  const pids: number[] = [];
  for (const name of namesIn("/proc")) {
    const first = name.charCodeAt(0);
    // "0" to "9"; nothing else in /proc begins with a digit.
    if (first >= 0x30 && first <= 0x39) pids.push(Number(name));
  }
  return pids;
}

/**
 * Children of the process by the kernel's own list; null when it ended or where the kernel has none
 * (CONFIG_PROC_CHILDREN). A child that exits during the read may hide another one: ask twice where all count.
 */
export function childrenOf(pid: number): number[] | null {
  const children: number[] = [];
  let known = false;
  for (const thread of namesIn(`/proc/${pid}/task`)) {
    const text = readKernelText(`/proc/${pid}/task/${thread}/children`);
    if (text === null) continue;
    known = true;
    for (const child of text.split(" ")) if (child !== "") children.push(Number(child));
  }
  return known ? children : null;
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}
