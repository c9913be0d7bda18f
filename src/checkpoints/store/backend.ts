// The store backend: observer's own content-addressed store, for every file system and without root.

import type { Database } from "bun:sqlite";
import { existsSync } from "node:fs";
import type { Checkpoint } from "../../core/checkpoint.ts";
import { ObserverError } from "../../core/errors.ts";
import type { Backend, BackendFacts, CreateJob, Removed, Saved } from "../backend.ts";
import { nameOf, parentOf } from "../byte-path.ts";
import { createLiveTree } from "../live-tree.ts";
import { createBlobReader, createBlobWriter, type BlobReader } from "./blobs.ts";
import { capture } from "./capture.ts";
import { collect } from "./collect.ts";
import { isBrokenIndex, lockStore, openIndex } from "./index-db.ts";
import { ensureStore, indexPath, storeIn } from "./layout.ts";
import { encodeManifest } from "./objects.ts";
import { isNoSpace, keepReserve, spendReserve } from "./reserve.ts";
import { createSeen, createSeenWriter } from "./seen.ts";
import { createStoreTree } from "./store-tree.ts";
import { refOf, verifyStored } from "./verify.ts";

const NS_PER_MS = 1_000_000n;

export function createStoreBackend(facts: BackendFacts): Backend {
  const store = storeIn(facts.directory);
  return {
    name: "store",
    detect: () => ({ usable: true, reason: "content store: works on every file system" }),
    create: (job) => create(store, facts, job),
    open(checkpoint) {
      const db = openIndex(store, "read");
      const tree = createStoreTree(createBlobReader(store, db), refOf(checkpoint));
      return {
        rules: tree.manifest.rules,
        tree: {
          ...tree,
          close() {
            tree.close();
            db.close();
          },
        },
      };
    },
    exists: (checkpoint) => exists(store, checkpoint),
    delete: (checkpoints, options) => remove(store, facts, { checkpoints, ...options }),
    verify: (checkpoint, pace) => verifyStored(store, checkpoint, pace),
    knownContent: (workspace) => knownContent(store, workspace),
  };
}

function create(store: string, facts: BackendFacts, job: CreateJob): Saved {
  ensureStore(store);
  const lock = lockStore(store, facts.lockWaitMs);
  let db: Database | undefined;
  try {
    db = openIndex(store, "create");
    return createAlone(store, db, { facts, job });
  } catch (error) {
    if (db && isNoSpace(error)) giveBack(store, db);
    throw error;
  } finally {
    db?.close();
    lock.release();
    keepReserve(store);
  }
}

/** What was committed of a checkpoint that does not fit is taken back at once. */
function giveBack(store: string, db: Database): void {
  try {
    collect(store, db);
  } catch {
    // The next deletion does it.
  }
}

function createAlone(
  store: string,
  db: Database,
  { facts, job }: { facts: BackendFacts; job: CreateJob },
): Saved {
  const blobs = createBlobWriter(store, db, job.keepFreeBytes);
  const tree = createLiveTree({
    path: job.workspace.path,
    rules: job.rules,
    include: job.include,
  });
  try {
    const scanStartNs = BigInt(facts.now()) * NS_PER_MS;
    const seen = createSeenWriter(db, job.workspace.path, scanStartNs);
    const { self, tree: top, ...captured } = capture({ tree, blobs, seen, rules: job.rules });
    const { files, bytes, skipped, warnings, links } = captured;
    const ref = blobs.put(
      encodeManifest({ self, tree: top, rules: job.rules, skipped, files, bytes, links }),
    );
    const saved: Saved = {
      ref,
      identity: job.workspace.identity,
      files,
      bytes,
      // Not before it was read back; `exists` reads it back when this process dies in between.
      verified: false,
      skipped,
      warnings,
    };
    blobs.commit(() => {
      db.query(
        "INSERT OR REPLACE INTO checkpoints (id, workspace, ref, summary) VALUES (?, ?, ?, ?)",
      ).run(job.id, job.workspace.path, ref, JSON.stringify(saved));
      seen.save();
    });
    readBack(db, blobs, { id: job.id, hashes: [...blobs.added, ref] });
    return { ...saved, verified: true };
  } finally {
    tree.close();
    blobs.close();
  }
}

/** Everything new, and the manifest even when it is not new. What cannot be read was not saved. */
function readBack(
  db: Database,
  blobs: BlobReader,
  { id, hashes }: { id: string; hashes: string[] },
): void {
  for (const hash of hashes) {
    try {
      blobs.read(hash);
    } catch (error) {
      db.query("UPDATE blobs SET bad = 1 WHERE hash = ?").run(Buffer.from(hash, "hex"));
      db.query("DELETE FROM checkpoints WHERE id = ?").run(id);
      throw error;
    }
  }
}

function exists(store: string, checkpoint: Checkpoint): Saved | undefined {
  if (!existsSync(store)) return undefined;
  const db = openIndex(store, "read");
  let row: { summary: string } | null;
  try {
    row = db
      .query<{ summary: string }, [string]>("SELECT summary FROM checkpoints WHERE id = ?")
      .get(checkpoint.id);
  } finally {
    db.close();
  }
  if (!row) return undefined;
  const saved = JSON.parse(row.summary) as Saved;
  const { ok, problems } = verifyStored(store, { ...checkpoint, ref: saved.ref });
  if (!ok)
    throw new ObserverError("corrupt", `Checkpoint ${checkpoint.id} was saved but is damaged`, {
      detail: { problems },
    });
  return { ...saved, verified: true };
}

interface RemoveJob {
  checkpoints: Checkpoint[];
  thorough?: boolean;
}

/** Once more with the reserve, where the file system is too full for SQLite to write what frees space. */
function remove(store: string, facts: BackendFacts, job: RemoveJob): Removed {
  if (!existsSync(store)) return { warnings: [], freedBytes: 0 };
  try {
    return removeOnce(store, facts, job);
  } catch (error) {
    if (!isNoSpace(error) || !spendReserve(store)) throw error;
    return removeOnce(store, facts, job);
  } finally {
    keepReserve(store);
  }
}

function removeOnce(
  store: string,
  facts: BackendFacts,
  { checkpoints, thorough }: RemoveJob,
): Removed {
  const lock = lockStore(store, facts.lockWaitMs);
  let db: Database | undefined;
  try {
    db = openIndex(store, "write");
    const forget = db.query("DELETE FROM checkpoints WHERE id = ?");
    db.transaction(() => {
      for (const { id } of checkpoints) forget.run(id);
    }).immediate();
    const { freedBytes } = collect(store, db, thorough);
    return { freedBytes, warnings: [] };
  } catch (error) {
    if (!(error instanceof ObserverError) || isBrokenIndex(error)) throw error;
    return { warnings: [`space was not taken back: ${error.message}`], freedBytes: 0 };
  } finally {
    db?.close();
    lock.release();
  }
}

function knownContent(
  store: string,
  workspace: string,
): ReturnType<NonNullable<Backend["knownContent"]>> {
  if (!existsSync(indexPath(store))) return { find: () => undefined, close: () => undefined };
  const db = openIndex(store, "read");
  const seen = createSeen(db, workspace);
  return {
    find: (path, entry) => seen.find(parentOf(path), { ...entry, name: nameOf(path) }),
    close: () => db.close(),
  };
}
