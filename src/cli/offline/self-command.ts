// How to start this very program again, compiled or from source.

/** A compiled program finds its code under this path. */
const EMBEDDED_ROOT = "/$bunfs/";

/** Program and leading arguments; a verb is appended. */
export function selfCommand(): string[] {
  return Bun.main.startsWith(EMBEDDED_ROOT) ? [process.execPath] : [process.execPath, Bun.main];
}
