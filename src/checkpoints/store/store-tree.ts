// Reads a checkpoint of the content store as a tree.

import { ObserverError } from "../../core/errors.ts";
import { joined, fromText, parentOf, type BytePath } from "../byte-path.ts";
import type { SkippedPath } from "../../core/checkpoint.ts";
import type { Directory, Links, TreeReader } from "../tree.ts";
import type { BlobReader } from "./blobs.ts";
import { decodeManifest, decodeTree, type Manifest } from "./objects.ts";

/** A store tree also tells by which rules it was taken. */
export interface StoreTree extends TreeReader {
  readonly manifest: Manifest;
}

/** `ref` is the manifest's hash. Throws `corrupt` when the manifest is damaged. */
export function createStoreTree(blobs: BlobReader, ref: string): StoreTree {
  const manifest = decodeManifest(blobs.read(ref));
  const skipped = skippedPaths(manifest.skipped);
  const links = linksOf(manifest.links ?? []);
  const open = (hash: string): Directory => ({
    entries: decodeTree(blobs.read(hash)),
    enter: (entry) => open(entry.hash ?? ""),
    close: () => undefined,
  });
  return {
    manifest,
    self: manifest.self,
    root: () => open(manifest.tree),
    *content(path, entry) {
      for (const hash of entry.chunks ?? [hashOf(path, entry.hash)]) yield blobs.read(hash);
    },
    contentHash: (path, entry) => hashOf(path, entry.hash),
    exact: manifest.links !== undefined,
    attributes: (_path, entry) => entry.attributes ?? [],
    holes: (_path, entry) => entry.holes ?? [],
    links: (path) => links.get(path),
    uncovered(path) {
      for (let at = path; at !== ""; at = parentOf(at)) {
        const reason = skipped.get(at);
        if (reason !== undefined) return reason;
      }
      return undefined;
    },
    close: () => blobs.close(),
  };
}

function hashOf(path: BytePath, hash: string | undefined): string {
  if (hash === undefined) throw new ObserverError("corrupt", `No content is stored for ${path}`);
  return hash;
}

function linksOf(groups: BytePath[][]): Map<BytePath, Links> {
  return new Map(
    groups.flatMap((paths, index) => {
      const links = { key: String(index), names: paths.length };
      return paths.map((path): [BytePath, Links] => [path, links]);
    }),
  );
}

function skippedPaths(skipped: SkippedPath[]): Map<BytePath, string> {
  return new Map(
    skipped.map(({ path, path_b64, reason }) => [
      path_b64 === undefined ? fromText(path) : Buffer.from(path_b64, "base64").toString("latin1"),
      reason,
    ]),
  );
}

/** Every blob of the checkpoint's trees, each directory before its content; shared ones are visited once. */
export function walkBlobs(
  tree: StoreTree,
  visit: (hash: string, path: BytePath, kind: "tree" | "content") => boolean,
  blobs: BlobReader,
): void {
  const walk = (hash: string, path: BytePath): void => {
    if (!visit(hash, path, "tree")) return;
    for (const entry of decodeTree(blobs.read(hash))) {
      const child = joined(path, entry.name);
      if (entry.type === "directory") walk(entry.hash ?? "", child);
      else if (entry.type === "file")
        for (const blob of entry.chunks ?? [hashOf(child, entry.hash)])
          visit(blob, child, "content");
    }
  };
  walk(tree.manifest.tree, "");
}
