// The page: reads the address, holds the views, and keeps them true.

import { ask, SignedOutError } from "./api.ts";
import { createCheckpointsView } from "./checkpoints-view.ts";
import { startClock } from "./clock.ts";
import { fill, h } from "./dom.ts";
import { signedOutPage } from "./empty.ts";
import { createFeedView } from "./feed-view.ts";
import { createHeader, type Header } from "./header.ts";
import { createInterruptionsView } from "./interruptions-view.ts";
import { startKeys } from "./keys.ts";
import { openLive } from "./live.ts";
import { parseRoute, routeHash, type Route, type ViewName } from "./route.ts";
import { createSessionsView } from "./sessions-view.ts";
import { createStore, type Store } from "./store.ts";
import { startTheme } from "./theme.ts";
import type { View, ViewContext } from "./view.ts";

/** How long a notice of a failure stays. */
const NOTICE_MS = 8_000;

function start(app: HTMLElement): void {
  const theme = startTheme();
  const header = createHeader(theme);
  const notice = h("p", { class: "notice", attrs: { role: "alert" } });
  notice.hidden = true;
  const main = h("main", { attrs: { id: "main", tabindex: -1 } });
  let route: Route = parseRoute(location.hash);
  let signedOut = false;

  const fail = (thrown: unknown): void => {
    if (thrown instanceof SignedOutError) {
      signedOut = true;
      fill(app, signedOutPage());
      return;
    }
    notice.textContent = thrown instanceof Error ? thrown.message : String(thrown);
    notice.hidden = false;
    setTimeout(() => (notice.hidden = true), NOTICE_MS);
  };
  const store = createStore(() => draw());
  const reload = (): void => void store.load().catch(fail);
  const context: ViewContext = {
    store,
    fail,
    reload,
    setParams(params) {
      history.replaceState(null, "", routeHash({ view: route.view, id: route.id, params }));
      changeRoute();
    },
  };
  const views: Record<ViewName, View> = {
    feed: createFeedView(context),
    interruptions: createInterruptionsView(context),
    sessions: createSessionsView(context),
    checkpoints: createCheckpointsView(context),
  };

  const draw = (): void => {
    if (signedOut) return;
    header.draw(store, route);
    if (!store.loaded) return;
    const view = views[route.view];
    if (view.list.parentElement !== main) fill(main, view.list, view.detail);
    main.classList.toggle("has-detail", route.id !== null);
    view.draw(route);
  };
  const changeRoute = (): void => {
    route = parseRoute(location.hash);
    document.title = route.view === "feed" ? "observer" : `${route.view} · observer`;
    draw();
  };

  addEventListener("hashchange", changeRoute);
  startKeys(main, {
    closeDetail: () => {
      if (route.id !== null) location.hash = routeHash({ view: route.view, params: route.params });
    },
    nextTheme: header.nextTheme,
  });
  fill(main, h("p", { class: "loading" }, "Loading…"));
  fill(app, header.root, notice, main);
  draw();
  reload();
  connect({ store, header, fail, reload });
  startClock(() => header.draw(store, route));
}

/** Keeps the store true by the live stream. */
function connect(deps: {
  store: Store;
  header: Header;
  fail: (thrown: unknown) => void;
  reload: () => void;
}): void {
  openLive({
    state: deps.header.live,
    frame: deps.store.take,
    opened: (again) => {
      if (again || !deps.store.loaded) deps.reload();
    },
    // Only asking tells "stopped" from "not signed in".
    failed: () => {
      ask("version").catch((thrown: unknown) => {
        if (thrown instanceof SignedOutError) deps.fail(thrown);
      });
    },
  });
}

const app = document.getElementById("app");
if (app) start(app);
