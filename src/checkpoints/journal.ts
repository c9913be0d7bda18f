// The record of a restore in progress: what lets a restart finish it.

import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import type { InUse } from "./in-use.ts";
import type { Journal } from "./protocol.ts";
import { ensurePrivate, PRIVATE_FILE } from "./store/layout.ts";

const ENDING = ".json";
/** Of a journal that is being written: until it has its name, nothing of the workspace is touched. */
const UNFINISHED = ".new";

export function journalsIn(directory: string): string {
  return join(directory, "restores");
}

export function journalPath(directory: string, id: string): string {
  return join(journalsIn(directory), `${id}${ENDING}`);
}

/** Durable on return. */
export function writeJournal(path: string, journal: Journal): void {
  ensurePrivate(dirname(path));
  const temporary = `${path}${UNFINISHED}`;
  const fd = openSync(temporary, "w", PRIVATE_FILE);
  try {
    writeSync(fd, JSON.stringify(journal));
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(temporary, path);
  const directory = openSync(dirname(path), "r");
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}

/** Undefined when there is none. */
export function readJournal(path: string): Journal | undefined {
  return existsSync(path) ? (JSON.parse(readFileSync(path, "utf8")) as Journal) : undefined;
}

export function removeJournal(path: string): void {
  rmSync(path, { force: true });
}

/** Sets a journal aside that cannot be finished, for a person to look at. */
export function giveUpJournal(path: string): void {
  renameSync(path, `${path}.given-up`);
}

/** Checkpoints that a restore under way, or one to be finished, reads: the saved one and the safety copy. */
export function journalCheckpoints(directory: string): Set<string> {
  const path = journalsIn(directory);
  if (!existsSync(path)) return new Set();
  return new Set(
    readdirSync(path)
      .filter((name) => name.endsWith(ENDING) || name.endsWith(`${ENDING}${UNFINISHED}`))
      .flatMap((name) => name.slice(0, name.indexOf(".")).split("-")),
  );
}

/** Removes what a restore left that was killed before it began; `inUse`: checkpoints that are being restored now. */
export function removeUnfinished(directory: string, inUse: Pick<InUse, "has">): void {
  ensurePrivate(journalsIn(directory));
  for (const name of readdirSync(journalsIn(directory))) {
    const [checkpointId = ""] = name.split("-");
    if (!name.endsWith(`${ENDING}${UNFINISHED}`) || inUse.has(checkpointId)) continue;
    rmSync(join(journalsIn(directory), name), { force: true });
  }
}

/** Journals of restores that were begun. One that cannot be read is set aside and told: it must not stop the start. */
export function openJournals(
  directory: string,
  onDamaged: (path: string, error: unknown) => void,
): { path: string; journal: Journal }[] {
  ensurePrivate(journalsIn(directory));
  const journals: { path: string; journal: Journal }[] = [];
  for (const name of readdirSync(journalsIn(directory))) {
    if (!name.endsWith(ENDING)) continue;
    const path = join(journalsIn(directory), name);
    try {
      journals.push({ path, journal: JSON.parse(readFileSync(path, "utf8")) as Journal });
    } catch (error) {
      giveUpJournal(path);
      onDamaged(path, error);
    }
  }
  return journals;
}
