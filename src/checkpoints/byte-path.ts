// Paths as the kernel has them: bytes. A `BytePath` is a string with one character (0 to 255) for each byte.

import { ObserverError } from "../core/errors.ts";

/**
 * A path or name whose characters are bytes (Latin-1). Lossless for names that are not UTF-8, cheap as a map key,
 * and `<` compares as the bytes do. Relative paths have no leading slash; the root of a tree is "".
 */
export type BytePath = string;

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export function fromText(text: string): BytePath {
  return Buffer.from(text, "utf8").toString("latin1");
}

export function toBytes(path: BytePath): Buffer {
  return Buffer.from(path, "latin1");
}

/** The text of the path, and its bytes in base64 where it is not UTF-8 (then the text is lossy). */
export function shown(path: BytePath): { path: string; path_b64?: string } {
  // Names are ASCII nearly always; that needs no decoding.
  // oxlint-disable-next-line no-control-regex -- the ASCII range is the purpose
  if (/^[\u0000-\u007f]*$/.test(path)) return { path };
  const bytes = toBytes(path);
  try {
    return { path: decoder.decode(bytes) };
  } catch {
    return { path: bytes.toString("utf8"), path_b64: bytes.toString("base64") };
  }
}

export function joined(directory: BytePath, name: BytePath): BytePath {
  return directory === "" ? name : `${directory}/${name}`;
}

export function parentOf(path: BytePath): BytePath {
  return path.slice(0, Math.max(0, path.lastIndexOf("/")));
}

export function nameOf(path: BytePath): BytePath {
  return path.slice(path.lastIndexOf("/") + 1);
}

/** Whether `path` is `top` or lies below it. */
export function isWithin(path: BytePath, top: BytePath): boolean {
  return top === "" || path === top || path.startsWith(`${top}/`);
}

/** A path that a caller named inside a workspace: relative, without `..`. Throws `invalid`. */
export function insidePath(text: string): BytePath {
  const parts = text.split("/").filter((part) => part !== "" && part !== ".");
  if (text.startsWith("/") || text.includes("\0") || parts.includes(".."))
    throw new ObserverError(
      "invalid",
      `Cannot use path ${JSON.stringify(text)}: it must be relative to the workspace, without ".."`,
      { detail: { field: "path", value: text } },
    );
  return fromText(parts.join("/"));
}
