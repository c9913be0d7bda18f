// Reads a checkpoint of the store back, every piece of it.

import type { Database } from "bun:sqlite";
import type { Checkpoint, VerifyResult } from "../../core/checkpoint.ts";
import { messageOf, ObserverError } from "../../core/errors.ts";
import type { VerifyPace } from "../backend.ts";
import { shown } from "../byte-path.ts";
import { createBlobReader, type BlobReader } from "./blobs.ts";
import { openIndex } from "./index-db.ts";
import { checkPack } from "./packs.ts";
import { createStoreTree, walkBlobs } from "./store-tree.ts";

/** A blob that many files share is read once; each of the files is named when it is broken. */
export function verifyStored(
  store: string,
  checkpoint: Checkpoint,
  pace: VerifyPace = {},
): VerifyResult {
  const db = openIndex(store, "write");
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
    if (good === undefined) checked.set(hash, (good = isSound(blobs, hash, { result, pace })));
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
    markBad(store, db, checked);
  } finally {
    blobs.close();
    db.close();
  }
  result.ok = result.problems.length === 0;
  return result;
}

function isSound(
  blobs: BlobReader,
  hash: string,
  { result, pace }: { result: VerifyResult; pace: VerifyPace },
): boolean {
  try {
    const { length } = blobs.read(hash);
    result.bytes_checked += length;
    // This process has nothing else to do than to wait.
    if (pace.bytesPerSecond) Bun.sleepSync((length / pace.bytesPerSecond) * 1_000);
    return true;
  } catch (error) {
    if (error instanceof ObserverError && error.code === "corrupt") return false;
    throw new Error(`Cannot verify content ${hash}: ${messageOf(error)}`, { cause: error });
  }
}

/** So that the next capture stores the same content anew, which mends this checkpoint as well. */
function markBad(store: string, db: Database, checked: Map<string, boolean>): void {
  const find = db.query<{ pack: number }, [Buffer]>(
    "SELECT pack FROM blobs WHERE hash = ? AND bad = 0",
  );
  const packs = new Set<number>();
  for (const [hash, good] of checked) {
    const row = good ? null : find.get(Buffer.from(hash, "hex"));
    if (row) packs.add(row.pack);
  }
  // Damage rarely comes alone, and nothing of it may be used again.
  for (const pack of packs) checkPack(store, db, pack);
}

/** The checkpoint's manifest. Throws `not_found` when it never held content. */
export function refOf(checkpoint: Checkpoint): string {
  if (checkpoint.ref === null)
    throw new ObserverError("not_found", `Checkpoint ${checkpoint.id} holds no content`);
  return checkpoint.ref;
}
