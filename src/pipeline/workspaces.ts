// Which workspace an interruption is about: only configured ones count, whatever a sender claims.

/** A configured workspace by the name it was given and by where it really is. */
export interface ConfiguredWorkspace {
  path: string;
  realPath: string;
}

/**
 * The innermost configured workspace that holds `cwd`; the first configured one when none does; null when
 * none is configured. `cwd` is a claim and is only compared, never opened.
 */
export function resolveWorkspace(
  cwd: string | undefined,
  configured: readonly ConfiguredWorkspace[],
): string | null {
  const holds = (root: string): boolean =>
    cwd === root || (cwd?.startsWith(withSlash(root)) ?? false);
  let best: ConfiguredWorkspace | undefined;
  for (const workspace of configured) {
    if (!holds(workspace.path) && !holds(workspace.realPath)) continue;
    if (!best || workspace.realPath.length > best.realPath.length) best = workspace;
  }
  return (best ?? configured[0])?.path ?? null;
}

function withSlash(path: string): string {
  return path.endsWith("/") ? path : `${path}/`;
}
