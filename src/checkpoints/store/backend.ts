// The store backend: observer's own content-addressed store, for every file system and without root.

import type { Checkpoint, VerifyResult } from "../../core/checkpoint.ts";
import { messageOf, ObserverError } from "../../core/errors.ts";
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Backend, BackendFacts, CreateJob, Saved } from "../backend.ts";
import { nameOf, parentOf, shown } from "../byte-path.ts";
import { createLiveTree } from "../live-tree.ts";
import { createBlobReader, createBlobWriter, type BlobReader } from "./blobs.ts";
import { capture } from "./capture.ts";
import { collect } from "./collect.ts";
import { lockStore, openIndex } from "./index-db.ts";
import { ensureStore, indexPath } from "./layout.ts";
import { encodeManifest } from "./objects.ts";
import { createSeen, createSeenWriter } from "./seen.ts";
import { createStoreTree, walkBlobs } from "./store-tree.ts";

const NS_PER_MS = 1_000_000n;

export function createStoreBackend(facts: BackendFacts): Backend {
  const store = join(facts.directory, "store");
  return {
    name: "store",
    detect: () => ({ usable: true, reason: "content store: works on every file system" }),
    create: (job) => create(store, facts, job),
    open(checkpoint) {
      const db = openIndex(store, { readonly: true });
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
    delete: (checkpoint) => remove(store, facts, checkpoint),
    verify: (checkpoint) => verify(store, checkpoint),
    knownContent: (workspace) => knownContent(store, workspace),
  };
}

function refOf(checkpoint: Checkpoint): string {
  if (checkpoint.ref === null)
    throw new ObserverError("not_found", `Checkpoint ${checkpoint.id} holds no content`);
  return checkpoint.ref;
}

function create(store: string, facts: BackendFacts, job: CreateJob): Saved {
  ensureStore(store);
  const lock = lockStore(store, facts.lockWaitMs);
  const db = openIndex(store, { readonly: false });
  const blobs = createBlobWriter(store, db);
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
    readBack(blobs, [...blobs.added, ref]);
    return { ...saved, verified: true };
  } finally {
    tree.close();
    blobs.close();
    db.close();
    lock.release();
  }
}

/** Everything new, and the manifest even when it is not new. */
function readBack(blobs: BlobReader, hashes: string[]): void {
  for (const hash of hashes) blobs.read(hash);
}

function exists(store: string, checkpoint: Checkpoint): Saved | undefined {
  if (!existsSync(indexPath(store))) return undefined;
  const db = openIndex(store, { readonly: true });
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
  const { ok, problems } = verify(store, { ...checkpoint, ref: saved.ref });
  if (!ok)
    throw new ObserverError("corrupt", `Checkpoint ${checkpoint.id} was saved but is damaged`, {
      detail: { problems },
    });
  return { ...saved, verified: true };
}

function remove(store: string, facts: BackendFacts, checkpoint: Checkpoint): string[] {
  if (!existsSync(indexPath(store))) return [];
  const lock = lockStore(store, facts.lockWaitMs);
  const db = openIndex(store, { readonly: false });
  try {
    db.query("DELETE FROM checkpoints WHERE id = ?").run(checkpoint.id);
    collect(store, db);
    return [];
  } catch (error) {
    if (!(error instanceof ObserverError)) throw error;
    return [`space was not taken back: ${error.message}`];
  } finally {
    db.close();
    lock.release();
  }
}

/** A blob that many files share is read once; each of the files is named when it is broken. */
function verify(store: string, checkpoint: Checkpoint): VerifyResult {
  const db = openIndex(store, { readonly: false });
  const blobs = createBlobReader(store, db);
  const checked = new Map<string, boolean>();
  const result: VerifyResult = {
    id: checkpoint.id,
    ok: true,
    files_checked: 0,
    bytes_checked: 0,
    problems: [],
  };
  const check = (hash: string, what: string): boolean => {
    let good = checked.get(hash);
    if (good === undefined) checked.set(hash, (good = isSound(blobs, hash, result)));
    if (!good) result.problems.push(`corrupt: ${what}`);
    return good;
  };
  let last: string | undefined;
  try {
    const ref = refOf(checkpoint);
    if (check(ref, "the manifest"))
      walkBlobs(
        createStoreTree(blobs, ref),
        (hash, path, kind) => {
          if (kind === "content" && path !== last) {
            result.files_checked += 1;
            last = path;
          }
          return check(
            hash,
            kind === "tree" ? `directory ${shown(path).path || "."}` : shown(path).path,
          );
        },
        blobs,
      );
    markBad(db, checked);
  } finally {
    blobs.close();
    db.close();
  }
  result.ok = result.problems.length === 0;
  return result;
}

function isSound(blobs: BlobReader, hash: string, result: VerifyResult): boolean {
  try {
    result.bytes_checked += blobs.read(hash).length;
    return true;
  } catch (error) {
    if (error instanceof ObserverError && error.code === "corrupt") return false;
    throw new Error(`Cannot verify content ${hash}: ${messageOf(error)}`, { cause: error });
  }
}

/** So that the next capture stores the same content anew, which mends this checkpoint as well. */
function markBad(db: ReturnType<typeof openIndex>, checked: Map<string, boolean>): void {
  const update = db.query("UPDATE blobs SET bad = 1 WHERE hash = ?");
  for (const [hash, good] of checked) if (!good) update.run(Buffer.from(hash, "hex"));
}

function knownContent(
  store: string,
  workspace: string,
): ReturnType<NonNullable<Backend["knownContent"]>> {
  if (!existsSync(indexPath(store))) return { find: () => undefined, close: () => undefined };
  const db = openIndex(store, { readonly: true });
  const seen = createSeen(db, workspace);
  return {
    find: (path, entry) => seen.find(parentOf(path), { ...entry, name: nameOf(path) }),
    close: () => db.close(),
  };
}
