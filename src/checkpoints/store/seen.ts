// What the last capture saw of each file, so that unchanged content is not read again.

import type { Database } from "bun:sqlite";
import type { BytePath } from "../byte-path.ts";
import type { Content, Entry } from "../tree.ts";
import { type Extra, extraOf, ofExtra } from "./objects.ts";

/** dev, ino, size, mtime in ns, ctime in ns, hash, chunks, extra. Attributes and holes move the change time too. */
type SeenRow = [string, string, number, string, string, string, (string[] | null)?, Extra?];
type SeenFiles = Record<BytePath, SeenRow>;

/** What was noted by a version that did not look at attributes and holes is not used. */
const FORMAT = 2;
interface SeenDirectory {
  format: typeof FORMAT;
  files: SeenFiles;
}

/**
 * Time stamps move in ticks (4 ms before Linux 6.13) and some file systems round to a second: a file written
 * this close to the scan may change again without a new stamp, so it is read again next time.
 */
const RACY_NS = 1_000_000_000n;

export interface Seen {
  /** The content of an unchanged file. */
  find(directory: BytePath, entry: Entry): Content | undefined;
}

export interface SeenWriter extends Seen {
  note(directory: BytePath, entry: Entry, content: Content): void;
  /** Replaces what is kept of the workspace by what was noted; in the caller's transaction. */
  save(): void;
}

export function createSeen(db: Database, workspace: string): Seen {
  const query = db.query<{ files: string }, [string, string]>(
    "SELECT files FROM seen WHERE workspace = ? AND directory = ?",
  );
  let loaded: { directory: BytePath; files: SeenFiles } | undefined;
  return {
    find(directory, entry) {
      if (loaded?.directory !== directory) {
        const row = query.get(workspace, directory);
        loaded = { directory, files: row ? filesOf(row.files) : {} };
      }
      const row = Object.hasOwn(loaded.files, entry.name) ? loaded.files[entry.name] : undefined;
      if (!row || !entry.live) return undefined;
      const [dev, ino, size, mtime, ctime, hash, chunks, extra] = row;
      const same =
        size === entry.size &&
        mtime === String(entry.mtimeNs) &&
        ctime === String(entry.live.ctimeNs) &&
        ino === String(entry.live.ino) &&
        dev === String(entry.live.dev);
      if (!same) return undefined;
      return { hash, ...(chunks && { chunks }), ...(extra && ofExtra(extra)) };
    },
  };
}

function filesOf(text: string): SeenFiles {
  const { format, files } = JSON.parse(text) as Partial<SeenDirectory>;
  return format === FORMAT && files ? files : {};
}

/** `scanStartNs`: the wall clock when the capture began. */
export function createSeenWriter(db: Database, workspace: string, scanStartNs: bigint): SeenWriter {
  const noted = new Map<BytePath, SeenFiles>();
  const isRacy = (entry: Entry): boolean =>
    entry.mtimeNs >= scanStartNs - RACY_NS ||
    (entry.live?.ctimeNs ?? scanStartNs) >= scanStartNs - RACY_NS;
  return {
    ...createSeen(db, workspace),
    note(directory, entry, content) {
      if (!entry.live || isRacy(entry)) return;
      const row: SeenRow = [
        String(entry.live.dev),
        String(entry.live.ino),
        entry.size,
        String(entry.mtimeNs),
        String(entry.live.ctimeNs),
        content.hash,
      ];
      const extra = extraOf(content);
      if (content.chunks || extra) row.push(content.chunks ?? null);
      if (extra) row.push(extra);
      let files = noted.get(directory);
      // Without a prototype: a file may be called `__proto__`.
      if (!files) noted.set(directory, (files = Object.create(null) as SeenFiles));
      files[entry.name] = row;
    },
    save() {
      db.query("DELETE FROM seen WHERE workspace = ?").run(workspace);
      const insert = db.query("INSERT INTO seen (workspace, directory, files) VALUES (?, ?, ?)");
      for (const [directory, files] of noted) {
        const seen: SeenDirectory = { format: FORMAT, files };
        insert.run(workspace, directory, JSON.stringify(seen));
      }
    },
  };
}
