// Which directories may be a workspace, and what tells one from another at the same path.

import { lstatSync, readFileSync, realpathSync } from "node:fs";
import { isAbsolute, normalize } from "node:path";
import { messageOf, ObserverError } from "../core/errors.ts";
import { isSubvolume, subvolumeInfo } from "../kernel/btrfs.ts";
import type { Workspace } from "./backend.ts";

/** Directories of the system: restoring one would take the machine back in time. */
const SYSTEM = [
  "/bin",
  "/boot",
  "/dev",
  "/etc",
  "/lib",
  "/lib32",
  "/lib64",
  "/libx32",
  "/proc",
  "/run",
  "/sbin",
  "/sys",
  "/usr",
  "/var",
];
/** Only these themselves: below them people do work. */
const CONTAINERS = ["/", "/home", "/media", "/mnt", "/opt", "/root", "/srv", "/tmp", "/var/tmp"];
/** Below a system directory, but made for data. */
const WORK_BELOW_SYSTEM = [
  "/var/tmp/",
  "/var/lib/",
  "/var/www/",
  "/var/opt/",
  "/usr/src/",
  "/usr/local/src/",
  "/run/user/",
  "/dev/shm/",
];

export interface PathRules {
  /** Directories that the configuration allows although the rules refuse them. */
  allowAnyPath: string[];
  /** The data directory's `checkpoints/`; a workspace around it would hold its own checkpoints. */
  directory: string;
  /** Home of the user that observer runs as. */
  home: string;
}

/** Accounts of people begin here; see login.defs(5), UID_MIN. */
const PERSON_UID_MIN = 1000;

/** What can be told from the text alone. Throws `refused_path`. */
export function refuseText(path: string): void {
  if (path.includes("\0")) throw refused(path, "it holds a NUL byte");
  if (!isAbsolute(path)) throw refused(path, "it is not absolute");
}

/** Resolves symlinks and applies the rules. Throws `refused_path`; touches the file system, so it may hang. */
export function resolveWorkspace(path: string, rules: PathRules): Workspace {
  refuseText(path);
  let real: string;
  try {
    real = realpathSync(path);
    if (!lstatSync(real).isDirectory()) throw refused(path, "it is not a directory");
  } catch (error) {
    if (error instanceof ObserverError) throw error;
    throw refused(path, messageOf(error));
  }
  const forced = rules.allowAnyPath.some(
    (allowed) => samePath(allowed, path) || samePath(allowed, real),
  );
  const rule = refusalOf(real, rules);
  if (rule !== undefined && (!forced || rule.absolute)) throw refused(path, rule.text);
  return { path: real, identity: identityOf(real) };
}

/** Changes when the directory was replaced by another one. */
export function identityOf(path: string): string {
  const stat = lstatSync(path, { bigint: true });
  if (isSubvolume(path)) return `btrfs:${subvolumeInfo(path).uuid}`;
  return `${stat.dev}:${stat.ino}`;
}

function refusalOf(
  real: string,
  { directory, home }: PathRules,
): { text: string; absolute: boolean } | undefined {
  const data = resolved(directory);
  if (isBelow(data, real))
    // Not even by configuration: each checkpoint would hold all before it.
    return { text: `it holds observer's own data (${data})`, absolute: true };
  if (isBelow(real, data)) return { text: "it lies in observer's own data", absolute: true };
  if (real === "/") return { text: "it is the root of the system", absolute: false };
  if (isHome(real, home)) return { text: "it is a home directory", absolute: false };
  if (CONTAINERS.includes(real)) return { text: "it is a shared directory", absolute: false };
  const system = SYSTEM.find((top) => isBelow(real, top));
  if (system !== undefined && !WORK_BELOW_SYSTEM.some((top) => real.startsWith(top)))
    return { text: `it belongs to the system (${system})`, absolute: false };
  return undefined;
}

function isHome(path: string, own: string): boolean {
  if (path === "/root" || path === resolved(own) || /^\/home\/[^/]+$/.test(path)) return true;
  return readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .map((line) => line.split(":"))
    .some(([, , uid, , , home]) => Number(uid) >= PERSON_UID_MIN && home === path);
}

function isBelow(path: string, top: string): boolean {
  return path === top || top === "/" || path.startsWith(`${top}/`);
}

function samePath(a: string, b: string): boolean {
  return normalize(a).replace(/(.)\/$/, "$1") === normalize(b).replace(/(.)\/$/, "$1");
}

function resolved(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    // Not made yet; its text is the best there is.
    return normalize(path);
  }
}

function refused(path: string, rule: string): ObserverError {
  return new ObserverError(
    "refused_path",
    `Cannot use ${JSON.stringify(path)} as a workspace: ${rule}`,
    { detail: { field: "workspace", value: path, rule } },
  );
}
