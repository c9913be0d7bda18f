// The page in a real browser against a fake of the contract. Without Chromium these tests skip themselves.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { dashboardAssets } from "../../src/dashboard/assets.ts";
import { startFakeObserver, type FakeObserver, type FakeOptions } from "../cli/fake-observer.ts";
import { HOSTILE } from "../cli/fake-rows.ts";
import { CHROMIUM, launchBrowser, type Browser } from "./browser.ts";

/** A cold browser on a busy machine. */
const START_MS = 60_000;
const TEST_MS = 30_000;

if (!CHROMIUM) process.stderr.write("skipped: the page in a browser (no chromium on PATH)\n");

const servers: FakeObserver[] = [];
function fake(options: Partial<FakeOptions> = {}): FakeObserver {
  const server = startFakeObserver({ nowMs: Date.now(), assets: dashboardAssets(), ...options });
  servers.push(server);
  return server;
}

/** Pushes frames into every open stream. */
function createStream() {
  const open = new Set<ReadableStreamDefaultController<string>>();
  let opened = 0;
  return {
    opened: () => opened,
    push: (type: string, id: number, data: unknown) => {
      for (const stream of open)
        stream.enqueue(`id: ${id}\nevent: ${type}\ndata: ${JSON.stringify(data)}\n\n`);
    },
    cut: () => {
      for (const stream of open) stream.close();
      open.clear();
    },
    answer: (path: string): Response | undefined => {
      if (path !== "/stream") return undefined;
      opened += 1;
      const body = new ReadableStream<string>({
        start: (stream) => {
          open.add(stream);
          stream.enqueue("retry: 100\n\n");
        },
      });
      return new Response(body as unknown as ReadableStream, {
        headers: { "content-type": "text/event-stream" },
      });
    },
  };
}

const text = (selector: string): string =>
  `(document.querySelector(${JSON.stringify(selector)})?.textContent ?? "")`;
const clickButton = (label: string): string =>
  `[...document.querySelectorAll("button")].find((button) => button.textContent.startsWith(${JSON.stringify(label)})).click()`;
const rows = `document.querySelectorAll("main tbody tr").length`;

