// SPDX-License-Identifier: Apache-2.0
// The page of a daemon with two gates, one of them inline, and with lists: which gate saw whom, where that one is
// refused, how the lists are, and what a chart says where the pointer is.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { overflow, violations } from "../harness/axe.ts";
import { Browser, chromium, type Page, type View } from "../harness/browser.ts";
import { BlockMap, RunningGate } from "../harness/gate.ts";
import { describeWith } from "../harness/needs.ts";
import { Network } from "../harness/netns.ts";
import { probeFrom } from "../harness/probe.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { waitFor } from "../harness/wait.ts";
import { startWebServer } from "../harness/web_server.ts";

setDefaultTimeout(120_000);

const views: readonly View[] = [
  { width: 360, height: 740, theme: "dark" },
  { width: 1280, height: 900, theme: "light" },
];
const friendly = new TextEncoder().encode("GET / HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n");
const hostile = new TextEncoder().encode("SSH-2.0-OpenSSH_9.2\r\n");

describeWith("namespaces", "executable", { program: chromium })("the page of two gates", () => {
  const stack = new AsyncDisposableStack();
  let browser: Browser;
  let gate: RunningGate;
  let directory: TempDir;
  let network: Network;
  let origin: string;

  beforeAll(async () => {
    network = stack.use(new Network());
    const map = stack.use(new BlockMap());
    directory = stack.use(new TempDir());
    stack.use(await startWebServer(network.gate, 8080));
    const list = directory.write("good.txt", "203.0.113.1\n203.0.113.2\n10.0.0.0/8\n");
    const config = directory.write(
      "ttgate.toml",
      `block-map = "${map.name}"
interface = "${network.device}"
profile = "http"
upstream = "127.0.0.1:8080"
blocklist = ["good=${list}", "missing=${directory.file("missing.txt")}"]
[[gate]]
name = "relayed"
listen = "8000"
ban-scope = "gate"
[[gate]]
name = "direct"
listen = "8080"
mode = "inline"
`,
    );
    gate = stack.use(await RunningGate.start(["-c", config], { namespace: network.gate }));
    for (const [number, port] of [
      [2, 8000],
      [3, 8080],
    ] as const) {
      const from = network.clientIpv4(number);
      await probeFrom(network.client, { host: network.gateIpv4, port, from, send: [hostile], waitMs: 500 });
    }
    await gate.command("ban", "198.51.100.9", "--for", "1h");
    await gate.until("bans of both, and of the list", ({ bans }) => bans.active === 5);
    // The gate's own network is not the browser's.
    const server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: ({ url }) => gate.fetch(new URL(url).pathname + new URL(url).search),
    });
    stack.use(server);
    origin = `http://127.0.0.1:${server.port}`;
    browser = stack.use(await Browser.start());
  });

  afterAll(() => stack.disposeAsync());

  const cells = (page: Page, id: string) =>
    page.value<string[]>(
      `[...document.getElementById(${JSON.stringify(id)}).children].map((cell) => cell.textContent)`,
    );

  test.each(views)("at $width px in the $theme says which gate saw a source, and has no fault", async (view) => {
    await using page = await browser.page(view);
    await page.open(origin);
    expect(await violations(page)).toEqual([]);
    expect(await overflow(page)).toBe(0);
    expect((await cells(page, `ban-${network.clientIpv4(2)}`)).at(-1)).toBe("relayed, refused there alone");
    expect((await cells(page, `ban-${network.clientIpv4(3)}`)).at(-1)).toBe("direct");
    expect((await cells(page, "ban-198.51.100.9")).at(-1)).toBe("none");
    expect(page.complaints).toEqual([]);
  });

  test("has a row for each list: entries, what is not banned of it, age and what went wrong", async () => {
    await using page = await browser.page(views[1] as View);
    await page.open(origin);
    const [name, source, entries, left, read, changed, state] = await cells(page, "list-good");
    expect([name, source, entries, left, state]).toEqual([
      "good",
      directory.file("good.txt"),
      "2",
      "1 refused",
      "✓ up to date",
    ]);
    expect(read).toMatch(/^\d+m?s ago$/);
    expect(changed).toMatch(/^\d+m?s ago$/);
    expect((await cells(page, "list-missing")).slice(2)).toEqual([
      "0",
      "",
      "not yet",
      "",
      expect.stringMatching(/^✗ .*no such file/i),
    ]);
    const doctor = await gate.command("doctor", "-c", directory.file("ttgate.toml"));
    expect(doctor.stdout).toMatch(
      /ok +list +good: 2 entries in \S+, 1 refused, line 3: .*; the gate read it \d+m?s ago/,
    );
    expect(doctor.stdout).toMatch(/warn +list +missing: \S+: .*no such file/i);
  });

  test("reads out a chart where the pointer is, also after the page has changed", async () => {
    await using page = await browser.page(views[1] as View);
    await page.open(origin);
    const readOut = () => page.value<string>(`document.querySelector("#chart-connections .read").textContent`);
    const pointAt = async (share: number) => {
      const [x, y] = await page.value<[number, number]>(`(() => {
        const svg = document.querySelector("#chart-connections svg");
        svg.scrollIntoView({ block: "center" });
        const { left, top, width, height } = svg.getBoundingClientRect();
        return [left + width * ${share}, top + height / 2];
      })()`);
      await page.send("Input.dispatchMouseEvent", { type: "mouseMoved", x, y });
    };
    expect(await readOut()).toBe("");
    await pointAt(0.01);
    expect(await readOut()).toMatch(/^From \d\d:\d\d UTC: accepted not known$/);
    const from = network.clientIpv4(4);
    await probeFrom(network.client, { host: network.gateIpv4, port: 8000, from, send: [friendly], waitMs: 500 });
    // In the minute that runs, or the one before if that has just begun.
    await waitFor("the connection", async () => {
      const seen: string[] = [];
      for (const share of [0.975, 0.99]) {
        await pointAt(share);
        seen.push(await readOut());
      }
      return /accepted 1\b/.test(seen.join());
    });
    const before = await readOut();
    const requests = page.requests.length;
    await page.value(`new Promise((resolve) => setTimeout(resolve, 3000))`);
    expect(page.requests.length).toBeGreaterThan(requests);
    expect(await readOut()).toBe(before);
    expect(await violations(page)).toEqual([]);
    await page.send("Input.dispatchMouseEvent", { type: "mouseMoved", x: 1, y: 1 });
    expect(await readOut()).toBe("");
    expect(page.complaints).toEqual([]);
  });
});
