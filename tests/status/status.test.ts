// SPDX-License-Identifier: Apache-2.0
// The status endpoint over the real parts of a gate, without a kernel: who may ask, what is answered,
// and that nothing that is sent to it loses a ban.
import { beforeEach, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { requirePrefix } from "../../src/core/address.ts";
import type { Ban } from "../../src/core/bans/claim.ts";
import { Client } from "../../src/core/client.ts";
import type { HttpHandler } from "../../src/runtime/types.ts";
import type { AuditEntry } from "../../src/status/audit.ts";
import { type StatusAccess, statusHandler } from "../../src/status/routes.ts";
import type { BanDetails, BanView, Snapshot } from "../../src/status/snapshot.ts";
import { configWith } from "../harness/config.ts";
import { freePort } from "../harness/ports.ts";
import { serveTapeTrack } from "../harness/tapetrack.ts";
import { askAt, partsOf } from "./parts.ts";
import { parsePrometheus } from "./prometheus.ts";

const onUnixSocket: StatusAccess = { token: undefined, closed: false };

let parts: ReturnType<typeof partsOf>;
let handler: HttpHandler;

function open(access: StatusAccess = onUnixSocket, config: object = {}): void {
  parts = partsOf(configWith(config));
  handler = statusHandler(parts.status, access);
}

beforeEach(() => open());

async function ask(path: string, init: RequestInit = {}) {
  const reply = await askAt(handler, path, init);
  const text = await reply.text();
  const json = text !== "" && reply.headers.get("content-type")?.startsWith("application/json") === true;
  return { status: reply.status, text, body: json ? JSON.parse(text) : undefined };
}

function post(path: string, body: unknown, headers: Record<string, string> = {}) {
  return ask(path, { method: "POST", body: typeof body === "string" ? body : JSON.stringify(body), headers });
}

function remove(address: string, query = "") {
  return ask(`/bans/${encodeURIComponent(address)}${query}`, { method: "DELETE" });
}

/** A stranger that the sniffer met. */
function sniffed(address: string, said: string): void {
  const firstBytes = new TextEncoder().encode(said);
  const client = new Client(address, 4711, 64);
  const evidence = { firstBytes, clientAddress: address, clientPort: 4711, gatePort: 5000 };
  parts.desk.ban(client, { origin: "sniffer", reason: "http", evidence });
}

function sources(): string[] {
  return [...parts.enforcement.bans.all()].map(({ prefix }) => prefix.text);
}

describe("reading", () => {
  test("/healthz is alive", async () => {
    expect(await ask("/healthz")).toMatchObject({ status: 200, body: { alive: true } });
  });

  test("/readyz is red, with each reason, until everything stands", async () => {
    const port = await freePort();
    open(onUnixSocket, { upstream: [`127.0.0.1:${port}`] });
    parts.readiness.phase = "starting";
    const red = await ask("/readyz");
    expect(red.status).toBe(503);
    expect(red.body.ready).toBe(false);
    expect(red.body.reasons).toEqual([
      "Not listening yet",
      `No upstream is reachable: 127.0.0.1:${port} (ECONNREFUSED)`,
    ]);
    parts.readiness.phase = "serving";
    await using _server = await serveTapeTrack({ port });
    expect((await ask("/readyz")).status).toBe(503);
    parts.clock.nowMs += 5000;
    expect(await ask("/readyz")).toMatchObject({ status: 200, body: { ready: true, reasons: [] } });
    parts.readiness.phase = "stopping";
    expect(await ask("/readyz")).toMatchObject({ status: 503, body: { ready: false, reasons: ["Stopping"] } });
    expect((await ask("/healthz")).status).toBe(200);
  });

  test("/readyz tells of a kernel that does not do what was promised", async () => {
    await using server = await serveTapeTrack({});
    open(onUnixSocket, { upstream: [`127.0.0.1:${server.port}`] });
    const fence = {
      fence: "xdp",
      capabilities: { counts: true, ranges: true, asks: true },
      places: [],
      weakest: undefined,
      ports: [5000],
      map: "/sys/fs/bpf/m",
      droppedPackets: 0,
      droppedBytes: 0,
      entries: 0,
      capacity: 1,
      maps: [{ name: "/sys/fs/bpf/m", entries: 0, capacity: 1 }],
      managedBy: undefined,
      proof: { passed: true, failure: undefined, atMs: 0 },
      evicts: false,
      faults: [],
    } as const;
    parts.status.fence = fence;
    expect((await ask("/readyz")).status).toBe(200);
    parts.status.fence = { ...fence, faults: ["A banned VLAN frame passed", "No interface is up"] };
    expect((await ask("/readyz")).body.reasons).toEqual(["A banned VLAN frame passed", "No interface is up"]);
  });

  test("/status has every field of the contract", async () => {
    sniffed("192.0.2.1", "GET / HTTP/1.1\r\n\r\n");
    parts.clock.nowMs += 2500;
    const snapshot: Snapshot = (await ask("/status")).body;
    expect(snapshot).toMatchObject({
      version: "1.2.3",
      mode: "proxy",
      uptimeSeconds: 2.5,
      listen: "[::]:5000",
      profile: "tapetrack",
      upstreams: [{ address: "127.0.0.1:5001", reachable: null, error: null, active: 0 }],
      connections: { accepted: 0, relayed: 0, refusedBanned: 0, foreign: 0, undecided: 0, active: 0, limit: 77 },
      bans: { active: 1, total: 1, byProtocol: { http: 1 }, capacity: 1000, userSpaceOnly: 0 },
      kernel: {
        attach: "none",
        reason: expect.stringContaining("--block-map"),
        interfaces: [],
        map: null,
        droppedPackets: 0,
        droppedBytes: 0,
        entries: 0,
        capacity: 0,
      },
      neverBan: [{ prefix: "198.51.100.0/24", why: "--allow" }],
      gates: [
        {
          ...{ name: "default", mode: "proxy", listen: "[::]:5000", profile: "tapetrack", timeoutSeconds: 600 },
          ...{ banScope: "all", upstreams: [{ address: "127.0.0.1:5001" }], connections: { limit: 77 } },
          ...{ judged: null, trial: null, recording: null },
        },
      ],
    });
    expect(JSON.stringify(snapshot)).not.toContain("undefined");
  });

  test("/status is a snapshot: to read it changes nothing", async () => {
    const before = (await ask("/status")).text;
    for (const path of ["/healthz", "/bans", "/bans/192.0.2.1", "/metrics", "/why/192.0.2.1", "/nothing"])
      await ask(path);
    // What is seen of upstreams changes by itself.
    const without = ({ upstreams: _all, gates, ...others }: Snapshot) => ({
      ...others,
      gates: gates.map(({ upstreams: _ofGate, ...gate }) => gate),
    });
    expect(without((await ask("/status")).body as Snapshot)).toEqual(without(JSON.parse(before) as Snapshot));
  });

  test.each(["/healthz", "/readyz", "/status", "/metrics"])(
    "%s says the same, by whichever way it is found",
    async (path) => {
      const heard = async (target: string, init: RequestInit = {}) => {
        const reply = await askAt(handler, target, init);
        return { status: reply.status, headers: [...reply.headers], text: await reply.text() };
      };
      const found = await heard(path);
      expect(await heard(`${path}?any=1`)).toEqual(found);
      expect(await heard(path, { method: "HEAD" })).toEqual({ ...found, text: "" });
    },
  );

  test("however often it was asked before, an answer tells what has happened until now", async () => {
    for (let number = 1; number <= 5; number++) {
      const others = Array.from({ length: 50 }, () => ask("/status"));
      parts.ban(`192.0.2.${number}`);
      expect((await ask("/status")).body.bans.active).toBe(number);
      expect((await ask("/metrics")).text).toContain(`ttgate_bans_active ${number}\n`);
      parts.readiness.phase = number % 2 === 0 ? "serving" : "stopping";
      expect((await ask("/readyz")).body.reasons.includes("Stopping")).toBe(number % 2 === 1);
      await Promise.all(others);
    }
  });

  test("an answer that fails is told as one that failed", async () => {
    parts.status.snapshot = () => {
      throw new Error("broken");
    };
    for (const path of ["/status", "/status?any=1"]) {
      expect(await ask(path)).toMatchObject({ status: 500, body: { error: "broken" } });
    }
  });

  test("/metrics is Prometheus' text format, whatever the names are", async () => {
    open(onUnixSocket, { profile: '/etc/a "b"\\\nc.toml', upstream: ["127.0.0.1:1", "[::1]:1", "127.0.0.1:1"] });
    sniffed("192.0.2.1", "GET /");
    parts.counters.bansByProtocol.set('odd "name"\\\n', 3);
    parts.latency.observe(0.0002);
    parts.latency.observe(9);
    const reply = await askAt(handler, "/metrics");
    expect(reply.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
    const families = parsePrometheus(await reply.text());
    expect(families.every(({ name }) => name.startsWith("ttgate_"))).toBe(true);
    const samples = (name: string) => families.find((family) => family.name === name)?.samples ?? [];
    expect(samples("ttgate_info")[0]?.labels).toEqual({
      version: "1.2.3",
      gate: "default",
      mode: "proxy",
      profile: '/etc/a "b"\\\nc.toml',
    });
    expect(samples("ttgate_bans_total").map(({ labels, value }) => [labels["protocol"], value])).toEqual([
      ["http", 1],
      ['odd "name"\\\n', 3],
    ]);
    expect(samples("ttgate_upstream_reachable").map(({ labels }) => labels["upstream"])).toEqual([
      "127.0.0.1:1",
      "[::1]:1",
    ]);
    expect(samples("ttgate_ready")[0]?.value).toBe(0);
    const latency = samples("ttgate_ban_latency_seconds");
    const bucket = latency.find(({ labels }) => labels["le"] === "0.00025");
    expect(bucket?.value).toBe(1);
    expect(latency.find(({ name }) => name.endsWith("_count"))?.value).toBe(2);
    expect(families.map(({ name }) => name)).toContain("ttgate_kernel_dropped_packets_total");
  });

  test("any name at all comes back from /metrics as it was", async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: "binary", minLength: 1, maxLength: 30 }), async (name) => {
        open();
        parts.counters.bansByProtocol.set(name, 1);
        const families = parsePrometheus((await ask("/metrics")).text);
        const family = families.find((one) => one.name === "ttgate_bans_total");
        // A lone surrogate has no place in UTF-8.
        expect(family?.samples[0]?.labels["protocol"]).toBe(name.toWellFormed());
      }),
      { numRuns: 50 },
    );
  });

  test("what there is not is told, also by its method", async () => {
    expect(await ask("/nothing")).toMatchObject({ status: 404, body: { error: 'Not found: "/nothing"' } });
    for (const [path, method] of [
      ["/status", "POST"],
      ["/bans", "PUT"],
      ["/bans/", "DELETE"],
    ] as const) {
      expect([path, method, (await ask(path, { method })).status]).toEqual([path, method, 404]);
    }
    expect((await ask("/status", { method: "HEAD" })).status).toBe(200);
  });
});

