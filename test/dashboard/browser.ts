// A headless Chromium for tests of the page, driven over its debugging protocol.

import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Where it is installed, or null: tests then skip themselves. */
export const CHROMIUM = Bun.which("chromium") ?? Bun.which("chromium-browser");

const START_MS = 20_000;
const STEP_MS = 10_000;
const POLL_MS = 50;

const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--hide-scrollbars",
  "--remote-debugging-port=0",
];

export interface Look {
  width?: number;
  height?: number;
  dark?: boolean;
}

export interface Browser {
  open(url: string, look?: Look): Promise<void>;
  /** Value of an expression in the page. */
  evaluate(expression: string): Promise<unknown>;
  /** Waits until an expression is true in the page. */
  until(expression: string): Promise<void>;
  press(key: string): Promise<void>;
  screenshot(path: string): Promise<void>;
  close(): Promise<void>;
}

interface Reply {
  id?: number;
  result?: Record<string, unknown>;
  error?: { message: string };
}

export async function launchBrowser(executable: string): Promise<Browser> {
  const profile = mkdtempSync(join(tmpdir(), "observer-chromium-"));
  const child = Bun.spawn([executable, ...FLAGS, `--user-data-dir=${profile}`, "about:blank"], {
    // What it keeps beside the profile (sockets, crash reports, dconf) goes with the profile, too.
    env: { PATH: process.env["PATH"], HOME: profile, TMPDIR: profile },
    stdout: "ignore",
    stderr: "ignore",
  });
  const portFile = join(profile, "DevToolsActivePort");
  await waitFor(
    () => existsSync(portFile) && readFileSync(portFile, "utf8").includes("\n"),
    START_MS,
  );
  const port = readFileSync(portFile, "utf8").split("\n")[0];
  const targets = (await (await fetch(`http://127.0.0.1:${port}/json`)).json()) as {
    type: string;
    webSocketDebuggerUrl: string;
  }[];
  const page = targets.find(({ type }) => type === "page");
  if (!page) throw new Error("Chromium has no page");
  const send = await connect(page.webSocketDebuggerUrl);

  const evaluate = async (expression: string): Promise<unknown> => {
    const reply = await send("Runtime.evaluate", {
      expression,
      returnByValue: true,
      awaitPromise: true,
    });
    const failure = reply["exceptionDetails"] as
      | { exception?: { description?: string } }
      | undefined;
    if (failure) throw new Error(failure.exception?.description ?? "The page threw");
    return (reply["result"] as { value?: unknown }).value;
  };
  return {
    evaluate,
    async open(url, { width = 1280, height = 800, dark = false } = {}) {
      const mobile = width < 600;
      await send("Emulation.setDeviceMetricsOverride", {
        width,
        height,
        deviceScaleFactor: 1,
        mobile,
      });
      const scheme = { name: "prefers-color-scheme", value: dark ? "dark" : "light" };
      await send("Emulation.setEmulatedMedia", { features: [scheme] });
      // A fragment alone would not load the page anew.
      await send("Page.navigate", { url: "about:blank" });
      await send("Page.navigate", { url });
      await waitFor(async () => (await evaluate("document.readyState")) === "complete", STEP_MS);
    },
    until: (expression) =>
      waitFor(async () => (await evaluate(expression)) === true, STEP_MS, expression),
    async press(key) {
      const text = key.length === 1 ? { text: key } : {};
      await send("Input.dispatchKeyEvent", { type: "keyDown", key, ...text });
      await send("Input.dispatchKeyEvent", { type: "keyUp", key });
    },
    async screenshot(path) {
      const { data } = await send("Page.captureScreenshot", { format: "png" });
      await Bun.write(path, Buffer.from(String(data), "base64"));
    },
    async close() {
      child.kill("SIGKILL");
      await child.exited;
      // Its children end a moment later and still write.
      rmSync(profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
    },
  };
}

type Send = (method: string, params: object) => Promise<Record<string, unknown>>;

async function connect(url: string): Promise<Send> {
  const socket = new WebSocket(url);
  const waiting = new Map<number, (reply: Reply) => void>();
  let last = 0;
  socket.addEventListener("message", ({ data }) => {
    const reply = JSON.parse(String(data)) as Reply;
    if (reply.id !== undefined) waiting.get(reply.id)?.(reply);
  });
  await new Promise((done) => socket.addEventListener("open", done));
  return (method, params) =>
    new Promise((done, fail) => {
      last += 1;
      waiting.set(last, ({ result, error }) => {
        if (error) fail(new Error(`${method}: ${error.message}`));
        else done(result ?? {});
      });
      socket.send(JSON.stringify({ id: last, method, params }));
    });
}

async function waitFor(
  done: () => boolean | Promise<boolean>,
  withinMs: number,
  what = "Chromium",
): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (!(await done())) {
    if (performance.now() > deadline) throw new Error(`Waited in vain for ${what}`);
    await Bun.sleep(POLL_MS);
  }
}
