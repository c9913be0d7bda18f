// The dashboard's files as they are served; bundled when this program is built or started from its sources.

import { bundledPage } from "./bundle-macro.ts" with { type: "macro" };

export interface DashboardAsset {
  body: Uint8Array;
  /** Content type. */
  type: string;
  gzip: Uint8Array;
}

const FILES = bundledPage();

/** Every file of the dashboard by the path that the browser asks for: `/`, `/assets/…`. */
export function dashboardAssets(): Map<string, DashboardAsset> {
  const encoder = new TextEncoder();
  return new Map(
    FILES.map(({ path, type, body }) => {
      const bytes = encoder.encode(body);
      return [path, { body: bytes, type, gzip: Bun.gzipSync(bytes, { level: 9 }) }];
    }),
  );
}