describe("/bans", () => {
  beforeEach(() => {
    for (let number = 0; number < 5; number++) parts.ban(`192.0.2.${number}`, 60_000);
  });

  test("lists what there is, with the total", async () => {
    const { body } = await ask("/bans");
    expect(body.total).toBe(5);
    const [first]: BanView[] = body.bans;
    expect(first).toMatchObject({ source: "192.0.2.4", protocol: "manual", by: "operator", remainingSeconds: 60 });
    expect(first).toMatchObject({ packets: null, bytes: null });
    const lengthMs = Date.parse(first?.until ?? "") - Date.parse(first?.since ?? "");
    expect(Math.abs(lengthMs - 60_000)).toBeLessThan(50);
    expect(Math.abs(Date.parse(first?.since ?? "") - Date.now())).toBeLessThan(5000);
  });

  test("shows the newest first, and of too many the newest", async () => {
    const shown = async (query: string) =>
      ((await ask(`/bans${query}`)).body.bans as BanView[]).map(({ source }) => source);
    expect(await shown("?limit=2")).toEqual(["192.0.2.4", "192.0.2.3"]);
    await remove("192.0.2.1");
    parts.ban("192.0.2.1", 60_000);
    parts.ban("192.0.2.0", 3_600_000);
    const places = [1, 4, 3, 2, 0];
    expect(await shown("")).toEqual(places.map((place) => `192.0.2.${place}`));
  });

  test.each([
    ["0", 0],
    ["2", 2],
    ["005", 5],
    ["10000", 5],
  ])("shows at most ?limit=%s", async (limit, count) => {
    const { status, body } = await ask(`/bans?limit=${limit}`);
    expect([status, body.total, body.bans.length]).toEqual([200, 5, count]);
  });

  test.each(["", "-1", "1.5", "1e3", "0x10", "x", " 5", "Infinity", "10001", "999999999999", "5 "])(
    "refuses ?limit=%j",
    async (limit) => {
      const { status, body } = await ask(`/bans?limit=${encodeURIComponent(limit)}`);
      expect([status, body]).toEqual([
        400,
        { error: `Invalid limit "${limit}": expected a whole number, at most 10000` },
      ]);
    },
  );

  test("a ban without an end has none in its row", async () => {
    parts.ban("203.0.113.9", Number.POSITIVE_INFINITY);
    const { body } = await ask("/bans/203.0.113.9");
    expect(body).toMatchObject({ until: null, remainingSeconds: null });
  });
});

