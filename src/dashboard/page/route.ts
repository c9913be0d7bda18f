// The address bar holds the state of the page: view, selected row, filters.

export const VIEWS = ["feed", "interruptions", "sessions", "checkpoints"] as const;
export type ViewName = (typeof VIEWS)[number];

export interface Route {
  view: ViewName;
  /** The row whose detail is shown. */
  id: string | null;
  params: Record<string, string>;
}

/** Reads a fragment such as `#/sessions/abc?q=test`; anything unknown is the feed. */
export function parseRoute(hash: string): Route {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const [name, id] = path.split("/");
  const view = VIEWS.find((known) => known === name) ?? "feed";
  return {
    view,
    id: id ? decode(id) : null,
    params: Object.fromEntries(new URLSearchParams(query)),
  };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The fragment of a route; empty parameters are left out. */
export function routeHash(route: {
  view: ViewName;
  id?: string | null;
  params?: Record<string, string>;
}): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(route.params ?? {})) if (value) query.set(name, value);
  const id = route.id ? `/${encodeURIComponent(route.id)}` : "";
  const search = query.toString();
  return `#/${route.view}${id}${search ? `?${search}` : ""}`;
}
