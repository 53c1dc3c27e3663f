// SPDX-License-Identifier: Apache-2.0
// The page in a real browser: nothing that axe finds fault with, in both themes, on a telephone and on a desk; rows
// that change in place; and what can be done with the token.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { overflow, violations } from "../harness/axe.ts";
import { Browser, chromium, type View } from "../harness/browser.ts";
import { RunningGate } from "../harness/gate.ts";
import { describeWith } from "../harness/needs.ts";
import { freePort } from "../harness/ports.ts";
import { waitFor } from "../harness/wait.ts";

setDefaultTimeout(120_000);

const token = "a-token-of-the-test";
const views: readonly View[] = [
  { width: 360, height: 740, theme: "light" },
  { width: 360, height: 740, theme: "dark" },
  { width: 1280, height: 900, theme: "light" },
  { width: 1280, height: 900, theme: "dark" },
];
const desk: View = { width: 1280, height: 900, theme: "light" };
const longest = "2001:db8:ffff:ffff::/64";

describeWith("executable", { program: chromium })("the page", () => {
  const stack = new AsyncDisposableStack();
  let browser: Browser;
  let gate: RunningGate;
  let origin: string;

  async function changed(method: string, path: string, body?: string): Promise<void> {
    const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
    const reply = await fetch(`${origin}${path}`, { method, headers, ...(body === undefined ? {} : { body }) });
    if (!reply.ok) throw new Error(`${method} ${path}: ${await reply.text()}`);
  }

  function ban(address: string): Promise<void> {
    return changed("POST", "/bans", JSON.stringify({ address, for: "1h" }));
  }

  async function startGate(): Promise<RunningGate> {
    const [port, listen, upstream] = [await freePort(), await freePort(), await freePort()];
    origin = `http://127.0.0.1:${port}`;
    const args = ["-s", `127.0.0.1:${port}`, "-l", `127.0.0.1:${listen}`, "-u", `127.0.0.1:${upstream}`];
    return RunningGate.start(args, { env: { TTGATE_TOKEN: token } });
  }

  beforeAll(async () => {
    gate = stack.use(await startGate());
    browser = stack.use(await Browser.start());
    const list = Array.from({ length: 300 }, (_, number) => `2001:db8:${(number + 0x1000).toString(16)}:ffff::/64`);
    await changed("POST", "/bans/list?for=1h", `${list.join("\n")}\n${longest}\n`);
  });

  afterAll(() => stack.disposeAsync());

  test.each(views)("at $width px in the $theme is usable by everybody, and asks nobody else", async (view) => {
    await using page = await browser.page(view);
    for (const path of ["/", "/?sort=source&offset=50", "/?q=nothing", `/source/${encodeURIComponent(longest)}`]) {
      await page.open(`${origin}${path}`);
      expect([path, await violations(page)]).toEqual([path, []]);
      expect([path, await overflow(page)]).toEqual([path, 0]);
    }
    expect(page.complaints).toEqual([]);
    expect(page.requests.filter((url) => !url.startsWith(origin) && !url.startsWith("data:"))).toEqual([]);
  });

  test("changes in place: node, selection, focus and what is typed stay", async () => {
    await using page = await browser.page(desk);
    await page.open(origin);
    await page.value(`
      globalThis.row = document.getElementById("ban-${longest}");
      globalThis.state = document.getElementById("state").firstElementChild;
      globalThis.told = 0;
      new MutationObserver(() => globalThis.told++).observe(document.getElementById("state"), { subtree: true, childList: true, characterData: true });
      getSelection().selectAllChildren(row.querySelector("a"));
      document.querySelector("[name=q]").focus();`);
    for (const letter of "2001") await page.press(letter);
    await page.value(`getSelection().selectAllChildren(row.querySelector("a"))`);
    await ban("203.0.113.77");
    await waitFor("the new row", () => page.value<boolean>(`document.getElementById("ban-203.0.113.77") !== null`));
    expect(
      await page.value(`({
        row: row === document.getElementById("ban-${longest}") && row.isConnected,
        order: [...document.querySelectorAll("#bans tbody tr")].slice(0, 2).map(({ id }) => id),
        selection: getSelection().toString(),
        typed: document.querySelector("[name=q]").value,
        banned: document.querySelector("#bans-count").textContent,
        told: globalThis.told,
      })`),
    ).toEqual({
      row: true,
      order: ["ban-203.0.113.77", `ban-${longest}`],
      selection: longest,
      typed: "2001",
      banned: "302 sources are banned.",
      // A screen reader speaks of the state when it is another one.
      told: 0,
    });
    await changed("DELETE", "/bans/203.0.113.77");
    await waitFor("the row to go", () => page.value<boolean>(`document.getElementById("ban-203.0.113.77") === null`));
    expect(await page.value<boolean>("row.isConnected")).toBe(true);
    expect(page.complaints).toEqual([]);
  });

  test("stands still when it is told to", async () => {
    await using page = await browser.page(desk);
    await page.open(origin);
    const before = page.requests.length;
    await page.value(`document.getElementById("live").click()`);
    await Bun.sleep(5000);
    // One may have been under way.
    expect(page.requests.length - before).toBeLessThanOrEqual(1);
  });

  test("without a script shows the same, searches and turns pages", async () => {
    await using page = await browser.page(desk, { script: false });
    await page.open(`${origin}/?q=1005&sort=oldest`);
    const { root } = await page.send<{ root: { nodeId: number } }>("DOM.getDocument");
    const { nodeId } = await page.send<{ nodeId: number }>("DOM.querySelector", {
      nodeId: root.nodeId,
      selector: "main",
    });
    const { outerHTML } = await page.send<{ outerHTML: string }>("DOM.getOuterHTML", { nodeId });
    expect(outerHTML).toMatch(/1 of \d+ bans match “1005”\./);
    expect(outerHTML).toContain("2001:db8:1005:ffff::/64");
    expect(outerHTML).toContain('id="live-label" hidden=""');
    expect(outerHTML).toMatch(/<dt>Banned now<\/dt><dd>30\d<\/dd>/);
  });

  test("is walked through by the keyboard, the content first", async () => {
    await using page = await browser.page(desk);
    await page.open(origin);
    const visited: string[] = [];
    for (let presses = 0; presses < 60; presses++) {
      await page.press("Tab");
      const [name, outline] = await page.value<[string, string]>(`(() => {
        const at = document.activeElement;
        return [at.textContent.trim() || at.name || at.id, getComputedStyle(at).outlineStyle];
      })()`);
      if (name.length > 200) break;
      visited.push(name);
      expect([name, outline]).toEqual([name, "solid"]);
    }
    expect(visited[0]).toBe("Skip to the content");
    for (const wanted of ["live", "q", "Search", longest, "Next", "Metrics", "Events"])
      expect(visited).toContain(wanted);
  });

  test("lifts and extends with the token, and not without", async () => {
    await ban("198.51.100.9");
    await using page = await browser.page(desk);
    await page.open(`${origin}/source/198.51.100.9`);
    const press = (button: string, given: string) =>
      page.value(`
        document.querySelector("[name=token]").value = ${JSON.stringify(given)};
        document.querySelector("output").value = "";
        document.querySelector("button[value=${button}]").click();`);
    const told = () => page.value<string>(`document.querySelector("output").value`);
    await press("lift", "wrong");
    await waitFor("a refusal", async () => (await told()).startsWith("Not allowed: changing needs the gate's token"));
    await page.value(`document.querySelector("[name=for]").value = "3d"`);
    await press("ban", token);
    await waitFor("the new end", () =>
      page.value<boolean>(`document.querySelector(".known").textContent.includes("2d23h")`),
    );
    await press("lift", token);
    await waitFor("the end", () =>
      page.value<boolean>(`document.querySelector("#known-title").textContent === "Not banned"`),
    );
    expect((await fetch(`${origin}/bans/198.51.100.9`)).status).toBe(404);
  });

  test("says so when nobody answers any more, and comes back", async () => {
    const first = { gate, origin };
    await using other = await startGate();
    await using page = await browser.page(desk);
    await page.open(origin);
    ({ gate, origin } = first);
    const begins = (title: string) => () => page.value<boolean>(`document.title.startsWith(${JSON.stringify(title)})`);
    other.child.signal("SIGSTOP");
    await waitFor("the news", begins("■ No answer"), 20_000);
    expect(await page.value<string>(`document.getElementById("state").textContent`)).toStartWith("No answer");
    expect(await violations(page)).toEqual([]);
    other.child.signal("SIGCONT");
    await waitFor("the end of it", begins("■ Not ready"), 20_000);
    await other[Symbol.asyncDispose]();
    await waitFor("the news again", begins("■ No answer"), 20_000);
  });
});