describe("/bans, chosen", () => {
  async function sources(query: string): Promise<string[]> {
    const { status, body } = await ask(`/bans?${query}`);
    expect([query, status]).toEqual([query, 200]);
    expect([query, body.total]).toEqual([query, expect.any(Number)]);
    return body.bans.map(({ source }: BanView) => source);
  }

  beforeEach(async () => {
    parts.ban("192.0.2.9", 3_600_000);
    parts.ban("10.0.0.0/24", Number.POSITIVE_INFINITY);
    parts.ban("192.0.2.128/25", 60_000);
    sniffed("192.0.2.77", "GET / HTTP/1.0");
    parts.ban("2001:db8::1", 7_200_000);
    await post("/bans/list?name=drop", "192.0.2.7");
  });

  const all = ["192.0.2.7", "2001:db8::/64", "192.0.2.77", "192.0.2.128/25", "10.0.0.0/24", "192.0.2.9"];

  test.each<[query: string, wanted: readonly string[]]>([
    ["", all],
    ["sort=newest", all],
    ["sort=newest&limit=2", all.slice(0, 2)],
    ["sort=oldest", all.toReversed()],
    ["sort=source", ["10.0.0.0/24", "192.0.2.7", "192.0.2.9", "192.0.2.77", "192.0.2.128/25", "2001:db8::/64"]],
    ["sort=left&limit=1", ["192.0.2.128/25"]],
    ["in=192.0.2.0/24", ["192.0.2.7", "192.0.2.77", "192.0.2.128/25", "192.0.2.9"]],
    ["in=192.0.2.0/25&sort=source", ["192.0.2.7", "192.0.2.9", "192.0.2.77"]],
    ["in=::/0", ["2001:db8::/64"]],
    ["in=203.0.113.0/24", []],
    ["by=list", ["192.0.2.7"]],
    ["by=list:drop", ["192.0.2.7"]],
    ["by=lis", []],
    ["by=sniffer", ["192.0.2.77"]],
    ["protocol=http", ["192.0.2.77"]],
    ["by=operator&protocol=manual&in=192.0.2.0/24&sort=oldest", ["192.0.2.9", "192.0.2.128/25"]],
  ])("%s", async (query, wanted) => {
    expect(await sources(query)).toEqual([...wanted]);
  });

  test.each(["sort=age", "in=x", "in=192.0.2.0/33", "limit=x&sort=left"])("refuses %s", async (query) => {
    const { status, body } = await ask(`/bans?${query}`);
    expect([status, body.error]).toEqual([400, expect.stringMatching(/^Invalid (sort|in|limit) "/)]);
  });

  test("says how many there are, also when not all are shown", async () => {
    expect((await ask("/bans?in=192.0.2.0/24&limit=1")).body).toMatchObject({
      total: 4,
      bans: [{ source: "192.0.2.7" }],
    });
  });

  test("of many it finds the first by any order, and lets others have their turn", async () => {
    open();
    const list = Array.from({ length: 900 }, (_, number) => `10.9.${number >> 8}.${number & 255} ${900 - number}s`);
    await post("/bans/list", list.join("\n"));
    const { body } = await ask("/bans?sort=left&limit=10");
    expect(body.bans.map(({ source }: BanView) => source)).toEqual(
      Array.from({ length: 10 }, (_, number) => `10.9.3.${131 - number}`),
    );
  });

  test("/why of a range has what covers it and what is inside", async () => {
    const { body } = await ask("/why/192.0.2.0%2F24");
    expect(body).toMatchObject({ address: "192.0.2.0/24", ban: null, within: { total: 4 } });
    expect(body.within.bans.map(({ source }: BanView) => source)).toEqual([
      ...all.filter((text) => text.startsWith("192.")),
    ]);
    expect((await ask("/why/192.0.2.128%2F25")).body).toMatchObject({
      ...{ ban: { source: "192.0.2.128/25" }, within: { total: 0, bans: [] } },
    });
    expect((await ask("/why/192.0.2.200%2F30")).body).toMatchObject({
      ban: { source: "192.0.2.128/25" },
      within: { total: 0 },
    });
    expect((await ask("/why/192.0.2.9")).body).toMatchObject({ ban: { source: "192.0.2.9" }, within: null });
  });
});

describe("/bans/ADDR", () => {
  test("tells the evidence, in hex and escaped", async () => {
    sniffed("192.0.2.1", 'GET /\u001b"\r\n');
    const { status, body } = await ask("/bans/192.0.2.1");
    expect(status).toBe(200);
    expect(body as BanDetails).toMatchObject({
      source: "192.0.2.1",
      by: "sniffer",
      protocol: "http",
      lastSeen: null,
      evidence: {
        client: "192.0.2.1",
        port: 5000,
        firstBytesHex: "474554202f1b220d0a",
        firstBytesText: 'GET /\\x1b\\"\\r\\n',
      },
    });
  });

  test.each([
    ["192.0.2.77", "192.0.2.0/24"],
    ["192.0.2.0%2F24", "192.0.2.0/24"],
    ["192.0.2.0/24", "192.0.2.0/24"],
    ["192.0.2.128%2F25", "192.0.2.0/24"],
    ["::ffff:192.0.2.9", "192.0.2.0/24"],
    ["2001:db8::5", "2001:db8::/64"],
    ["2001%3Adb8%3A%3A5", "2001:db8::/64"],
    ["2001:db8::%2F64", "2001:db8::/64"],
    ["2001:DB8:0::/64", "2001:db8::/64"],
    ["2001:db8:0:1::7", "2001:db8:0:1::7"],
  ])("%s is covered by the ban of %s", async (path, source) => {
    for (const text of ["192.0.2.0/24", "2001:db8::/64", "2001:db8:0:1::7/128"]) parts.ban(text);
    expect(await ask(`/bans/${path}`)).toMatchObject({ status: 200, body: { source } });
  });

  test.each(["192.0.2.1", "192.0.2.0%2F24", "2001:db8::1", "2001:db8:0:1::8"])("%s is not banned", async (path) => {
    parts.ban("2001:db8:0:1::7/128");
    expect(await ask(`/bans/${path}`)).toMatchObject({
      status: 404,
      body: { error: expect.stringMatching(/^Not banned/) },
    });
  });

  test.each(["x", "1.2.3", "192.0.2.0%2F33", "%zz", "%00", "..%2F..%2Fetc", "2001:db8::1%25eth0"])(
    "%s is no address",
    async (path) => {
      const { status, body } = await ask(`/bans/${path}`);
      expect([status, body.error]).toEqual([400, expect.stringMatching(/^Invalid address "/)]);
    },
  );
});

describe("/why/ADDR", () => {
  test("joins what is known of an address", async () => {
    sniffed("2001:db8::1", "GET /");
    expect(await ask("/why/2001:db8::2")).toMatchObject({
      status: 200,
      body: { address: "2001:db8::2", source: "2001:db8::/64", ban: { protocol: "http" }, neverBanned: null },
    });
    expect((await ask("/why/198.51.100.9")).body).toMatchObject({ ban: null, neverBanned: { why: "--allow" } });
    expect((await ask("/why/nobody")).status).toBe(400);
  });

  test("has what happened lately to a source that is not banned any more, and how often it stayed undecided", async () => {
    sniffed("192.0.2.7", "GET /");
    sniffed("192.0.2.8", "GET /");
    parts.clock.nowMs += 1000;
    await remove("192.0.2.7");
    const { body } = await ask("/why/192.0.2.7");
    expect(body).toMatchObject({
      ...{ ban: null, undecided: 0 },
      lately: [
        { type: "lift", source: "192.0.2.7", protocol: "http", by: "operator" },
        { type: "ban", source: "192.0.2.7", protocol: "http", firstBytes: "474554202f", by: "sniffer" },
      ],
    });
    const { body: range } = await ask("/why/192.0.2.0%2F24");
    expect(range).toMatchObject({ lately: [{ type: "lift" }, { source: "192.0.2.8" }, { source: "192.0.2.7" }] });
    expect((await ask("/why/192.0.2.9")).body).toMatchObject({ lately: [] });
  });

  test("has the client that may be a load balancer, and not its network", async () => {
    const evidence = { firstBytes: new Uint8Array([80]), clientAddress: "2001:db8::7", clientPort: 1, gatePort: 5000 };
    const request = { prefix: requirePrefix("2001:db8::/64"), untilMs: parts.clock.nowMs + 60_000, evidence };
    for (const [reason, gate, balancer] of [
      ["proxy", "inline", null],
      ["http", "web", null],
      ["proxy", "web", "2001:db8::7"],
    ] as const) {
      parts.enforcement.ban({ ...request, reason, gate, origin: "sniffer" }, parts.clock.nowMs);
      expect((await ask("/why/2001:db8::9")).body).toMatchObject({ ban: { protocol: reason }, balancer });
      await remove("2001:db8::/64");
    }
  });
});

describe("changing", () => {
  test("a ban is made, told, and ended", async () => {
    const made = await post("/bans", { address: "192.0.2.1", for: "1h" });
    expect(made).toMatchObject({ status: 201, body: { source: "192.0.2.1", by: "operator", remainingSeconds: 3600 } });
    expect((await ask("/bans/192.0.2.1")).status).toBe(200);
    expect(await remove("192.0.2.1")).toMatchObject({ status: 200, body: { lifted: ["192.0.2.1"] } });
    expect(await remove("192.0.2.1")).toMatchObject({ status: 404, body: { error: 'Not banned: "192.0.2.1"' } });
  });

  test("another tool makes and ends its own claim, and no other", async () => {
    const own = "?by=fail2ban";
    for (const address of ["192.0.2.1", "2001:db8::1"]) {
      expect((await post("/bans", { address, for: "2h", by: "fail2ban" })).body.by).toBe("fail2ban");
    }
    await post("/bans", { address: "192.0.2.1", for: "1h" });
    await post("/bans", { address: "192.0.2.2", for: "1h" });
    expect((await remove("192.0.2.1", own)).body).toEqual({ lifted: [], staying: ["192.0.2.1"] });
    expect((await ask("/bans/192.0.2.1")).body).toMatchObject({ by: "operator", claims: [{ origin: "operator" }] });
    for (const address of ["192.0.2.1", "192.0.2.2", "192.0.2.3"]) {
      const absent = { status: 404, body: { error: `Not banned: "${address}" by fail2ban` } };
      expect(await remove(address, own)).toMatchObject(absent);
    }
    await post("/bans", { address: "192.0.2.2", for: "2h", by: "fail2ban" });
    await post("/bans", { address: "192.0.2.4", for: "2h", by: "fail2ban" });
    expect((await remove("0.0.0.0/0", own)).body).toEqual({ lifted: ["192.0.2.4"], staying: ["192.0.2.2"] });
    expect((await remove("2001:db8::2", own)).body).toEqual({ lifted: ["2001:db8::/64"] });
    expect(sources().sort()).toEqual(["192.0.2.1", "192.0.2.2"]);
    expect(await post("/bans", { address: "192.0.2.1", by: "me" })).toMatchObject({ status: 400 });
    expect(await remove("192.0.2.1", "?by=me")).toMatchObject({ status: 400 });
  });

  test("all are lifted at once, of both families, but for what another tool wrote into the map", async () => {
    expect((await ask("/bans", { method: "DELETE" })).body).toEqual({ lifted: [] });
    for (const address of ["192.0.2.1", "2001:db8::1", "192.0.2.2"]) await post("/bans", { address });
    await post("/bans", { address: "192.0.2.3", by: "fail2ban" });
    await post("/bans", { address: "192.0.2.2", for: "1m", by: "fail2ban" });
    const prefix = requirePrefix("203.0.113.7");
    const unseen = { packets: 0, bytes: 0, lastSeenMs: undefined };
    parts.enforcement.adopt([{ prefix, expiresMs: Infinity, origin: "foreign", reason: "foreign", ...unseen }], 1);
    const own = await ask("/bans?by=fail2ban", { method: "DELETE" });
    expect(own).toMatchObject({ status: 200, body: { lifted: ["192.0.2.3"], staying: ["192.0.2.2"] } });
    for (const query of ["?by=me", "?address=192.0.2.1"]) {
      expect((await ask(`/bans${query}`, { method: "DELETE" })).status).toBe(400);
    }
    expect(sources()).toHaveLength(4);
    const { status, body } = await ask("/bans", { method: "DELETE" });
    const lifted = ["192.0.2.1", "192.0.2.2", "2001:db8::/64"];
    expect([status, { ...body, lifted: body.lifted.sort() }]).toEqual([200, { lifted, foreign: 1 }]);
    expect(sources()).toEqual(["203.0.113.7"]);
    expect((await ask("/bans", { method: "DELETE" })).body).toEqual({ lifted: [], foreign: 1 });
  });

  test("what a lift of very many answers is made piece by piece, and the audit trail reads none of it", async () => {
    const audited: string[] = [];
    parts = partsOf(configWith({}), 20_000);
    const audit = {
      ...{ isWritten: () => true, userOf: async () => undefined },
      record: ({ action, status, outcome }: AuditEntry) => void audited.push(`${action} ${status}: ${outcome}`),
    };
    handler = statusHandler(parts.status, { ...onUnixSocket, audit });
    const all = Array.from({ length: 9000 }, (_, number) => `10.9.${number >> 8}.${number & 255}`);
    await post("/bans/list", all.join("\n"));
    const reply = await askAt(handler, "/bans/0.0.0.0%2F0", { method: "DELETE" });
    const pieces: string[] = [];
    for await (const piece of reply.body ?? []) pieces.push(new TextDecoder().decode(piece));
    expect(Math.max(...pieces.map((piece) => piece.split(",").length))).toBeLessThan(2000);
    expect(JSON.parse(pieces.join("")).lifted.sort()).toEqual(all.sort());
    await ask("/bans", { method: "DELETE" });
    expect(audited).toEqual([
      "ban list 200: 9000 done, 0 refused",
      expect.stringMatching(/^lift 200: (10\.9\.\d+\.\d+, ){4}10\.9\.\d+\.\d+ and 8995 more$/),
      "lift 200: nobody",
    ]);
  });

  test("without a duration a ban lasts as long as any, with ever for ever", async () => {
    expect((await post("/bans", { address: "192.0.2.1" })).body.remainingSeconds).toBe(600);
    expect((await post("/bans", { address: "192.0.2.1", for: "ever" })).body.remainingSeconds).toBeNull();
    expect(sources()).toEqual(["192.0.2.1"]);
  });

  test("an address stands for its source, a CIDR for itself", async () => {
    for (const [address, source] of [
      ["2001:db8::1", "2001:db8::/64"],
      ["2001:db8::1/128", "2001:db8::1"],
      ["::ffff:192.0.2.1", "192.0.2.1"],
      ["192.0.2.77/24", "192.0.2.0/24"],
    ]) {
      expect((await post("/bans", { address })).body).toMatchObject({ source });
    }
    expect((await remove("2001:db8::5")).body.lifted.sort()).toEqual(["2001:db8::/64", "2001:db8::1"]);
    expect((await remove("192.0.2.0/24")).body).toEqual({ lifted: ["192.0.2.1", "192.0.2.0/24"] });
  });

  test("what a wider ban covers cannot be lifted from under it, and it says so", async () => {
    await post("/bans", { address: "192.0.2.0/24" });
    const { status, body } = await remove("192.0.2.1");
    expect([status, body.error]).toEqual([409, expect.stringContaining("covered by the ban of 192.0.2.0/24")]);
    expect(sources()).toEqual(["192.0.2.0/24"]);
  });

  test.each([
    ["198.51.100.7", undefined, "198.51.100.0/24 is never banned (--allow)"],
    ["198.51.0.0/16", undefined, "198.51.100.0/24 is never banned (--allow)"],
    ["192.0.0.0/15", undefined, "wider than /16"],
    ["2001::/31", undefined, "wider than /16 (IPv6 /32, behind NAT64 /112)"],
    ["64:ff9b::/96", undefined, "wider than /16"],
    ["64:ff9b:1:7::/64", undefined, "wider than /16"],
    ["2001::/64", undefined, "wider than /16"],
    ["0.0.0.0/0", true, "is never banned"],
    ["::/0", true, "IPv4 lies in it too"],
    ["::/80", true, "IPv4 lies in it too"],
  ])("a ban of %s, force %p, is refused", async (address, force, words) => {
    const { status, body } = await post("/bans", { address, force });
    expect([status, body.error]).toEqual([409, expect.stringContaining(words)]);
    expect(body.error).toStartWith(`Cannot ban "${address}": `);
    expect(sources()).toEqual([]);
  });

  test("the network of ::1 is a source like any other, and holds no IPv4", async () => {
    expect((await post("/bans", { address: "::1" })).body).toMatchObject({ source: "::/64" });
    expect((await ask("/bans/192.0.2.1")).status).toBe(404);
    await post("/bans", { address: "192.0.2.1" });
    expect((await remove("::1")).body).toEqual({ lifted: ["::/64"] });
    expect(sources()).toEqual(["192.0.2.1"]);
  });

  test.each(["", "{", "[".repeat(9000), '{"address": "192.0.2.1"} x'])("what is no JSON is told so", async (body) => {
    expect((await post("/bans", body)).body.error).toStartWith("Invalid body: it is no JSON; expected {");
  });

  test("a wide ban is made when it is meant", async () => {
    expect((await post("/bans", { address: "10.0.0.0/8", force: true })).status).toBe(201);
  });

  test.each([
    "",
    "{",
    "null",
    "[]",
    '"192.0.2.1"',
    "192.0.2.1",
    "{}",
    '{"address": 1}',
    '{"address": null}',
    '{"address": ["192.0.2.1"]}',
    '{"address": ""}',
    '{"address": "x"}',
    '{"address": "192.0.2.1 "}',
    '{"address": "192.0.2.1", "for": ""}',
    '{"address": "192.0.2.1", "for": "soon"}',
    '{"address": "192.0.2.1", "for": "-1h"}',
    '{"address": "192.0.2.1", "for": 60}',
    '{"address": "192.0.2.1", "for": "99999d"}',
    '{"address": "192.0.2.1", "force": "yes"}',
    '{"address": "192.0.2.1", "forr": "1h"}',
    '{"address": "192.0.2.1", "__proto__": {"force": true}, "colour": 1}',
    `${'{"address":'.repeat(20)}1${"}".repeat(20)}`,
    "\u0000",
    "[".repeat(100_000),
  ])("the body %j changes nothing and is told what is wrong", async (body) => {
    await post("/bans", { address: "192.0.2.1", for: "1h" });
    const before = parts.enforcement.bans.get(requirePrefix("192.0.2.1"));
    const reply = await post("/bans", body);
    expect(reply.status).toBe(400);
    expect(reply.body.error).toMatch(/^Invalid (body|address|duration)/);
    expect(parts.enforcement.bans.get(requirePrefix("192.0.2.1"))).toEqual(before as Ban);
    expect(sources()).toEqual(["192.0.2.1"]);
  });

  test.each(["x", "1.2.3", "192.0.2.0/33", "%", "*", "2001:db8::1%eth0"])(
    "a lift of %j lifts nobody",
    async (address) => {
      await post("/bans", { address: "192.0.2.1" });
      const { status, body } = await remove(address);
      expect([status, body.error]).toEqual([400, expect.stringMatching(/^Invalid address "/)]);
      expect(sources()).toEqual(["192.0.2.1"]);
    },
  );

  test("no text at all makes it fall over", async () => {
    await post("/bans", { address: "203.0.113.1" });
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: "binary" }), fc.jsonValue(), async (text, json) => {
        const replies = [
          await post("/bans", text),
          await post("/bans", { address: text }),
          await post("/bans", JSON.stringify(json)),
          await remove(text === "" ? "x" : text),
          await ask(`/bans/${encodeURIComponent(text.toWellFormed())}x`),
        ];
        expect(replies.every(({ status }) => status === 400 || status === 404)).toBe(true);
        expect(sources()).toEqual(["203.0.113.1"]);
      }),
      { numRuns: 100 },
    );
  });
});

describe("a list", () => {
  const lines = [
    "# a list",
    "192.0.2.1",
    "192.0.2.2 1h   # an hour",
    "",
    "nobody",
    "198.51.100.1",
    "2001:db8::1\tever",
    "192.0.2.3 soon",
    "10.0.0.0/8",
    "  192.0.2.4  ",
  ];

  test("of bans is carried out, and its mistakes are told by their lines", async () => {
    const { status, body } = await post("/bans/list?for=30m", `${lines.join("\r\n")}\r\n`);
    expect([status, body.done, body.failed]).toEqual([200, 4, 4]);
    expect(body.failures.map(({ line }: { line: number }) => line)).toEqual([5, 6, 8, 9]);
    expect(sources()).toEqual(["192.0.2.1", "192.0.2.2", "2001:db8::/64", "192.0.2.4"]);
    const left = async (address: string) => (await ask(`/bans/${address}`)).body.remainingSeconds;
    expect([await left("192.0.2.1"), await left("192.0.2.2"), await left("2001:db8::1")]).toEqual([1800, 3600, null]);
  });

  test("of lifts lifts, and tells what was no address", async () => {
    await post("/bans/list", lines.join("\n"));
    const { body } = await post("/lifts/list", "192.0.2.1\n192.0.2.1\nx\n192.0.2.99\n2001:db8::9\n");
    expect([body.done, body.failures.map(({ line }: { line: number }) => line)]).toEqual([2, [3]]);
    expect(sources()).toEqual(["192.0.2.2", "192.0.2.4"]);
  });

  test("with a wrong duration for all of it changes nothing", async () => {
    expect((await post("/bans/list?for=soon", "192.0.2.1")).status).toBe(400);
    expect(sources()).toEqual([]);
  });
});

describe("who may", () => {
  const token = "a-token";
  const right = { authorization: `Bearer ${token}` };
  const wrong = [{}, { authorization: "Bearer wrong" }, { authorization: token }, { authorization: "Basic eDp5" }];

  const readings = ["/healthz", "/readyz", "/status", "/metrics", "/bans", "/bans/192.0.2.1", "/why/192.0.2.1"];
  const changes: readonly (readonly [string, string, string | undefined])[] = [
    ["POST", "/bans", '{"address": "203.0.113.9"}'],
    ["POST", "/bans/list", "203.0.113.9"],
    ["POST", "/lifts/list", "192.0.2.1"],
    ["DELETE", "/bans/192.0.2.1", undefined],
    ["DELETE", "/bans?by=fail2ban", undefined],
  ];

  async function statuses(headers: Record<string, string>): Promise<{ read: number[]; changed: number[] }> {
    const read: number[] = [];
    const changed: number[] = [];
    for (const path of readings) read.push((await ask(path, { headers })).status);
    for (const [method, path, body] of changes) {
      changed.push((await ask(path, { method, headers, ...(body === undefined ? {} : { body }) })).status);
    }
    return { read, changed };
  }

  function opened(access: StatusAccess): void {
    open(access);
    parts.ban("192.0.2.1");
  }

  test.each(wrong)("on loopback without the token (%j) reads and changes nothing", async (headers) => {
    opened({ token, closed: false });
    const { read, changed } = await statuses(headers);
    expect(read).toEqual([200, 503, 200, 200, 200, 200, 200]);
    expect(changed.every((status) => status === 401 || status === 400)).toBe(true);
    expect(sources()).toEqual(["192.0.2.1"]);
  });

  test.each(wrong)("elsewhere without the token (%j) does not even read", async (headers) => {
    opened({ token, closed: true });
    const { read, changed } = await statuses(headers);
    expect([...read, ...changed].every((status) => status === 401 || status === 400)).toBe(true);
    expect(sources()).toEqual(["192.0.2.1"]);
    const { body } = await ask("/status", { headers });
    expect(Object.keys(body)).toEqual(["error"]);
  });

  test.each([true, false])("with the token may do everything (closed: %p)", async (closed) => {
    opened({ token, closed });
    const { read, changed } = await statuses(right);
    expect(read).toEqual([200, 503, 200, 200, 200, 200, 200]);
    expect(changed).toEqual([201, 200, 200, 404, 200]);
    expect(sources()).toEqual(["203.0.113.9"]);
  });

  test("on the unix socket may do everything without one", async () => {
    opened(onUnixSocket);
    expect((await statuses({})).changed).toEqual([201, 200, 200, 404, 200]);
  });

  test("HEAD is reading, every other method changing", async () => {
    opened({ token, closed: false });
    expect((await ask("/status", { method: "HEAD" })).status).toBe(200);
    for (const method of ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"]) {
      expect([method, (await ask("/bans", { method })).status]).toEqual([method, 401]);
    }
  });
});
