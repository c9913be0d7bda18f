// stub until the page is merged
export function dashboardAssets(): Map<string, { body: Uint8Array; type: string }> {
  return new Map([
    [
      "/",
      {
        body: new TextEncoder().encode("<!doctype html><title>observer</title>"),
        type: "text/html; charset=utf-8",
      },
    ],
  ]);
}
