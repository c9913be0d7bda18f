// Which paths a checkpoint holds: excludes, caps, and the reasons that users read.

import { fromText, nameOf, shown, type BytePath } from "./byte-path.ts";
import type { Entry, Skip } from "./tree.ts";

/** What decides on coverage; kept in the checkpoint, so that a restore judges new paths by the rules of then. */
export interface Rules {
  /** Names, or paths relative to the workspace where they hold a slash; `*` and `?` are wildcards. */
  exclude: string[];
  /** Whether dependency folders and caches that can be made again are left out. */
  defaultExcludes: boolean;
  fileBytesMax: number;
  filesMax: number;
  totalBytesMax: number;
}

/** Directories that package managers make again; by far the most files of a workspace and none of its work. */
const DEFAULT_EXCLUDES = new Set(["node_modules", ".venv", "__pycache__"]);
const VENV_MARKER = "pyvenv.cfg";
/** See https://bford.info/cachedir/: a directory that holds this file says that it is a cache. */
export const CACHE_MARKER = "CACHEDIR.TAG";
export const CACHE_SIGNATURE = "Signature: 8a477f597d28d172789f06886806bc55";
/** Where btrfs snapshots lie; never part of a tree. */
export const SNAPSHOTS_NAME = ".observer-checkpoints";
/** Deeper trees are left out: every level holds a file descriptor open, and 1,024 is a usual limit of those. */
export const DEPTH_MAX = 256;

/** Rules of a snapshot, which holds everything. */
export const EVERYTHING: Rules = {
  exclude: [],
  defaultExcludes: false,
  fileBytesMax: Number.MAX_SAFE_INTEGER,
  filesMax: Number.MAX_SAFE_INTEGER,
  totalBytesMax: Number.MAX_SAFE_INTEGER,
};

export interface Judge {
  /** Whether the path, or one below it, must be held. */
  isIncluded(path: BytePath): boolean;
  /** By what the directory that holds it says. */
  entry(path: BytePath, entry: Entry): Skip | undefined;
  /** By what is in it. */
  directory(path: BytePath, names: Set<BytePath>, isCache: () => boolean): Skip | undefined;
}

export interface JudgeFacts {
  rules: Rules;
  /** Device of the workspace; another one below it is another mount or subvolume. */
  dev: bigint | undefined;
  /** Mount points below the workspace, relative to it. */
  mounts: ReadonlySet<BytePath>;
  /** Paths that must be held although the rules leave them out: what a restore is about to change. */
  include: ReadonlySet<BytePath>;
}

/** Applies the rules; hard reasons come first, because nothing overrides them. */
export function createJudge(facts: JudgeFacts): Judge {
  const { rules } = facts;
  const excluded = excludeMatcher(rules.exclude);
  const included = withAncestors(facts.include);
  return {
    isIncluded: (path) => included.has(path),
    entry(path, entry) {
      if (entry.name === SNAPSHOTS_NAME) return listed("observer's own snapshots", true);
      if (facts.mounts.has(path)) return missing("another file system is mounted here", true);
      if (entry.type === "directory" && facts.dev !== undefined && entry.live?.dev !== facts.dev)
        return missing("another file system or subvolume", true);
      if (entry.type === "other") return listed("socket, FIFO or device", true);
      if (path.split("/").length > DEPTH_MAX)
        return missing(`deeper than ${DEPTH_MAX} levels`, true);
      if (included.has(path)) return undefined;
      if (rules.defaultExcludes && entry.type === "directory" && DEFAULT_EXCLUDES.has(entry.name))
        return listed(`excluded: ${entry.name}`);
      const pattern = excluded(path);
      if (pattern !== undefined) return listed(`excluded: ${pattern}`);
      if (entry.type === "file" && entry.size > rules.fileBytesMax)
        return missing(`too large: ${entry.size} bytes, the limit is ${rules.fileBytesMax}`);
      return undefined;
    },
    directory(path, names, isCache) {
      if (path === "" || !rules.defaultExcludes || included.has(path)) return undefined;
      if (names.has(VENV_MARKER)) return listed("excluded: Python virtual environment");
      if (names.has(CACHE_MARKER) && isCache()) return listed("excluded: cache directory");
      return undefined;
    },
  };
}

export function missing(reason: string, hard = false): Skip {
  return { reason, listedOnly: false, hard };
}

function listed(reason: string, hard = false): Skip {
  return { reason, listedOnly: true, hard };
}

function withAncestors(paths: ReadonlySet<BytePath>): Set<BytePath> {
  const all = new Set<BytePath>();
  for (const path of paths) {
    all.add(path);
    for (let at = path.lastIndexOf("/"); at > 0; at = path.lastIndexOf("/", at - 1))
      all.add(path.slice(0, at));
  }
  return all;
}

function excludeMatcher(patterns: string[]): (path: BytePath) => string | undefined {
  const plain = new Map<BytePath, string>();
  const globs: { glob: Bun.Glob; pattern: string; whole: boolean }[] = [];
  for (const pattern of patterns) {
    const clean = pattern.replace(/^\/+|\/+$/g, "");
    const whole = pattern.replace(/\/+$/, "").includes("/");
    if (/[*?[{]/.test(clean)) globs.push({ glob: new Bun.Glob(clean), pattern, whole });
    else if (clean !== "") plain.set(whole ? `/${fromText(clean)}` : fromText(clean), pattern);
  }
  return (path) => {
    const found = plain.get(nameOf(path)) ?? plain.get(`/${path}`);
    if (found !== undefined || globs.length === 0) return found;
    const text = shown(path).path;
    const name = shown(nameOf(path)).path;
    return globs.find(({ glob, whole }) => glob.match(whole ? text : name))?.pattern;
  };
}
