// Walks a workspace and stores what is new of it.

import { closeSync } from "node:fs";
import type { SkippedPath } from "../../core/checkpoint.ts";
import { messageOf } from "../../core/errors.ts";
import { entryOfOpen, openFileAt } from "../beneath.ts";
import { joined, shown, type BytePath } from "../byte-path.ts";
import { readAttributes } from "../attributes.ts";
import { codeOf, holesIn, pieces, type LiveDirectory, type LiveTree } from "../live-tree.ts";
import { missing, type Rules } from "../rules.ts";
import type { Attribute, Content, Entry, Links, Skip } from "../tree.ts";
import { type BlobWriter } from "./blobs.ts";
import { encodeTree } from "./objects.ts";
import type { SeenWriter } from "./seen.ts";

/** Files are stored in pieces of this size, so that memory is bounded whatever a file's size. */
export const CHUNK_BYTES = 4 * 1024 * 1024;
/** A file that changes while it is read is read again this often; then it is kept as it was, and listed. */
const READ_ATTEMPTS = 3;
/** Paths that one warning names. */
const NAMED_MAX = 5;

export interface Captured {
  self: Entry;
  tree: string;
  files: number;
  bytes: number;
  skipped: SkippedPath[];
  warnings: string[];
  /** Paths of each file that has several names here. */
  links: BytePath[][];
}

interface Run {
  tree: LiveTree;
  blobs: BlobWriter;
  seen: SeenWriter;
  rules: Rules;
  captured: Captured;
  /** Every entry counts, directories too: they cost as much to keep. */
  entries: number;
  linked: Map<Links["key"], { names: number; paths: BytePath[] }>;
}

/** Stores everything that the rules cover. Throws only when the store itself fails. */
export function capture(parts: {
  tree: LiveTree;
  blobs: BlobWriter;
  seen: SeenWriter;
  rules: Rules;
}): Captured {
  const captured: Captured = {
    self: parts.tree.self,
    tree: "",
    files: 0,
    bytes: 0,
    skipped: [],
    warnings: [],
    links: [],
  };
  const run: Run = { ...parts, captured, entries: 0, linked: new Map() };
  const root = parts.tree.root();
  try {
    captured.self = withAttributes(run, "", { entry: parts.tree.self, fd: root.fd });
    captured.tree = captureDirectory(run, root, "");
  } finally {
    root.close();
  }
  tellLinks(run);
  return captured;
}

function withAttributes(
  run: Run,
  path: BytePath,
  { entry, fd }: { entry: Entry; fd: number },
): Entry {
  const attributes = attributesOf(run, path, fd);
  return attributes.length > 0 ? { ...entry, attributes } : entry;
}

/** The content is worth keeping also where a file system will not give these. */
function attributesOf(run: Run, path: BytePath, fd: number): Attribute[] {
  try {
    return readAttributes(fd);
  } catch (error) {
    const text = `attributes are not kept: ${shown(path).path || "."}: ${messageOf(error)}`;
    if (!run.captured.warnings.includes(text)) run.captured.warnings.push(text);
    return [];
  }
}

/** In an order of its own, so that the same tree gives the same manifest. */
function tellLinks({ linked, captured }: Run): void {
  const groups = [...linked.values()];
  captured.links = groups
    .filter(({ paths }) => paths.length > 1)
    .map(({ paths }) => paths.sort())
    .sort(([a = ""], [b = ""]) => (a < b ? -1 : 1));
  const reaching = groups
    .filter(({ names, paths }) => names > paths.length)
    .flatMap(({ paths }) => paths)
    .sort();
  if (reaching.length === 0) return;
  const named = reaching.slice(0, NAMED_MAX).map((path) => shown(path).path);
  if (reaching.length > NAMED_MAX) named.push("…");
  captured.warnings.push(
    `${reaching.length} files have hard links outside of what is kept, which a restore does not join again: ${named.join(", ")}`,
  );
}

function noteLinks(run: Run, path: BytePath, entry: Entry): void {
  const links = run.tree.links(path, entry);
  if (!links) return;
  const group = run.linked.get(links.key) ?? { names: links.names, paths: [] };
  group.paths.push(path);
  run.linked.set(links.key, group);
}

function captureDirectory(run: Run, directory: LiveDirectory, path: BytePath): string {
  const kept = new Map<BytePath, Entry>();
  // Files first: what was seen of a directory is loaded once, not again after each subdirectory.
  for (const entry of directory.entries)
    if (entry.type !== "directory") keep(run, kept, { directory, path, entry });
  for (const entry of directory.entries)
    if (entry.type === "directory") keep(run, kept, { directory, path, entry });
  const entries = directory.entries.flatMap((entry) => kept.get(entry.name) ?? []);
  return run.blobs.put(encodeTree(entries));
}

interface Found {
  directory: LiveDirectory;
  path: BytePath;
  entry: Entry;
}

