// What this program is: put in by the build, readable by every surface.

declare const OBSERVER_VERSION: string | undefined;
declare const OBSERVER_COMMIT: string | undefined;

export interface BuildInfo {
  version: string;
  /** Git commit that it was built from; `unknown` outside a checkout, with `+dirty` for local changes. */
  commit: string;
  bun: string;
  platform: string;
}

export const BUILD_INFO: BuildInfo = {
  version: typeof OBSERVER_VERSION === "string" ? OBSERVER_VERSION : "0.0.0-dev",
  commit: typeof OBSERVER_COMMIT === "string" ? OBSERVER_COMMIT : "unknown",
  bun: Bun.version,
  platform: `${process.platform}-${process.arch}`,
};
