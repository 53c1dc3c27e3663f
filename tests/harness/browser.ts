// SPDX-License-Identifier: Apache-2.0
// A headless Chromium of a test's own, driven over the DevTools protocol: real pages, real layout, no network but
// the one that the test runs in.
import { existsSync, readFileSync } from "node:fs";
import { Child } from "./child.ts";
import { TempDir } from "./temp_dir.ts";
import { sleep, waitFor } from "./wait.ts";

/** Debian's and Ubuntu's name of it. */
export const chromium = "chromium";

const waitMs = 20_000;

interface Reply {
  readonly id?: number;
  readonly method?: string;
  readonly sessionId?: string;
  readonly params?: unknown;
  readonly result?: unknown;
  readonly error?: { readonly message: string };
}

interface Pending {
  resolve(result: unknown): void;
  reject(error: Error): void;
}

export interface View {
  readonly width: number;
  readonly height: number;
  readonly theme: "light" | "dark";
}

export class Browser implements AsyncDisposable {
  readonly #child: Child;
  readonly #profile: TempDir;
  readonly #pending = new Map<number, Pending>();
  readonly #listeners = new Set<(reply: Reply) => void>();
  #socket: WebSocket | undefined;
  #lastId = 0;

  private constructor(child: Child, profile: TempDir) {
    this.#child = child;
    this.#profile = profile;
  }

  static async start(): Promise<Browser> {
    const profile = new TempDir();
    const argv = [
      chromium,
      "--headless=new",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-dev-shm-usage",
      "--disable-background-networking",
      "--hide-scrollbars",
      "--no-first-run",
      "--remote-debugging-port=0",
      `--user-data-dir=${profile.path}`,
      "about:blank",
    ];
    const child = new Child(argv, { cwd: profile.path });
    const browser = new Browser(child, profile);
    try {
      await browser.#connect();
      return browser;
    } catch (error) {
      await browser[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #connect(): Promise<void> {
    const file = this.#profile.file("DevToolsActivePort");
    const [port, path] = await waitFor(
      "Chromium's port",
      () => existsSync(file) && readFileSync(file, "utf8").includes("/") && readFileSync(file, "utf8").split("\n"),
      waitMs,
    );
    const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`);
    socket.addEventListener("message", ({ data }) => this.#heard(JSON.parse(String(data))));
    await new Promise((resolve, reject) => {
      socket.addEventListener("open", resolve);
      socket.addEventListener("error", () => reject(new Error("Cannot connect to Chromium")));
    });
    this.#socket = socket;
  }

  #heard(reply: Reply): void {
    const pending = this.#pending.get(reply.id ?? 0);
    this.#pending.delete(reply.id ?? 0);
    if (reply.error === undefined) pending?.resolve(reply.result);
    else pending?.reject(new Error(reply.error.message));
    for (const listener of this.#listeners) listener(reply);
  }

  send<T>(method: string, params: object = {}, sessionId?: string): Promise<T> {
    const id = ++this.#lastId;
    this.#socket?.send(JSON.stringify({ id, method, params, ...(sessionId === undefined ? {} : { sessionId }) }));
    return new Promise<unknown>((resolve, reject) => this.#pending.set(id, { resolve, reject })) as Promise<T>;
  }

  /** Calls for each event, until it is taken back. */
  listen(listener: (reply: Reply) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async page(view: View, options: { readonly script?: boolean } = {}): Promise<Page> {
    const { targetId } = await this.send<{ targetId: string }>("Target.createTarget", { url: "about:blank" });
    const { sessionId } = await this.send<{ sessionId: string }>("Target.attachToTarget", { targetId, flatten: true });
    const page = new Page(this, sessionId, targetId);
    await page.begin(view, options.script ?? true);
    return page;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      // Its processes end in order, and leave the profile alone.
      if (this.#socket?.readyState === WebSocket.OPEN) await this.send("Browser.close");
      await Promise.race([this.#child.exited, sleep(2000)]);
      await this.#child[Symbol.asyncDispose]();
    } finally {
      this.#profile[Symbol.dispose]();
    }
  }
}

export class Page implements AsyncDisposable {
  /** What the browser complained of: refused by the policy, thrown, not found. */
  readonly complaints: string[] = [];
  /** Every address that was asked for. */
  readonly requests: string[] = [];
  readonly #browser: Browser;
  readonly #session: string;
  readonly #target: string;
  #loaded: (() => void) | undefined;
  readonly #takeBack: () => void;

  constructor(browser: Browser, session: string, target: string) {
    this.#browser = browser;
    this.#session = session;
    this.#target = target;
    this.#takeBack = browser.listen((reply) => this.#heard(reply));
  }

  async begin({ width, height, theme }: View, script: boolean): Promise<void> {
    for (const domain of ["Page", "Runtime", "Log", "Network"]) await this.send(`${domain}.enable`);
    await this.send("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: 1, mobile: width < 600 });
    await this.send("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value: theme }] });
    if (!script) await this.send("Emulation.setScriptExecutionDisabled", { value: true });
  }

  send<T>(method: string, params: object = {}): Promise<T> {
    return this.#browser.send<T>(method, params, this.#session);
  }

  #heard({ method, sessionId, params }: Reply): void {
    if (sessionId !== this.#session) return;
    const told = params as {
      readonly entry?: { readonly text: string };
      readonly exceptionDetails?: { readonly text: string; readonly exception?: { readonly description?: string } };
      readonly request?: { readonly url: string };
    };
    if (method === "Page.loadEventFired") this.#loaded?.();
    else if (method === "Log.entryAdded") this.complaints.push(told.entry?.text ?? "");
    else if (method === "Network.requestWillBeSent") this.requests.push(told.request?.url ?? "");
    else if (method === "Runtime.exceptionThrown") {
      const { text = "", exception } = told.exceptionDetails ?? {};
      this.complaints.push(`${text} ${exception?.description ?? ""}`);
    }
  }

  /** Goes there and waits until it is loaded. */
  async open(url: string): Promise<void> {
    const loaded = new Promise<void>((resolve) => (this.#loaded = resolve));
    const { errorText } = await this.send<{ errorText?: string }>("Page.navigate", { url });
    if (errorText !== undefined) throw new Error(`Cannot open "${url}": ${errorText}`);
    await loaded;
  }

  /** The value of an expression in the page, awaited. */
  async value<T>(expression: string): Promise<T> {
    const { result, exceptionDetails } = await this.send<{
      result: { value: T };
      exceptionDetails?: { exception?: { description?: string } };
    }>("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true });
    if (exceptionDetails !== undefined) throw new Error(`In the page: ${exceptionDetails.exception?.description}`);
    return result.value;
  }

  /** Types text, or one key by its name. */
  async press(key: string): Promise<void> {
    if (key.length === 1) await this.send("Input.insertText", { text: key });
    else {
      const code = { Tab: 9, Enter: 13, Escape: 27 }[key] ?? 0;
      const event = { key, code: key, windowsVirtualKeyCode: code, ...(key === "Enter" ? { text: "\r" } : {}) };
      await this.send("Input.dispatchKeyEvent", { type: "keyDown", ...event });
      await this.send("Input.dispatchKeyEvent", { type: "keyUp", ...event });
    }
  }

  /** PNG of the view, or of all of the page. */
  async picture(whole = false): Promise<Uint8Array> {
    const { data } = await this.send<{ data: string }>("Page.captureScreenshot", {
      format: "png",
      captureBeyondViewport: whole,
    });
    return Uint8Array.fromBase64(data);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#takeBack();
    await this.#browser.send("Target.closeTarget", { targetId: this.#target });
  }
}
