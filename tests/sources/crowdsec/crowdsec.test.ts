// SPDX-License-Identifier: Apache-2.0
// A LAPI that answers what a real one never would, or not at all: no ban changes, and it is told once. What a real one
// answers is in tests/systems/crowdsec.test.ts.
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import process from "node:process";
import { parseCrowdsecAddress } from "../../../src/config/crowdsec_address.ts";
import { requirePrefix } from "../../../src/core/address.ts";
import { Bans } from "../../../src/core/bans/bans.ts";
import { Enforcement } from "../../../src/core/bans/enforcement.ts";
import { NeverBan } from "../../../src/core/bans/never_ban.ts";
import { newBanCounters } from "../../../src/core/counters.ts";
import { Outbox } from "../../../src/core/crowdsec/outbox.ts";
import { Remedy } from "../../../src/core/crowdsec/remedy.ts";
import { Crowdsec } from "../../../src/sources/crowdsec/crowdsec.ts";
import type { LapiSecrets } from "../../../src/sources/crowdsec/lapi.ts";
import { lifted } from "../../harness/lifted.ts";
import { freePort } from "../../harness/ports.ts";
import { sleep, waitFor } from "../../harness/wait.ts";

type Handler = (request: IncomingMessage, response: ServerResponse, body: string) => void;

const source = "203.0.113.7";
const decision = {
  ...{ id: 1, origin: "cscli", scenario: "crowdsecurity/ssh-bf", scope: "Ip", type: "ban" },
  ...{ value: source, duration: "1h0m0s" },
};
const whole = JSON.stringify({ deleted: null, new: [decision] });

let server: Server;
let port: number;
let handle: Handler;
let asked: string[];
let log: string[];
let enforcement: Enforcement;
let crowdsec: Crowdsec;
let secrets: LapiSecrets;
let everyMs: number;

beforeEach(async () => {
  [asked, log, everyMs] = [[], [], 20];
  handle = (_, response) => response.end(whole);
  server = createServer(async (request, response) => {
    asked.push(`${request.method} ${request.url}`);
    let body = "";
    for await (const chunk of request) body += String(chunk);
    handle(request, response, body);
  });
  port = await freePort();
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  enforcement = new Enforcement(new Bans(1000, 64), new NeverBan([]), undefined, newBanCounters());
  const address = parseCrowdsecAddress(`http://127.0.0.1:${port}`);
  if (address === undefined) throw new Error();
  secrets = { key: "key", ca: undefined, machine: { login: "web-1", password: "p" } };
  const push = { outbox: new Outbox(enforcement), origin: "ttgate:web-1", machine: "web-1" };
  const remedy = new Remedy({ enforcement, hasRoom: () => true, ownOrigin: push.origin });
  enforcement.follow(remedy);
  enforcement.follow(push.outbox);
  crowdsec = new Crowdsec({
    ...{
      address,
      secrets: () => secrets,
      whySecretsAreOld: () => undefined,
      version: "1",
      remedy,
      push,
      mostBytes: 1 << 20,
    },
    ...{
      ipv6Bits: 64,
      everyMs: () => everyMs,
      log: (level: string, text: string) => void log.push(`${level} ${text}`),
    },
    moment: () => ({ nowMs: performance.now(), wallMs: Date.now() }),
  });
});

