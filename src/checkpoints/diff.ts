// Compares any two trees, directory by directory; a restore is the same comparison, carried out.

import { ObserverError } from "../core/errors.ts";
import { needsRoot, sameAttributes } from "./attributes.ts";
import { isWithin, joined, type BytePath } from "./byte-path.ts";
import { createLinkNotes, inTreeOrder, type LinkGroup, type LinkNotes } from "./links.ts";
import type { Attribute, Directory, Entry, TreeReader } from "./tree.ts";

/** What differs between two entries; `links`: which other paths are the same file. */
export type Aspect = "content" | "links" | "mode" | "mtime" | "owner" | "target" | "type" | "xattr";

/** One path that differs. `before` absent: added; `after` absent: deleted. */
export interface Difference {
  path: BytePath;
  before?: Entry;
  after?: Entry;
  what: Aspect[];
}

export interface Comparison {
  /** In tree order, a directory before its content; the top directory is "". */
  differences: Difference[];
  /** Directories of `after`, with what is in their place in `before`. */
  directories: Map<BytePath, { before?: Entry; after: Entry }>;
  /** Paths that one side does not cover; they and what is below them take no part. */
  untouched: BytePath[];
  /** Files of `after` that have several names, by each of these. */
  groups: Map<BytePath, LinkGroup>;
  /** Files of `before` with names that took no part: a change of one would be seen there. */
  reaching: Set<BytePath>;
  /** Paths whose attributes differ in what only root may change; filled where `rootOnly` is `ignored`. */
  beyondUs: BytePath[];
}

export interface CompareOptions {
  before: TreeReader;
  after: TreeReader;
  /** Only this path and what is below it. */
  path?: BytePath;
  /** Inode and change time alone prove equal content: one side is a snapshot of the other's file system. */
  sameFileSystem?: boolean;
  /** Entries changed at or after this may have changed again without a new stamp. */
  racyAfterNs?: bigint;
  /** What only root may change (owner aside) counts by default; a restore by another user cannot bring it back. */
  rootOnly?: "counts" | "ignored";
}

interface Run extends Omit<Comparison, "groups" | "reaching"> {
  options: CompareOptions;
  top: BytePath;
  /** Both sides know attributes and links. */
  exact: boolean;
  links: LinkNotes;
}

interface Pair {
  before: Directory | undefined;
  after: Directory | undefined;
}

/** Throws `not_found` when neither side holds `path`. */
export function compareTrees(options: CompareOptions): Comparison {
  const top = options.path ?? "";
  const run: Run = {
    options,
    top,
    differences: [],
    directories: new Map(),
    untouched: [],
    beyondUs: [],
    exact: options.before.exact && options.after.exact,
    links: createLinkNotes(),
  };
  const { before, after } = options;
  run.directories.set("", { before: before.self, after: after.self });
  if (top === "") {
    const what = aspectsOf(run, "", { before: before.self, after: after.self });
    if (what.length > 0)
      run.differences.push({ path: "", before: before.self, after: after.self, what });
  }
  compareDirectories(run, "", { before: before.root(), after: after.root() });
  if (run.exact) noteLinkDifferences(run);
  const { directories, untouched, beyondUs, links } = run;
  return {
    differences: run.differences,
    directories,
    untouched,
    beyondUs,
    groups: links.groups(),
    reaching: links.reaching(),
  };
}

/** Known only when everything was seen. */
function noteLinkDifferences(run: Run): void {
  const moved = run.links.moved();
  if (moved.size === 0) return;
  for (const difference of run.differences) {
    if (!moved.delete(difference.path) || !difference.before || !difference.after) continue;
    difference.what.push("links");
  }
  for (const [path, sides] of moved) run.differences.push({ path, ...sides, what: ["links"] });
  run.differences.sort((a, b) => inTreeOrder(a.path, b.path));
}

function compareDirectories(run: Run, path: BytePath, pair: Pair): void {
  try {
    for (const [name, entries] of merged(pair.before?.entries ?? [], pair.after?.entries ?? [])) {
      const child = joined(path, name);
      if (isWithin(child, run.top)) compareEntry(run, child, { entries, pair });
      else if (isWithin(run.top, child)) descendTowards(run, child, { entries, pair });
    }
  } finally {
    pair.before?.close();
    pair.after?.close();
  }
}

interface Sides {
  before?: Entry;
  after?: Entry;
}

function* merged(a: Entry[], b: Entry[]): Generator<[BytePath, Sides]> {
  let i = 0;
  let j = 0;
  while (i < a.length || j < b.length) {
    const before = a[i];
    const after = b[j];
    if (before && (!after || before.name < after.name)) {
      yield [before.name, { before }];
      i += 1;
    } else if (after && (!before || after.name < before.name)) {
      yield [after.name, { after }];
      j += 1;
    } else if (before && after) {
      yield [before.name, { before, after }];
      i += 1;
      j += 1;
    }
  }
}

interface Meeting {
  entries: Sides;
  pair: Pair;
}

