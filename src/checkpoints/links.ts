// Which paths of a tree are one file (hard links), and where two trees disagree about it.

import type { BytePath } from "./byte-path.ts";
import type { Entry, Links } from "./tree.ts";

/** One file and those of its names that took part. */
export interface LinkGroup {
  paths: BytePath[];
  /** How many it has in all. */
  names: number;
}

interface Sides {
  before?: Entry;
  after?: Entry;
}

export interface LinkNotes {
  note(
    path: BytePath,
    sides: Sides,
    links: { before: Links | undefined; after: Links | undefined },
  ): void;
  /** Paths on both sides that are not the same file as the same other paths. */
  moved(): Map<BytePath, Required<Sides>>;
  /** Files of `after` with more than one name among what was noted, by each of these. */
  groups(): Map<BytePath, LinkGroup>;
  /** Paths of `before` whose file has names that were not noted. */
  reaching(): Set<BytePath>;
}

/** Notes come in tree order, so the names of equal groups are in the same order. */
export function createLinkNotes(): LinkNotes {
  const before = new Map<Links["key"], LinkGroup & { staying: BytePath[] }>();
  const after = new Map<Links["key"], LinkGroup>();
  const both = new Map<BytePath, Required<Sides>>();
  return {
    note(path, sides, links) {
      if (!links.before && !links.after) return;
      const stays = sides.before !== undefined && sides.before.type === sides.after?.type;
      if (sides.before && sides.after && stays)
        both.set(path, { before: sides.before, after: sides.after });
      if (links.before) {
        const { key, names } = links.before;
        const group = before.get(key) ?? { names, paths: [], staying: [] };
        group.paths.push(path);
        // A name that goes is a change of its own; those that stay may still belong together as before.
        if (stays) group.staying.push(path);
        before.set(key, group);
      }
      if (links.after) {
        const { key, names } = links.after;
        const group = after.get(key) ?? { names, paths: [] };
        group.paths.push(path);
        after.set(key, group);
      }
    },
    moved() {
      const old = togetherWith([...before.values()].map((group) => group.staying));
      const now = togetherWith([...after.values()].map((group) => group.paths));
      const moved = new Map<BytePath, Required<Sides>>();
      for (const [path, sides] of both)
        if ((old.get(path) ?? path) !== (now.get(path) ?? path)) moved.set(path, sides);
      return moved;
    },
    groups: () =>
      new Map(
        [...after.values()]
          .filter(({ paths }) => paths.length > 1)
          .flatMap((group) => group.paths.map((path): [BytePath, LinkGroup] => [path, group])),
      ),
    reaching: () =>
      new Set(
        [...before.values()]
          .filter(({ names, paths }) => names > paths.length)
          .flatMap(({ paths }) => paths),
      ),
  };
}

/** For each path all that are the same file as it, as one text. */
function togetherWith(groups: BytePath[][]): Map<BytePath, string> {
  return new Map(
    groups.flatMap((paths) => {
      const all = paths.join("\0");
      return paths.map((path): [BytePath, string] => [path, all]);
    }),
  );
}

/** A directory before its content, names of one directory byte by byte. */
export function inTreeOrder(a: BytePath, b: BytePath): number {
  const left = a.replaceAll("/", "\0");
  const right = b.replaceAll("/", "\0");
  return left < right ? -1 : left > right ? 1 : 0;
}
