// One way to read any saved or living tree; diff, restore and export are written on it once.

import type { Hole } from "../kernel/seek-holes.ts";
import type { BytePath } from "./byte-path.ts";

export type EntryType = "file" | "directory" | "symlink" | "other";

/** Why a path is not part of a tree. */
export interface Skip {
  reason: string;
  /** Left out by rule (excluded, socket, FIFO, device): listed, but the checkpoint is still whole. */
  listedOnly: boolean;
  /** No checkpoint could hold it (another mount, nested subvolume, unreadable): never touched, whatever was saved there. */
  hard: boolean;
}

/** An extended attribute, ACLs included. */
export interface Attribute {
  /** Latin-1 of its bytes, with the namespace. */
  name: string;
  /** Base64. */
  value: string;
}

/** What is known of a file's content without reading it. */
export interface Content {
  /** SHA-256 in hex. */
  hash: string;
  /** Blobs that make it up, where it is stored in more than one. */
  chunks?: string[];
  /** In order of their names; absent when there are none. */
  attributes?: Attribute[];
  /** Parts that read as zeros and take no space; absent when there are none. */
  holes?: Hole[];
}

/** A file with several names. */
export interface Links {
  /** The same for all its names, in this tree only. */
  key: string;
  /** How many names it has, wherever they are. */
  names: number;
}

/** One name in a directory. */
export interface Entry {
  name: BytePath;
  type: EntryType;
  /** Permission bits with setuid, setgid and sticky. */
  mode: number;
  uid: number;
  gid: number;
  mtimeNs: bigint;
  /** Content bytes of a file; 0 for everything else. */
  size: number;
  /** Where a symlink points. */
  target?: BytePath;
  /** SHA-256 of the content in hex, where it is known without reading. */
  hash?: string;
  /** This and what follows: of what comes from the store. */
  chunks?: string[];
  attributes?: Attribute[];
  holes?: Hole[];
  /** What the file system says about it; absent for what comes from the store. */
  live?: { dev: bigint; ino: bigint; ctimeNs: bigint; links: number };
  skip?: Skip;
}

/** An open directory of a tree. */
export interface Directory {
  /** Sorted by name, byte by byte. */
  entries: Entry[];
  /** Set when the rules leave this whole directory out, which only its content tells. */
  skip?: Skip;
  /** Its own extended attributes, where that is cheaper than asking the tree. */
  attributes?(): Attribute[];
  /** Opens a subdirectory; undefined when it is gone or has become something else. */
  enter(entry: Entry): Directory | undefined;
  close(): void;
}

export interface TreeReader {
  /** Metadata of the top directory; its name is "". */
  readonly self: Entry;
  root(): Directory;
  /** The content of the file at `path`, in pieces. */
  content(path: BytePath, entry: Entry): Iterable<Uint8Array>;
  /** SHA-256 of the content of the file at `path`, in hex. */
  contentHash(path: BytePath, entry: Entry): string;
  /** False for a checkpoint from before attributes and hard links were kept: then neither is compared. */
  readonly exact: boolean;
  /** Extended attributes of a file or directory. Throws where they cannot be read. */
  attributes(path: BytePath, entry: Entry): Attribute[];
  /** Holes of a file. */
  holes(path: BytePath, entry: Entry): Hole[];
  /** Undefined for what has only this name. */
  links(path: BytePath, entry: Entry): Links | undefined;
  /** Why the tree does not hold `path` although it may have existed; undefined when it would. */
  uncovered(path: BytePath): string | undefined;
  close(): void;
}