/** On the way to the one path that was asked for: the directories themselves are not compared. */
function descendTowards(run: Run, path: BytePath, { entries, pair }: Meeting): void {
  const { before, after } = entries;
  if (isUncovered(run, path, entries)) return;
  if (after?.type === "directory") {
    run.directories.set(path, entries as Sides & { after: Entry });
    if (before?.type !== "directory")
      run.differences.push({ path, ...entries, what: whatOf(entries) });
  }
  compareDirectories(run, path, {
    before: before?.type === "directory" ? pair.before?.enter(before) : undefined,
    after: after?.type === "directory" ? pair.after?.enter(after) : undefined,
  });
}

function compareEntry(run: Run, path: BytePath, { entries, pair }: Meeting): void {
  if (isUncovered(run, path, entries)) {
    run.untouched.push(path);
    return;
  }
  const { before, after } = entries;
  const opened: Pair = {
    before: before?.type === "directory" ? pair.before?.enter(before) : undefined,
    after: after?.type === "directory" ? pair.after?.enter(after) : undefined,
  };
  if (leavesOut(opened, entries)) {
    run.untouched.push(path);
    opened.before?.close();
    opened.after?.close();
    return;
  }
  note(run, path, { sides: entries, opened });
  if (opened.before || opened.after) compareDirectories(run, path, opened);
}

/** Rules and skip lists of both sides; what a side really holds is stronger than a rule, except a hard one. */
function isUncovered(run: Run, path: BytePath, { before, after }: Sides): boolean {
  if (before?.skip?.hard || after?.skip?.hard) return true;
  if (run.options.before.uncovered(path) !== undefined) return true;
  if (run.options.after.uncovered(path) !== undefined) return true;
  const held = (before && !before.skip) || (after && !after.skip);
  return !held;
}

function leavesOut(opened: Pair, { before, after }: Sides): boolean {
  if (opened.before?.skip?.hard || opened.after?.skip?.hard) return true;
  if (opened.before?.skip && !after) return true;
  return opened.after?.skip !== undefined && !before;
}

function note(run: Run, path: BytePath, { sides, opened }: { sides: Sides; opened: Pair }): void {
  const { before, after } = sides;
  if (after?.type === "directory" && before?.type === "directory")
    run.directories.set(path, { before, after });
  if (run.exact)
    run.links.note(path, sides, {
      before: before && run.options.before.links(path, before),
      after: after && run.options.after.links(path, after),
    });
  const what = before && after ? aspectsOf(run, path, { before, after, opened }) : whatOf(sides);
  if (!before || !after || what.length > 0) run.differences.push({ path, ...sides, what });
}

function whatOf({ before, after }: Sides): Aspect[] {
  return before && after ? ["type"] : [];
}

interface Both extends Required<Sides> {
  /** Directories, where they are open. */
  opened?: Pair;
}

function aspectsOf(run: Run, path: BytePath, sides: Both): Aspect[] {
  const { before, after } = sides;
  if (before.type !== after.type) return ["type"];
  const what: Aspect[] = [];
  if (before.type === "file" && differs(run, path, sides)) what.push("content");
  if (before.target !== after.target) what.push("target");
  // A symlink has no mode of its own.
  if (before.type !== "symlink" && before.mode !== after.mode) what.push("mode");
  if (before.mtimeNs !== after.mtimeNs) what.push("mtime");
  if (before.uid !== after.uid || before.gid !== after.gid) what.push("owner");
  if (run.exact && attributesDiffer(run, path, sides)) what.push("xattr");
  return what;
}

function attributesDiffer(run: Run, path: BytePath, { before, after, opened }: Both): boolean {
  const { options } = run;
  if (before.type !== "file" && before.type !== "directory") return false;
  if (options.sameFileSystem === true && isSameInode(options, before, after)) return false;
  let old: Attribute[];
  let now: Attribute[];
  try {
    old = opened?.before?.attributes?.() ?? options.before.attributes(path, before);
    now = opened?.after?.attributes?.() ?? options.after.attributes(path, after);
  } catch (error) {
    if (error instanceof ObserverError) throw error;
    // Unreadable or gone since it was listed: not known to be equal.
    return true;
  }
  if (sameAttributes(old, now)) return false;
  if (options.rootOnly !== "ignored") return true;
  if (!sameAttributes(old.filter(needsRoot), now.filter(needsRoot))) run.beyondUs.push(path);
  const ours = (attribute: Attribute): boolean => !needsRoot(attribute);
  return !sameAttributes(old.filter(ours), now.filter(ours));
}

function differs({ options }: Run, path: BytePath, { before, after }: Both): boolean {
  if (before.size !== after.size) return true;
  if (options.sameFileSystem === true && isSameInode(options, before, after)) return false;
  try {
    return options.before.contentHash(path, before) !== options.after.contentHash(path, after);
  } catch (error) {
    if (error instanceof ObserverError) throw error;
    // Unreadable or gone since it was listed: not known to be equal.
    return true;
  }
}

function isSameInode(options: CompareOptions, { live: a }: Entry, { live: b }: Entry): boolean {
  if (!a || !b || a.ino !== b.ino || a.ctimeNs !== b.ctimeNs) return false;
  return options.racyAfterNs === undefined || a.ctimeNs < options.racyAfterNs;
}