describe.skipIf(!CHROMIUM)("the page", () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await launchBrowser(CHROMIUM ?? "");
  }, START_MS);
  afterAll(async () => {
    await browser?.close();
    for (const server of servers) await server.stop();
  });

  test(
    "shows rows, and text of agents as text",
    async () => {
      const server = fake();
      await browser.open(`${server.url}/`);
      await browser.until(`${rows} > 40`);
      expect(await browser.evaluate("document.body.innerText")).toContain(HOSTILE);
      for (const view of [
        "interruptions/p0q8r6s4t2v1w",
        "sessions/8f14e45f-ceea-467f-a0e6-1c2b3d4e5f60",
        "checkpoints/c7m2x9k4v1q8z",
      ]) {
        await browser.evaluate(`location.hash = "#/${view}"`);
        await browser.until(
          `document.querySelectorAll(".detail .facts").length > 0 && ${rows} > 0`,
        );
      }
      expect(await browser.evaluate(`document.querySelectorAll("img").length`)).toBe(0);
      expect(await browser.evaluate("document.title")).not.toBe("owned");
    },
    TEST_MS,
  );

  test(
    "keeps to its policy: nothing was refused by it, nothing failed",
    async () => {
      const server = fake();
      await browser.open(`${server.url}/#/interruptions/k3v9m7qa2xwz1`);
      await browser.until(`document.querySelectorAll(".timeline li").length === 3`);
      const styled = await browser.evaluate(
        `getComputedStyle(document.querySelector(".strip")).display`,
      );
      expect(styled).toBe("grid");
      const paths = server.seen.map(({ path }) => path);
      expect(paths).toContain("/events/ev000048");
      expect(paths.filter((path) => path === "/favicon.ico")).toEqual([]);
    },
    TEST_MS,
  );

  test(
    "adds live rows without a reload, and says when it is not live",
    async () => {
      const stream = createStream();
      const server = fake({ answer: stream.answer });
      await browser.open(`${server.url}/#/feed`);
      await browser.until(`${text(".live")} === "live" && ${rows} > 40`);
      const event = {
        id: "live1",
        kind: "note",
        time: new Date().toISOString(),
        source: "test",
        session_id: null,
        agent: null,
        workspace: null,
        note: "fresh news",
      };
      stream.push("event", 7, event);
      await browser.until(
        `document.querySelector("main tbody tr").textContent.includes("fresh news")`,
      );
      const before = stream.opened();
      stream.cut();
      await browser.until(`${text(".live")} === "live" && ${before} > 0`);
      while (stream.opened() === before) await Bun.sleep(20);
      const resumed = server.seen.filter(({ path }) => path === "/stream").length;
      expect(resumed).toBeGreaterThan(1);
    },
    TEST_MS,
  );

  test(
    "the keyboard moves, opens, filters and goes",
    async () => {
      const server = fake();
      await browser.open(`${server.url}/`);
      await browser.until(`${rows} > 40`);
      await browser.press("g");
      await browser.press("i");
      await browser.until(`location.hash === "#/interruptions" && ${rows} === 4`);
      await browser.press("j");
      await browser.press("j");
      expect(await browser.evaluate("document.activeElement.getAttribute('href')")).toBe(
        "#/interruptions/p0q8r6s4t2v1w",
      );
      await browser.press("k");
      expect(await browser.evaluate("document.activeElement.getAttribute('href')")).toBe(
        "#/interruptions/k3v9m7qa2xwz1",
      );
      await browser.press("/");
      for (const key of "overflow") await browser.press(key);
      await browser.until(`${rows} === 1 && location.hash === "#/interruptions?q=overflow"`);
      await browser.press("Escape");
      await browser.press("?");
      await browser.until(`document.querySelector("dialog.keys[open]") !== null`);
    },
    TEST_MS,
  );

  test(
    "restore names workspace and changes, asks, and shows the way back",
    async () => {
      const server = fake();
      await browser.open(`${server.url}/#/checkpoints/c7m2x9k4v1q8z`);
      await browser.until(`document.querySelectorAll(".changes li").length === 4`);
      await browser.evaluate(clickButton("Restore…"));
      await browser.until(`${text("dialog")}.includes("Restore 4 changes")`);
      expect(await browser.evaluate(text("dialog"))).toContain(
        "/srv/agents/shop goes back to checkpoint c7m2x9k4v1q8z: 4 changes",
      );
      const sent = () =>
        server.seen.filter(({ path }) => path.endsWith("/restore")).map(({ body }) => body);
      expect(sent()).toEqual([{ dry_run: true }]);
      await browser.evaluate(clickButton("Restore 4 changes"));
      await browser.until(`${text("dialog")}.includes("4 changes restored")`);
      expect(sent()).toEqual([{ dry_run: true }, {}]);
      expect(await browser.evaluate(text("dialog"))).toContain("s4f3s4f3s4f3s");
    },
    TEST_MS,
  );

  test(
    "empty views hand over a command, and 401 says how to sign in",
    async () => {
      const empty = fake({ empty: true });
      for (const [view, command] of [
        ["feed", "curl -d"],
        ["interruptions", "observer demo"],
        ["sessions", "observer import"],
        ["checkpoints", "--workspace DIR"],
      ]) {
        await browser.open(`${empty.url}/#/${view}`);
        await browser.until(`${text(".empty")}.includes("${command}")`);
      }
      await browser.open(`${fake({ token: "t" }).url}/`);
      await browser.until(`${text(".signed-out")}.includes("observer open")`);
    },
    TEST_MS,
  );

  test(
    "works behind a path prefix",
    async () => {
      const inner = fake();
      const proxy = Bun.serve({
        port: 0,
        hostname: "127.0.0.1",
        fetch: (request) => {
          const { pathname, search } = new URL(request.url);
          if (!pathname.startsWith("/tools/observer/"))
            return new Response("not here", { status: 404 });
          return fetch(`${inner.url}${pathname.slice("/tools/observer".length)}${search}`);
        },
      });
      await browser.open(`http://127.0.0.1:${proxy.port}/tools/observer/`);
      await browser.until(`${rows} > 40`);
      await proxy.stop(true);
    },
    TEST_MS,
  );

  test(
    "does not scroll sideways on a phone, and is readable in both themes",
    async () => {
      const server = fake();
      for (const dark of [false, true]) {
        for (const view of [
          "feed",
          "interruptions",
          "sessions",
          "checkpoints",
          "checkpoints/d4f6h8j1k3m5n",
        ]) {
          await browser.open(`${server.url}/#/${view}`, { width: 360, height: 740, dark });
          await browser.until(
            view.includes("/") ? `document.querySelector(".facts") !== null` : `${rows} > 0`,
          );
          expect(await browser.evaluate("document.documentElement.scrollWidth")).toBe(360);
          expect(Number(await browser.evaluate(LOWEST_CONTRAST))).toBeGreaterThanOrEqual(4.5);
        }
      }
    },
    TEST_MS,
  );
});

/** The lowest contrast of any text with what is behind it, by the formula of WCAG 2. */
const LOWEST_CONTRAST = `(() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const known = new Map();
  const rgba = (color) => {
    if (!known.has(color)) known.set(color, measure(color));
    return known.get(color);
  };
  const measure = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const over = ([r, g, b, a], under) => [r, g, b].map((value, i) => (value * a + under[i] * (255 - a)) / 255);
  const behind = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) layers.unshift(rgba(getComputedStyle(at).backgroundColor));
    return layers.reduce((under, layer) => over(layer, under), [255, 255, 255]);
  };
  const light = (rgb) => {
    const [r, g, b] = rgb.map((value) => value / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  let lowest = 21;
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim() !== "");
    if (!own || element.closest("option, noscript") || !element.checkVisibility({ visibilityProperty: true })) continue;
    const ground = behind(element);
    const ink = over(rgba(getComputedStyle(element).color), ground);
    const [a, b] = [light(ink), light(ground)].sort((x, y) => y - x);
    lowest = Math.min(lowest, (a + 0.05) / (b + 0.05));
  }
  return lowest;
})()`;
