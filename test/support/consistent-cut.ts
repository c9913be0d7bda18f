// Tells whether a copy of a directory is what was there at one instant, while `programs/rewriter.ts` rewrote it.

import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const FILES_PER_DIRECTORY = 100;

export function pathOf(directory: string, file: number): string {
  return join(directory, `d${Math.floor(file / FILES_PER_DIRECTORY)}`, `f${file}`);
}

/** Content of the file that the `turn`-th write writes. */
export function contentOf(turn: number, bytes: number): string {
  return `${turn}\n`.repeat(bytes).slice(0, bytes);
}

/** The first content of every file; the rewriter goes on from there. */
export function writeFirst(directory: string, files: number, bytes: number): void {
  for (let turn = 0; turn < files; turn += 1) {
    if (turn % FILES_PER_DIRECTORY === 0) {
      mkdirSync(join(directory, `d${turn / FILES_PER_DIRECTORY}`), { recursive: true });
    }
    writeFileSync(pathOf(directory, turn), contentOf(turn, bytes));
  }
}

/**
 * Null when `copy` is one instant of the directory: every file holds the newest write up to some turn. The write
 * that was under way may be torn. Else what is wrong, in one line.
 */
export function torn(copy: string, files: number, bytes: number): string | null {
  const turns = new Map<number, number>();
  const broken: number[] = [];
  const names = readdirSync(copy, { recursive: true, withFileTypes: true });
  const found = names.filter((entry) => entry.isFile()).length;
  if (found !== files) return `${found} files instead of ${files}`;
  for (let file = 0; file < files; file += 1) {
    const text = readFileSync(pathOf(copy, file), "utf8");
    const turn = Number.parseInt(text, 10);
    if (text === contentOf(turn, bytes)) turns.set(file, turn);
    else broken.push(file);
  }
  const newest = Math.max(...turns.values());
  const underWay = (newest + 1) % files;
  if (broken.some((file) => file !== underWay)) return `torn files: ${broken.join(", ")}`;
  for (const [file, turn] of turns) {
    const expected = newest - ((((newest - file) % files) + files) % files);
    if (turn !== expected)
      return `file ${file} holds write ${turn}, not ${expected} (newest ${newest})`;
  }
  return null;
}
