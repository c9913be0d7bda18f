// What a view is, and what it is given.

import type { Route } from "./route.ts";
import type { Store } from "./store.ts";

export interface ViewContext {
  store: Store;
  /** Changes filters in the address without a new entry in the history. */
  setParams: (params: Record<string, string>) => void;
  /** Shows what went wrong with something the reader did. */
  fail: (thrown: unknown) => void;
  /** Reads everything anew, after something was done. */
  reload: () => void;
}

export interface View {
  list: HTMLElement;
  detail: HTMLElement;
  /** Draws the route from the store; called whenever either changed. */
  draw(route: Route): void;
}
