// The store's two kinds of objects as bytes: a directory's list of entries, and a checkpoint's manifest.

import { ObserverError } from "../../core/errors.ts";
import type { SkippedPath } from "../../core/checkpoint.ts";
import { fromText, shown, type BytePath } from "../byte-path.ts";
import type { Rules } from "../rules.ts";
import type { Entry, EntryType } from "../tree.ts";

/** Version of both formats; a reader refuses what it does not know. */
const FORMAT = 1;

export interface Manifest {
  format: number;
  /** The top directory itself. */
  self: Entry;
  /** Hash of the top directory's list. */
  tree: string;
  rules: Rules;
  skipped: SkippedPath[];
  files: number;
  bytes: number;
}

/** Text where the bytes are UTF-8, else their base64, so that a manifest can be read by eye. */
type NameField = string | { b64: string };
/** name, type, mode, uid, gid, mtime in ns, size, hash or target, chunks. */
type EntryRow = [
  NameField,
  "f" | "d" | "l",
  number,
  number,
  number,
  string,
  number,
  NameField,
  string[]?,
];

const LETTERS: Record<"f" | "d" | "l", EntryType> = { f: "file", d: "directory", l: "symlink" };

/** The same entries always give the same bytes, so an unchanged directory is the same object. */
export function encodeTree(entries: Entry[]): Buffer {
  return Buffer.from(JSON.stringify({ format: FORMAT, entries: entries.map(rowOf) }));
}

export function decodeTree(bytes: Uint8Array): Entry[] {
  const { entries } = parsed(bytes) as { format: number; entries: EntryRow[] };
  return entries.map(entryOf);
}

export function encodeManifest(manifest: Omit<Manifest, "format">): Buffer {
  return Buffer.from(JSON.stringify({ ...manifest, format: FORMAT, self: rowOf(manifest.self) }));
}

export function decodeManifest(bytes: Uint8Array): Manifest {
  const manifest = parsed(bytes) as Omit<Manifest, "self"> & { self: EntryRow };
  return { ...manifest, self: entryOf(manifest.self) };
}

function parsed(bytes: Uint8Array): { format: number } {
  const object = JSON.parse(Buffer.from(bytes).toString("utf8")) as { format: number };
  if (object.format !== FORMAT)
    throw new ObserverError(
      "unsupported",
      `Cannot read a checkpoint of format ${object.format}: this version knows ${FORMAT}`,
    );
  return object;
}

function rowOf(entry: Entry): EntryRow {
  const { mode, uid, gid, size } = entry;
  const head: [number, number, number, string, number] = [
    mode,
    uid,
    gid,
    String(entry.mtimeNs),
    size,
  ];
  const name = nameField(entry.name);
  if (entry.type === "directory") return [name, "d", ...head, entry.hash ?? ""];
  if (entry.type === "symlink") return [name, "l", ...head, nameField(entry.target ?? "")];
  const row: EntryRow = [name, "f", ...head, entry.hash ?? ""];
  if (entry.chunks) row.push(entry.chunks);
  return row;
}

function entryOf(row: EntryRow): Entry {
  const [name, letter, mode, uid, gid, mtime, size, content, chunks] = row;
  const entry: Entry = {
    name: nameOf(name),
    type: LETTERS[letter],
    mode,
    uid,
    gid,
    mtimeNs: BigInt(mtime),
    size,
  };
  if (letter === "l") entry.target = nameOf(content);
  else entry.hash = nameOf(content);
  if (chunks) entry.chunks = chunks;
  return entry;
}

function nameField(name: BytePath): NameField {
  const { path, path_b64 } = shown(name);
  return path_b64 === undefined ? path : { b64: path_b64 };
}

function nameOf(field: NameField): BytePath {
  return typeof field === "string"
    ? fromText(field)
    : Buffer.from(field.b64, "base64").toString("latin1");
}