afterEach(async () => {
  await crowdsec.close();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

async function following(): Promise<void> {
  await waitFor("the first answer", () => crowdsec.view().state === "following");
}

function isBanned(address = source): boolean {
  return enforcement.bans.byText(address) !== undefined;
}

function answering(status: number, body: string, headers: Readonly<Record<string, string>> = {}): Handler {
  return (_, response) => response.writeHead(status, headers).end(body);
}

const bad: readonly (readonly [name: string, handler: Handler, told: RegExp])[] = [
  ["a page of HTML", answering(200, "<html>502</html>"), /no stream of decisions/],
  ["nothing", answering(200, ""), /no stream of decisions/],
  ["other JSON", answering(200, '{"message":"ok"}'), /no stream of decisions/],
  ["half an answer", answering(200, '{"deleted":null,"new":[{"id":2,'), /ends too soon/],
  [
    "less than it promised",
    (_, response) => {
      response.writeHead(200, { "content-length": "1000" }).write('{"deleted":null,"new":null}');
      setTimeout(() => response.socket?.destroy(), 20);
    },
    /./,
  ],
  ["a server's error", answering(500, '{"message":"database is locked"}'), /database is locked/],
  ["a redirection", answering(302, "", { location: "http://192.0.2.1/" }), /it answers 302/],
  ["a key that is not known", answering(403, '{"message":"access forbidden"}'), /it does not know the key/],
  ["a connection that is cut", (_, response) => void response.socket?.destroy(), /./],
];

describe("a LAPI that answers badly", () => {
  test.each(bad)("with %s changes nothing, and is told once", async (_, handler, told) => {
    crowdsec.start();
    await following();
    expect(isBanned()).toBe(true);
    handle = handler;
    const before = asked.length;
    await waitFor("three attempts", () => asked.length > before + 3);
    expect(isBanned()).toBe(true);
    expect(crowdsec.view().state).toBe("apart");
    const warnings = log.filter((line) => line.startsWith("warn"));
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toMatch(told);
    expect(warnings[0]).toEndWith("; bans stay as they are");
    // What it said meanwhile it does not say again: everything is asked for.
    expect(asked.at(-1)).toContain("startup=true");
    handle = answering(200, '{"deleted":null,"new":null}');
    await waitFor("the end of the ban", () => !isBanned());
    expect(crowdsec.troubles).toEqual([]);
    expect(log.at(-1)).toContain("answers, and its decisions are carried out");
  });

  test("that knows another key now is asked with what the file has by then", async () => {
    handle = ({ headers }, response) =>
      headers["x-api-key"] === "new"
        ? response.end(whole)
        : response.writeHead(403).end('{"message":"access forbidden"}');
    crowdsec.start();
    await waitFor("the trouble", () => crowdsec.troubles.join().includes("it does not know the key"));
    secrets = { ...secrets, key: "new" };
    await following();
    expect([isBanned(), crowdsec.troubles.length]).toEqual([true, 0]);
  });

  test("is asked at once when its key is another, however long the pause would be", async () => {
    // Between 5 and 10 s after the first failure.
    everyMs = 5000;
    let known = "other";
    handle = ({ headers }, response) =>
      headers["x-api-key"] === known ? response.end(whole) : response.writeHead(403).end();
    crowdsec.start();
    await waitFor("the trouble", () => crowdsec.troubles.length > 0);
    secrets = { ...secrets, key: known };
    await waitFor("its answer", () => crowdsec.view().state === "following", 4000);
    // The one with which it failed is not the one that it has when that is told.
    known = "third";
    handle = (_, response) => {
      secrets = { ...secrets, key: known };
      response.writeHead(403).end();
      handle = ({ headers }, next) => (headers["x-api-key"] === known ? next.end(whole) : next.writeHead(403).end());
    };
    crowdsec.reconfigure();
    await waitFor("the trouble", () => crowdsec.view().state === "apart");
    await waitFor("its answer", () => crowdsec.view().state === "following", 4000);
  });

  test("that is not there is asked as often as before, and so noticed soon when it is", async () => {
    everyMs = 200;
    crowdsec.start();
    await following();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    await waitFor("the trouble", () => crowdsec.troubles.length > 0);
    await sleep(3000);
    await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
    await waitFor("its answer", () => crowdsec.view().state === "following", 1500);
  });

  test("is asked with another key after a reload, also where the old one is still good", async () => {
    const keys = new Set<unknown>();
    handle = ({ headers }, response) => {
      keys.add(headers["x-api-key"]);
      response.end(whole);
    };
    crowdsec.start();
    await following();
    secrets = { ...secrets, key: "new" };
    await sleep(50);
    expect([...keys]).toEqual(["key"]);
    crowdsec.reconfigure();
    await waitFor("the new key", () => keys.has("new"));
  });

  test("is asked less and less often", async () => {
    handle = answering(500, "");
    crowdsec.start();
    await sleep(1000);
    expect(asked.length).toBeWithin(2, 10);
  });

  test("an endless answer is bounded, in memory too", async () => {
    let isOver = false;
    const begunMs: number[] = [];
    let tookMs = 0;
    handle = (_, response) => {
      begunMs.push(performance.now());
      response.write('{"deleted":null,"new":[');
      const item = `${JSON.stringify(decision)},`.repeat(500);
      const write = () => {
        while (!response.destroyed && response.write(item));
        if (response.destroyed) isOver = true;
        else response.once("drain", write);
      };
      response.once("close", () => {
        isOver = true;
        if (begunMs.length === 1) tookMs = performance.now() - (begunMs[0] ?? 0);
      });
      write();
    };
    const before = process.memoryUsage().rss;
    crowdsec.start();
    await waitFor("the end of it", () => isOver && crowdsec.troubles.length > 0);
    expect(crowdsec.troubles[0]).toContain("larger than 1 MiB");
    expect(isBanned()).toBe(false);
    expect(process.memoryUsage().rss - before).toBeLessThan(100e6);
    // It is read again only after a rest of twenty times as long as that took.
    const [first = 0, second = 0] = await waitFor("the next attempt", () => begunMs.length > 1 && begunMs, 30_000);
    expect(second - first).toBeGreaterThan(3 * tookMs);
  }, 60_000);

  test("everything is asked for seldom where that takes long", async () => {
    handle = (request, response) => {
      setTimeout(() => response.end(whole), request.url?.endsWith("startup=true") === true ? 200 : 0);
    };
    crowdsec.start();
    await waitFor("twenty questions", () => asked.length > 20);
    expect(asked.filter((question) => question.endsWith("startup=true"))).toHaveLength(1);
    crowdsec.reconfigure();
    await waitFor("another", () => asked.filter((question) => question.endsWith("startup=true")).length === 2);
  });

  test("decisions that are none are counted, the others carried out", async () => {
    const all = [decision, { ...decision, id: "x" }, 7, { ...decision, id: 2, value: "0.0.0.0/0", scope: "Range" }];
    handle = ({ url }, response) =>
      response.end(JSON.stringify({ deleted: null, new: url?.endsWith("startup=true") ? all : null }));
    crowdsec.start();
    await following();
    expect(isBanned()).toBe(true);
    expect(crowdsec.view().refused).toMatchObject({ malformed: 1, wide: 1 });
    expect(crowdsec.troubles.join()).toContain("1 decisions are not carried out, wider than /8");
  });
});

describe("what CrowdSec is told", () => {
  test("waits while it is away, and a lift takes the place of the ban", async () => {
    let isAway = true;
    const posted: string[] = [];
    handle = (request, response, body) => {
      if (request.url?.startsWith("/v1/decisions") && request.method === "GET") {
        const isStream = request.url.includes("stream");
        response.end(isStream ? '{"deleted":null,"new":null}' : "null");
      } else if (isAway) response.writeHead(500).end("{}");
      else if (request.url === "/v1/watchers/login") {
        response.end(JSON.stringify({ code: 200, token: "t", expire: new Date(Date.now() + 3.6e6).toISOString() }));
      } else {
        posted.push(body);
        response.writeHead(201).end('["1"]');
      }
    };
    crowdsec.start();
    await following();
    const nowMs = performance.now();
    for (const address of [source, "203.0.113.8"]) {
      const prefix = requirePrefix(address);
      enforcement.ban({ prefix, reason: "http", origin: "sniffer", untilMs: nowMs + 600_000 }, nowMs);
    }
    await waitFor("a trouble", () => crowdsec.troubles.length === 1);
    lifted(enforcement, [requirePrefix(source)], performance.now());
    expect(crowdsec.view().push?.waiting).toBe(2);
    isAway = false;
    await waitFor("all told", () => crowdsec.view().push?.waiting === 0 && posted.length > 0);
    const alerts = posted.flatMap((body) => JSON.parse(body) as { source: { value: string } }[]);
    expect(alerts.map((alert) => alert.source.value)).toEqual(["203.0.113.8"]);
    await waitFor("no trouble", () => crowdsec.troubles.length === 0);
    expect(log.filter((line) => line.startsWith("warn"))).toHaveLength(1);
  });

  test("it is told with the password that the file has by then", async () => {
    let posted = 0;
    handle = (request, response, body) => {
      if (request.method === "GET") {
        const isStream = request.url?.includes("stream") === true;
        response.end(isStream ? '{"deleted":null,"new":null}' : "null");
      } else if (request.url !== "/v1/watchers/login") {
        posted++;
        response.writeHead(201).end('["1"]');
      } else if (body.includes('"new"')) {
        response.end(JSON.stringify({ code: 200, token: "t", expire: new Date(Date.now() + 3.6e6).toISOString() }));
      } else response.writeHead(401).end('{"message":"incorrect Username or Password"}');
    };
    crowdsec.start();
    await following();
    const nowMs = performance.now();
    const ban = { prefix: requirePrefix(source), reason: "http", origin: "sniffer" as const, untilMs: nowMs + 600_000 };
    enforcement.ban(ban, nowMs);
    await waitFor("the trouble", () => crowdsec.troubles.join().includes("incorrect Username or Password"));
    secrets = { ...secrets, machine: { login: "web-1", password: "new" } };
    await waitFor("that it is told", () => posted > 0 && crowdsec.troubles.length === 0);
  });
});
