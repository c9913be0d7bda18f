// How the one file is compiled; tests of single parts compile theirs in the same way.

export const BUILD = {
  target: "bun",
  format: "esm",
  bytecode: true,
  sourcemap: "none",
  // Identifiers are left alone: the web framework reads the source of handlers to see what they use.
  minify: { whitespace: true, syntax: true, identifiers: false },
} as const;

/** What lies around where the program is started is none of its business. */
export const COMPILE = { autoloadDotenv: false, autoloadBunfig: false } as const;