function keep(run: Run, kept: Map<BytePath, Entry>, found: Found): void {
  const path = joined(found.path, found.entry.name);
  const skip =
    found.entry.skip ?? (run.tree.isIncluded(path) ? undefined : overLimit(run, found.entry));
  if (skip) {
    leaveOut(run, path, skip);
    return;
  }
  run.entries += 1;
  if (found.entry.type === "symlink") {
    kept.set(found.entry.name, found.entry);
    run.captured.files += 1;
    noteLinks(run, path, found.entry);
    return;
  }
  const stored = found.entry.type === "file" ? file(run, found, path) : subtree(run, found, path);
  if (stored) kept.set(found.entry.name, stored);
}

function overLimit({ entries, captured, rules }: Run, entry: Entry): Skip | undefined {
  if (entries >= rules.filesMax) return missing(`over the limit of ${rules.filesMax} files`);
  if (captured.bytes + entry.size > rules.totalBytesMax)
    return missing(`over the limit of ${rules.totalBytesMax} bytes in all`);
  return undefined;
}

function leaveOut(run: Run, path: BytePath, skip: Skip): void {
  const { reason, listedOnly } = skip;
  run.captured.skipped.push({ ...shown(path), reason, listedOnly });
}

function subtree(run: Run, { directory, entry }: Found, path: BytePath): Entry | undefined {
  const opened = directory.enter(entry);
  if (!opened) {
    run.captured.warnings.push(`vanished while it was read: ${shown(path).path}`);
    return undefined;
  }
  try {
    if (opened.skip) {
      leaveOut(run, path, opened.skip);
      return undefined;
    }
    return {
      ...withAttributes(run, path, { entry, fd: opened.fd }),
      hash: captureDirectory(run, opened, path),
    };
  } finally {
    opened.close();
  }
}

function file(
  run: Run,
  { directory, path: parent, entry }: Found,
  path: BytePath,
): Entry | undefined {
  const known = run.seen.find(parent, entry);
  if (known && (known.chunks ?? [known.hash]).every((hash) => run.blobs.has(hash))) {
    run.seen.note(parent, entry, known);
    return counted(run, path, { ...entry, ...known });
  }
  try {
    const { stored, content, racy } = readFile(run, path, { directoryFd: directory.fd, entry });
    if (racy) run.captured.warnings.push(`racy: changed while it was read: ${shown(path).path}`);
    else run.seen.note(parent, stored, content);
    return counted(run, path, { ...stored, ...content });
  } catch (error) {
    const code = codeOf(error);
    if (code === "ENOENT" || code === "ELOOP" || error instanceof NotRegular)
      run.captured.warnings.push(`vanished while it was read: ${shown(path).path}`);
    else if (code === "EACCES" || code === "EPERM" || code === "EIO" || code === "ETXTBSY")
      leaveOut(run, path, missing(`unreadable: ${code}`));
    else
      throw new Error(`Cannot capture ${shown(path).path}: ${messageOf(error)}`, { cause: error });
    return undefined;
  }
}

function counted(run: Run, path: BytePath, entry: Entry): Entry {
  noteLinks(run, path, entry);
  run.captured.files += 1;
  run.captured.bytes += entry.size;
  return entry;
}

class NotRegular extends Error {}

function readFile(
  run: Run,
  path: BytePath,
  { directoryFd, entry }: { directoryFd: number; entry: Entry },
): { stored: Entry; content: Content; racy: boolean } {
  for (let attempt = 1; ; attempt += 1) {
    const fd = openFileAt(directoryFd, entry.name);
    try {
      const before = entryOfOpen(fd, entry.name);
      if (before.type !== "file") throw new NotRegular(entry.name);
      const { content, size } = store(run.blobs, fd);
      const attributes = attributesOf(run, path, fd);
      const holes = holesIn(fd, size);
      const after = entryOfOpen(fd, entry.name);
      const racy = !sameFile(before, after) || size !== after.size;
      if (!racy || attempt === READ_ATTEMPTS)
        return {
          stored: { ...before, size },
          content: {
            ...content,
            ...(attributes.length > 0 && { attributes }),
            ...(holes.length > 0 && { holes }),
          },
          racy,
        };
    } finally {
      closeSync(fd);
    }
  }
}

function sameFile(before: Entry, after: Entry): boolean {
  return (
    before.size === after.size &&
    before.mtimeNs === after.mtimeNs &&
    before.live?.ctimeNs === after.live?.ctimeNs
  );
}

function store(blobs: BlobWriter, fd: number): { content: Content; size: number } {
  const hasher = new Bun.CryptoHasher("sha256");
  const chunks: string[] = [];
  let size = 0;
  for (const piece of pieces(fd, CHUNK_BYTES)) {
    hasher.update(piece);
    chunks.push(blobs.put(piece));
    size += piece.length;
  }
  if (chunks.length === 0) chunks.push(blobs.put(new Uint8Array()));
  const content = { hash: hasher.digest("hex") };
  return { content: chunks.length === 1 ? content : { ...content, chunks }, size };
}
