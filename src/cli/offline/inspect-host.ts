// What `observer doctor` looks at by itself: the data directory that a daemon of this user would have.

import { accessSync, constants, existsSync, statfsSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { defaultSettings } from "../../config/settings.ts";
import { messageOf } from "../../core/errors.ts";
import type { LocalFacts } from "../doctor-checks.ts";
import { dataDirectory } from "../find-daemon.ts";
import type { CliIo } from "../io.ts";

/** `data` as given by the flag. Looks only; makes nothing. Never throws. */
export function inspectHost(data: string | undefined, io: CliIo): LocalFacts {
  const dataDir = dataDirectory(io, data);
  const standing = nearestExisting(dataDir);
  const refusal = refusalOf(standing);
  return {
    dataDir,
    writable: refusal === null,
    reason: refusal === null ? "" : `${dataDir} cannot be used: ${refusal}`,
    freeBytes: freeBytes(standing),
    freeBytesMin: defaultSettings()["limits.disk_free_bytes"] as number,
    tokenMode: modeOf(join(dataDir, "token")),
    socket: existsSync(join(dataDir, "observer.sock")),
  };
}

function nearestExisting(path: string): string {
  let at = path;
  while (!existsSync(at) && at !== dirname(at)) at = dirname(at);
  return at;
}

function refusalOf(directory: string): string | null {
  try {
    if (!statSync(directory).isDirectory()) return `${directory} is no directory`;
    accessSync(directory, constants.W_OK | constants.X_OK);
    return null;
  } catch (thrown) {
    return messageOf(thrown);
  }
}

function freeBytes(path: string): number | null {
  try {
    const { bavail, bsize } = statfsSync(path);
    return bavail * bsize;
  } catch {
    return null;
  }
}

function modeOf(path: string): number | null {
  try {
    return statSync(path).mode & 0o777;
  } catch {
    return null;
  }
}
