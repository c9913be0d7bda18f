// The store's two kinds of objects as bytes: a directory's list of entries, and a checkpoint's manifest.

import { ObserverError } from "../../core/errors.ts";
import type { SkippedPath } from "../../core/checkpoint.ts";
import { fromText, shown, type BytePath } from "../byte-path.ts";
import type { Rules } from "../rules.ts";
import type { Attribute, Content, Entry, EntryType } from "../tree.ts";

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
  /** Paths of each file that has several names here; absent in checkpoints from before they were kept. */
  links?: BytePath[][];
}

/** Text where the bytes are UTF-8, else their base64, so that a manifest can be read by eye. */
type NameField = string | { b64: string };
/** What few files have: attributes as name and base64, holes as start and length. */
export interface Extra {
  attributes?: [NameField, string][];
  holes?: [number, number][];
}
/** name, type, mode, uid, gid, mtime in ns, size, hash or target, chunks, extra. */
type EntryRow = [
  NameField,
  "f" | "d" | "l",
  number,
  number,
  number,
  string,
  number,
  NameField,
  (string[] | null)?,
  Extra?,
];

const LETTERS: Record<"f" | "d" | "l", EntryType> = { f: "file", d: "directory", l: "symlink" };

/** The same entries always give the same bytes, so an unchanged directory is the same object. */
export function encodeTree(entries: Entry[]): Buffer {
  return Buffer.from(JSON.stringify({ format: FORMAT, entries: entries.map(rowOf) }));
}

export function decodeTree(bytes: Uint8Array): Entry[] {
  const { entries } = parsed(bytes) as { format: number; entries: EntryRow[] };
  return entries.map((row) => {
    const entry = entryOf(row);
    // Names come from a directory, which has none of these; nothing else may be made of them.
    if (/^\.{0,2}$|[/\0]/.test(entry.name))
      throw new ObserverError("corrupt", "A stored directory holds a name that no file can have");
    return entry;
  });
}

export function encodeManifest(manifest: Omit<Manifest, "format">): Buffer {
  const links = manifest.links?.map((paths) => paths.map(nameField));
  return Buffer.from(
    JSON.stringify({ ...manifest, format: FORMAT, self: rowOf(manifest.self), links }),
  );
}

export function decodeManifest(bytes: Uint8Array): Manifest {
  const { self, links, ...manifest } = parsed(bytes) as Omit<Manifest, "self" | "links"> & {
    self: EntryRow;
    links?: NameField[][];
  };
  return {
    ...manifest,
    self: entryOf(self),
    ...(links && { links: links.map((paths) => paths.map(nameOf)) }),
  };
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
  if (entry.type === "symlink") return [name, "l", ...head, nameField(entry.target ?? "")];
  const letter = entry.type === "directory" ? "d" : "f";
  const row: EntryRow = [name, letter, ...head, entry.hash ?? ""];
  const extra = extraOf(entry);
  if (entry.chunks || extra) row.push(entry.chunks ?? null);
  if (extra) row.push(extra);
  return row;
}

function entryOf(row: EntryRow): Entry {
  const [name, letter, mode, uid, gid, mtime, size, content, chunks, extra] = row;
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
  return extra ? { ...entry, ...ofExtra(extra) } : entry;
}

/** Undefined for what has none of it, which is nearly everything. */
export function extraOf({ attributes, holes }: Partial<Content>): Extra | undefined {
  if (!attributes && !holes) return undefined;
  return {
    ...(attributes && {
      attributes: attributes.map(({ name, value }): [NameField, string] => [
        nameField(name),
        value,
      ]),
    }),
    ...(holes && { holes: holes.map(({ start, length }): [number, number] => [start, length]) }),
  };
}

export function ofExtra(extra: Extra): Pick<Content, "attributes" | "holes"> {
  return {
    ...(extra.attributes && {
      attributes: extra.attributes.map(([name, value]): Attribute => ({
        name: nameOf(name),
        value,
      })),
    }),
    ...(extra.holes && { holes: extra.holes.map(([start, length]) => ({ start, length })) }),
  };
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
