// Which workspace an interruption is about: only configured ones count, whatever a sender claims.

/** A configured workspace by the name it was given and by where it really is. */
export interface ConfiguredWorkspace {
  path: string;
  realPath: string;
}

/** A workspace that nobody configured, but that the kernel shows a live agent to work in. */
export interface ConfirmedWorkspace extends ConfiguredWorkspace {
  /** Sessions that are known to run in it. */
  sessionIds: readonly string[];
  /** Processes that do, for events that name no session. */
  pids?: readonly number[];
  /** Named for its agent by `observer run`: it is the agent's also while that works elsewhere. */
  named?: boolean;
}

/** What is known of a trouble's place. `cwd` is a claim and is only compared, never opened. */
export interface WorkspaceFacts {
  cwd?: string;
  sessionId?: string;
  pid?: number;
}

export interface Workspaces {
  configured: readonly ConfiguredWorkspace[];
  confirmed?: readonly ConfirmedWorkspace[];
}

/**
 * The innermost workspace, configured or confirmed, that holds `cwd`; where none does, the confirmed one of the session
 * or process, else the first configured one; null when there is none. One that `observer run` named for the session
 * goes before any other that it does not lie around.
 */
export function resolveWorkspace(
  facts: WorkspaceFacts,
  { configured, confirmed = [] }: Workspaces,
): string | null {
  const { cwd } = facts;
  const holds = (root: string): boolean =>
    cwd === root || (cwd?.startsWith(withSlash(root)) ?? false);
  const tied = confirmed.find((workspace) => isTied(workspace, facts));
  if (tied?.named === true && !holds(tied.path)) return tied.path;
  let best: ConfiguredWorkspace | undefined;
  for (const workspace of [...configured, ...confirmed]) {
    if (!holds(workspace.path) && !holds(workspace.realPath)) continue;
    if (!best || workspace.realPath.length > best.realPath.length) best = workspace;
  }
  best ??= tied ?? configured[0];
  return best?.path ?? null;
}

function isTied(
  { sessionIds, pids = [] }: ConfirmedWorkspace,
  { sessionId, pid }: WorkspaceFacts,
): boolean {
  if (sessionId !== undefined) return sessionIds.includes(sessionId);
  return pid !== undefined && pids.includes(pid);
}

function withSlash(path: string): string {
  return path.endsWith("/") ? path : `${path}/`;
}
