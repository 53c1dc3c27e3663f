// SPDX-License-Identifier: Apache-2.0
// The commands that ask a running daemon, without a process: what they send, what they make of each
// answer, and how they find the daemon. With a real one: commands.test.ts.
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { ReaderGone } from "../../src/cli/standard_output.ts";
import { FakeDaemon } from "./fake_daemon.ts";
import { ttgate } from "./fake_env.ts";

let daemon: FakeDaemon;

beforeEach(async () => {
  daemon = await FakeDaemon.start();
});

afterEach(() => daemon[Symbol.asyncDispose]());

const manual = {
  ...{ source: "192.0.2.1", protocol: "manual", by: "operator", since: "2026-01-01T00:00:00Z" },
  ...{ until: "2026-01-01T01:00:00Z", remainingSeconds: 3600, packets: null, bytes: null },
  refused: { by: "kernel", why: null },
  claims: [{ origin: "operator" }],
};
const forEver = {
  ...manual,
  ...{ source: "2001:db8::/64", protocol: "http", by: "sniffer", until: null, remainingSeconds: null, packets: 12 },
  refused: { by: "user space", why: "interface tun0 is not guarded" },
  claims: [{ origin: "sniffer" }, { origin: "list:drop" }],
};

async function text(...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await daemon.ttgate(args);
  expect([args, code, stderr]).toEqual([args, 0, ""]);
  return stdout;
}

async function json(...args: readonly string[]): Promise<unknown> {
  return JSON.parse(await text(...args, "--json"));
}

describe("bans", () => {
  test("is a table", async () => {
    daemon.answers["GET /bans"] = [200, { total: 2, bans: [manual, forEver] }];
    expect(await text("bans")).toBe(
      [
        "SOURCE         PROTOCOL  BY                 LEFT  DROPPED",
        "192.0.2.1      manual    operator           1h    -",
        "2001:db8::/64  http      sniffer,list:drop  ever  12",
        "1 of them refused in user space: interface tun0 is not guarded",
        "",
      ].join("\n"),
    );
    expect(await json("bans")).toEqual({ total: 2, bans: [manual, forEver] });
  });

  test("says when there are none, and when there are more", async () => {
    daemon.answers["GET /bans"] = [200, { total: 0, bans: [] }];
    daemon.answers["GET /bans?limit=1"] = [200, { total: 7, bans: [manual] }];
    expect(await text("bans")).toBe("Nobody is banned\n");
    expect(await text("bans", "--limit", "1")).toEndWith("The newest 1 of 7 are shown: more with --limit\n");
  });
});

describe("bans, chosen", () => {
  test("asks for what was typed", async () => {
    daemon.answers["GET /bans?limit=5&sort=left&by=list&protocol=http&in=192.0.2.0%2F24"] = [
      200,
      { total: 0, bans: [] },
    ];
    const flags = ["--by", "list", "--in", "192.0.2.0/24", "--protocol", "http", "--sort", "left", "-n", "5"];
    expect(await text("list", ...flags)).toBe("Nobody is banned that was asked for\n");
  });

  test("prints sources alone with --quiet, and colours the head on a terminal only", async () => {
    daemon.answers["GET /bans"] = [200, { total: 2, bans: [manual, forEver] }];
    expect(await text("bans", "-q")).toBe("192.0.2.1\n2001:db8::/64\n");
    expect((await daemon.ttgate(["bans"], { isTerminal: true })).stdout).toStartWith("\u001b[1mSOURCE");
    daemon.answers["GET /bans"] = [200, { total: 3000, bans: [manual] }];
    expect(await daemon.ttgate(["bans", "-q"])).toMatchObject({
      ...{ code: 0, stdout: "192.0.2.1\n", stderr: "The newest 1 of 3000 are shown: more with --limit\n" },
    });
  });
});

describe("ban and lift", () => {
  test("take several addresses: each is carried out, whatever becomes of the others", async () => {
    daemon.answers["POST /bans"] = ({ body }) => {
      const { address } = JSON.parse(body);
      return address === "10.0.0.0/8" ? [409, { error: "Too wide" }] : [201, { ...manual, source: address }];
    };
    const { code, stdout, stderr } = await daemon.ttgate(["block", "192.0.2.1", "10.0.0.0/8", "192.0.2.2"]);
    expect([code, stdout, stderr]).toEqual([
      ...[1, "Banned 192.0.2.1 for 1h\nBanned 192.0.2.2 for 1h\n", "ttgate: Too wide\n"],
    ]);
    daemon.answers["DELETE /bans/192.0.2.1"] = [200, { lifted: ["192.0.2.1"] }];
    daemon.answers["DELETE /bans/192.0.2.2"] = [200, { lifted: ["192.0.2.2"] }];
    const lines = await text("unban", "192.0.2.1", "192.0.2.2", "--json");
    expect(lines).toBe('{"lifted":["192.0.2.1"]}\n{"lifted":["192.0.2.2"]}\n');
  });

  test("are carried out for all, also when nobody reads on what becomes of them", async () => {
    const stdout = {
      line() {
        throw new ReaderGone();
      },
    };
    daemon.answers["POST /bans"] = ({ body }) => [201, { ...manual, source: JSON.parse(body).address }];
    const { code } = await daemon.ttgate(["ban", "192.0.2.1", "192.0.2.2", "192.0.2.3"], { stdout });
    expect([code, daemon.requests.map(({ body }) => JSON.parse(body).address)]).toEqual([
      ...[0, ["192.0.2.1", "192.0.2.2", "192.0.2.3"]],
    ]);
  });

  test("end at the time of --until", async () => {
    const nowMs = () => Date.UTC(2026, 10, 28, 12);
    daemon.answers["POST /bans"] = [201, manual];
    const until = async (time: string) => {
      expect((await daemon.ttgate(["ban", "192.0.2.1", "--until", time], { nowMs })).code).toBe(0);
      return JSON.parse(daemon.requests.at(-1)?.body ?? "").for;
    };
    expect(await until("2026-11-28T13:30:00Z")).toBe("1h30m");
    expect(await until("2026-11-28T13:30:00+01:00")).toBe("30m");
    expect(await until("@1795867201")).toBe("1s");
  });

  test("lift of nothing is well with --idempotent, but not of what a wider ban covers", async () => {
    daemon.answers["DELETE /bans/192.0.2.1"] = [404, { error: 'Not banned: "192.0.2.1"' }];
    daemon.answers["DELETE /bans/192.0.2.2"] = [409, { error: "Covered" }];
    const lift = async (...args: string[]) => (await daemon.ttgate(["lift", ...args])).code;
    expect(await lift("192.0.2.1")).toBe(1);
    expect(await lift("192.0.2.1", "--idempotent")).toBe(0);
    expect(await lift("192.0.2.2", "--idempotent")).toBe(1);
    expect(await lift("192.0.2.1", "192.0.2.2", "--idempotent")).toBe(1);
    expect(await json("lift", "192.0.2.1", "--idempotent")).toEqual({ lifted: [] });
  });

  test("lift --all ends the bans of both families, and says when there were none", async () => {
    daemon.answers["DELETE /bans"] = [200, { lifted: ["192.0.2.1", "2001:db8::/64"] }];
    expect(await text("lift", "--all")).toBe("Lifted 192.0.2.1, 2001:db8::/64\n");
    expect(await json("lift", "--all")).toEqual({ lifted: ["192.0.2.1", "2001:db8::/64"] });
    daemon.answers["DELETE /bans"] = [200, { lifted: [] }];
    const none = { code: 1, stdout: "", stderr: "ttgate: Nobody is banned\n" };
    expect(await daemon.ttgate(["lift", "--all"])).toMatchObject(none);
    expect(await text("lift", "--all", "--idempotent")).toBe("Nobody is banned\n");
    daemon.answers["DELETE /bans?by=fail2ban"] = [200, { lifted: [], staying: ["192.0.2.1"] }];
    expect(await text("lift", "--all", "--by", "fail2ban")).toContain("Ended the claim on 192.0.2.1: still banned");
    daemon.answers["DELETE /bans?by=fail2ban"] = [200, { lifted: [] }];
    expect(await text("lift", "--all", "--by", "fail2ban", "--idempotent")).toBe("Nobody is banned by fail2ban\n");
    daemon.answers["DELETE /bans"] = [401, { error: "Not allowed" }];
    expect((await daemon.ttgate(["lift", "--all"])).code).toBe(3);
  });

  test.each([
    [["192.0.2.1"], "Lifted 192.0.2.1\n"],
    [[], ""],
  ])("lift --all of %p tells of another tool's entries, which stay", async (lifted, stdout) => {
    daemon.answers["DELETE /bans"] = [200, { lifted, foreign: 2 }];
    const { code, stderr, ...rest } = await daemon.ttgate(["lift", "--all", "--idempotent"]);
    expect([code, rest.stdout]).toEqual([1, stdout]);
    expect(stderr).toStartWith("ttgate: Another tool's entries in the map stay, 2 of them: ");
  });

  test("lift shows a hundred sources, and all of them as JSON", async () => {
    const lifted = Array.from({ length: 103 }, (_, index) => `192.0.2.${index}`);
    daemon.answers["DELETE /bans/192.0.2.0%2F24"] = [200, { lifted }];
    expect(await text("lift", "192.0.2.0/24")).toEndWith("192.0.2.98, 192.0.2.99 and 3 more\n");
    expect(await json("lift", "192.0.2.0/24")).toEqual({ lifted });
  });

  test("a list may have any form; its mistakes keep the lines of the file, and none is left out", async () => {
    const input = [
      ...["; Spamhaus", "1.10.16.0/20 ; SBL1", "nonsense", "10.0.0.1-10.0.0.2 1h", "", "add bl 192.0.2.1 timeout 0"],
      ...Array.from({ length: 30 }, () => "192.0.2.9 soon"),
      "bad",
    ].join("\r\n");
    daemon.answers["POST /bans/list?force=false&name=stdin"] = ({ body }) => {
      const lines = body.split("\n");
      const failedLines = lines.flatMap((line, index) => (/^[a-z]/.test(line) ? [index + 1] : []));
      const failures = failedLines.map((line) => ({ line, message: `Invalid address "${lines[line - 1]}"` }));
      return [200, { done: lines.length - failedLines.length, failed: failedLines.length, failures, failedLines }];
    };
    const { code, stdout, stderr } = await daemon.ttgate(["ban", "--from", "-"], { input });
    expect([code, stdout]).toEqual([1, "Banned 4, 32 lines refused\n"]);
    expect(daemon.requests[0]?.body.split("\n")).toEqual([
      ...["1.10.16.0/20", "nonsense", "10.0.0.1 1h", "10.0.0.2 1h", "192.0.2.1 ever", "bad"],
    ]);
    const told = stderr.trimEnd().split("\n");
    expect(told).toHaveLength(21);
    expect(told[0]).toBe('-:3: Invalid address "nonsense"');
    expect(told[1]).toStartWith('-:7: Invalid duration "soon"');
    expect(told[20]).toBe("-: refused as well: lines 26-37");
    const asJson = await daemon.ttgate(["ban", "--from", "-", "--json"], { input });
    expect(JSON.parse(asJson.stdout)).toMatchObject({
      ...{ done: 4, failed: 32, failedLines: [3, ...Array.from({ length: 31 }, (_, index) => index + 7)] },
    });
  });

  test("send what was typed", async () => {
    daemon.answers["POST /bans"] = ({ body }) => [201, { ...manual, source: JSON.parse(body).address }];
    daemon.answers["DELETE /bans/192.0.2.0%2F24"] = [200, { lifted: ["192.0.2.1", "192.0.2.2"] }];
    expect(await text("ban", "192.0.2.7", "--for", "1h", "--force")).toBe("Banned 192.0.2.7 for 1h\n");
    expect(await text("lift", "192.0.2.0/24")).toBe("Lifted 192.0.2.1, 192.0.2.2\n");
    expect(daemon.requests.map(({ body }) => body)).toEqual(['{"address":"192.0.2.7","for":"1h","force":true}', ""]);
    daemon.answers["POST /bans"] = [201, forEver];
    expect(await text("ban", "2001:db8::1")).toBe("Banned 2001:db8::/64 for ever (by sniffer)\n");
  });

  test("send a long list in batches of whole lines, count on through them, and show progress", async () => {
    const lines = Array.from(
      { length: 150_000 },
      (_, number) => `10.${number >> 16}.${(number >> 8) & 255}.${number & 255}`,
    );
    const batches: string[] = [];
    daemon.answers["POST /bans/list?force=false&name=stdin&for=1h"] = ({ body }) => {
      batches.push(body);
      const failure = { failed: 1, failures: [{ line: 2, message: "No" }], failedLines: [2] };
      return [200, { done: body.split("\n").length - 1, ...failure }];
    };
    const args = ["ban", "--from", "-", "--for", "1h"];
    const answered = await daemon.ttgate(args, { input: lines.join("\n"), isTerminal: true });
    expect(batches.length).toBeGreaterThan(1);
    expect(batches.join("\n")).toBe(lines.join("\n"));
    const second = (batches[0]?.split("\n").length ?? 0) + 2;
    expect(answered).toMatchObject({
      code: 1,
      stdout: `Banned ${150_000 - batches.length}, ${batches.length} lines refused\n`,
      stderr: expect.stringContaining(`-:2: No\n-:${second}: No\n`),
    });
    expect(answered.progress).toHaveLength(batches.length + 1);
    expect(answered.progress.at(-1)).toBe("");
    expect((await daemon.ttgate(args, { input: "192.0.2.1\n" })).progress).toEqual([]);
  });

  test.each([
    [400, 2],
    [404, 1],
    [409, 1],
    [500, 3],
  ])("answer %d with exit code %d and the daemon's own words", async (status, code) => {
    daemon.answers["POST /bans"] = [status, { error: "No room: lift some" }];
    expect(await daemon.ttgate(["ban", "192.0.2.1"])).toMatchObject({
      ...{ code, stdout: "", stderr: "ttgate: No room: lift some\n" },
    });
    daemon.answers["POST /bans"] = [status, ["no words"]];
    expect((await daemon.ttgate(["ban", "192.0.2.1"])).stderr).toBe(`ttgate: The gate answered ${status}\n`);
  });
});

describe("why", () => {
  const why = {
    address: "192.0.2.1",
    source: "192.0.2.1",
    ban: null,
    neverBanned: null,
    offender: null,
    connections: 0,
    undecided: 0,
    lately: [],
    within: null,
    balancer: null,
  };
  const kernel = { answer: "drop", fold: null };

  test("says who is not banned, and what the kernel does", async () => {
    daemon.answers["GET /why/192.0.2.1"] = [200, { ...why, kernel: { answer: null, fold: null } }];
    expect(await text("why", "192.0.2.1")).toBe("192.0.2.1 is not banned\nkernel:   no program to ask\n");
    const neverBanned = { prefix: "192.0.2.0/24", why: "--allow" };
    daemon.answers["GET /why/192.0.2.1"] = [200, { ...why, kernel, neverBanned, connections: 3 }];
    expect(await text("why", "192.0.2.1")).toContain("never banned: 192.0.2.0/24 (--allow)\n");
    expect(await text("why", "192.0.2.1")).toContain("open now: 3 connections\n");
  });

  test("says why a source was turned away that is not banned any more, or not yet", async () => {
    const view = { source: "192.0.2.1", protocol: "http", by: "sniffer", gate: null, scope: "all", kernel: null };
    const lately = [
      { ...view, type: "end", at: "2026-11-28T12:10:00.000Z", firstBytes: null, seconds: 0, by: "time" },
      { ...view, type: "ban", at: "2026-11-28T12:00:00.000Z", firstBytes: "474554201b", seconds: 600 },
    ];
    daemon.answers["GET /why/192.0.2.1"] = [200, { ...why, kernel, undecided: 2, lately }];
    expect((await text("why", "192.0.2.1")).split("\n").slice(2, -1)).toEqual([
      "undecided: 2 connections in ten minutes were closed: neither expected nor known as foreign",
      "lately:   2026-11-28T12:10:00.000Z end       192.0.2.1 http by time",
      'lately:   2026-11-28T12:00:00.000Z ban       192.0.2.1 http "GET \\x1b" by sniffer 10m',
    ]);
  });

  test("lists what is inside a range, and goes on after an address that is none", async () => {
    const range = { ...why, address: "192.0.2.0/24", source: "192.0.2.0/24", kernel };
    const within = { total: 7, bans: [manual] };
    daemon.answers["GET /why/192.0.2.0%2F24"] = [200, { ...range, within }];
    daemon.answers["GET /why/x"] = [400, { error: 'Invalid address "x"' }];
    daemon.answers["GET /why/198.51.100.0%2F24"] = [
      200,
      { ...range, address: "198.51.100.0/24", source: "198.51.100.0/24", within: { total: 0, bans: [] } },
    ];
    const { code, stdout, stderr } = await daemon.ttgate(["why", "192.0.2.0/24", "x", "198.51.100.0/24"]);
    expect([code, stderr]).toEqual([2, 'ttgate: Invalid address "x"\n']);
    expect(stdout.split("\n")).toEqual([
      "192.0.2.0/24 is not banned",
      "kernel:   the live program says drop",
      "inside:   7 bans",
      "  SOURCE     PROTOCOL  BY        LEFT  DROPPED",
      "  192.0.2.1  manual    operator  1h    -",
      "  the newest 1 are shown: more with ttgate bans --in --limit",
      "198.51.100.0/24 is not banned",
      "kernel:   the live program says drop",
      "inside:   no other ban",
      "",
    ]);
  });

  test("shows the evidence", async () => {
    const evidence = { client: "192.0.2.1", port: 5000, firstBytesHex: "474554", firstBytesText: "GET" };
    const ban = {
      ...manual,
      protocol: "http",
      by: "sniffer",
      packets: 4,
      bytes: 240,
      evidence,
      lastSeen: "then",
      claims: [],
    };
    daemon.answers["GET /why/192.0.2.1"] = [200, { ...why, kernel, ban }];
    const lines = await text("why", "192.0.2.1");
    for (const part of ["for another 1h: it spoke http", "192.0.2.1 to port 5000", "474554"])
      expect(lines).toContain(part);
    expect(lines).toContain("the live program says drop, 4 packets and 240 bytes dropped, last at then\n");
    expect(lines).toEndWith(
      'advice:   a customer? "ttgate lift 192.0.2.1" lets it in again; an office behind one address? docs/customers.md\n',
    );
    daemon.answers["GET /why/192.0.2.1"] = [
      200,
      { ...why, kernel, ban: { ...ban, protocol: "proxy" }, balancer: "192.0.2.1" },
    ];
    expect(await text("why", "192.0.2.1")).toEndWith(
      "advice:   a load balancer of yours? --accept-proxy 192.0.2.1 believes its headers\n",
    );
    daemon.answers["GET /why/192.0.2.1"] = [200, { ...why, kernel, ban: { ...ban, protocol: "proxy" } }];
    expect(await text("why", "192.0.2.1")).toContain("advice:   a customer?");
    daemon.answers["GET /why/192.0.2.1"] = [200, { ...why, kernel, ban: { ...ban, by: "operator" } }];
    expect(await text("why", "192.0.2.1")).not.toContain("advice");
    for (const [by, protocol, words] of [
      ["strikes", "undecided", "it failed again and again to speak as expected"],
      ["strikes", "excess", "it opened too many connections again and again"],
      ["server", "refused", "the server hung up on it again and again"],
    ] as const) {
      daemon.answers["GET /why/192.0.2.1"] = [200, { ...why, kernel, ban: { ...ban, by, protocol } }];
      expect(await text("why", "192.0.2.1")).toContain(`for another 1h: ${words}`);
    }
  });
});

describe("events", () => {
  const ban = {
    ...{ type: "ban", at: "2026-01-01T00:00:00Z", source: "192.0.2.1", protocol: "http", by: "sniffer" },
    ...{ firstBytes: "474554201b", seconds: 600, kernel: "added" },
  };
  const up = {
    type: "upstream",
    at: "2026-01-01T00:00:01Z",
    upstream: "127.0.0.1:5001",
    reachable: false,
    error: "no",
  };
  const stream = [
    `event: ban\ndata: ${JSON.stringify(ban)}\n`,
    'event: lost\ndata: {"count":7}\n',
    `event: upstream\ndata: ${JSON.stringify(up)}\n`,
    "",
  ].join("\n");

  test("are a line each until the stream ends", async () => {
    daemon.answers["GET /events"] = [200, stream];
    expect((await text("events")).split("\n")).toEqual([
      '2026-01-01T00:00:00Z ban       192.0.2.1 http "GET \\x1b" by sniffer 10m, kernel: added',
      "... 7 more, too many to show",
      "2026-01-01T00:00:01Z upstream  127.0.0.1:5001 is not reachable: no",
      "",
    ]);
    const lines = (await text("events", "--json")).trimEnd().split("\n");
    expect(lines.map((line) => JSON.parse(line))).toEqual([ban, { type: "lost", count: 7 }, up]);
  });

  test("are refused when too many follow", async () => {
    daemon.answers["GET /events"] = [503, { error: "Too many follow: try again" }];
    expect(await daemon.ttgate(["events"])).toMatchObject({ code: 3, stderr: "ttgate: Too many follow: try again\n" });
  });
});

describe("the daemon", () => {
  beforeEach(() => {
    daemon.answers["GET /bans"] = [200, { total: 0, bans: [] }];
  });

  test("is not sent a token that is empty, or that no header could carry", async () => {
    await daemon.ttgate(["bans"], { variables: { TTGATE_TOKEN: "" } });
    expect(daemon.requests.at(-1)?.authorization).toBe(`Bearer ${daemon.token}`);
    for (const token of ["é", "two words", "a\nb"]) {
      const { code, stderr } = await daemon.ttgate(["lift", "192.0.2.1"], { variables: { TTGATE_TOKEN: token } });
      expect([code, stderr]).toEqual([
        ...[2, "ttgate: Invalid TTGATE_TOKEN: expected letters, digits and -._~+/ only\n"],
      ]);
    }
    expect(daemon.requests).toHaveLength(1);
  });

  test("is sent the token of its run file, or the one in the environment", async () => {
    await text("bans");
    await daemon.ttgate(["bans"], { variables: { TTGATE_TOKEN: "mine" } });
    await ttgate(["bans", "-s", daemon.statusAddress]);
    const sent = daemon.requests.map(({ authorization }) => authorization);
    expect(sent).toEqual([`Bearer ${daemon.token}`, "Bearer mine", undefined]);
  });

  test("that does not take the token: one line with what to do", async () => {
    daemon.answers["GET /bans"] = [401, { error: "no" }];
    const { code, stderr } = await daemon.ttgate(["bans"]);
    expect([code, stderr]).toEqual([3, expect.stringMatching(/^ttgate: Not allowed by the gate at "unix:[^\n]*\n$/)]);
    expect(stderr).toContain("TTGATE_TOKEN");
  });

  test("is named when there are several", async () => {
    daemon.announce({ listen: "[::]:5001", status: "127.0.0.1:1" }, "other");
    const { code, stderr } = await daemon.ttgate(["bans"]);
    expect([code, stderr]).toEqual([2, expect.stringContaining("Several gates run here")]);
    for (const address of [daemon.statusAddress, "127.0.0.1:1"]) expect(stderr).toContain(`--status ${address}`);
    expect(await text("bans", "-s", daemon.statusAddress)).toBe("Nobody is banned\n");
  });

  test("without a status endpoint cannot be asked", async () => {
    daemon.announce({ status: "off" });
    const { code, stderr } = await daemon.ttgate(["bans"]);
    expect([code, stderr]).toEqual([3, expect.stringMatching(/^ttgate: Cannot ask: [^\n]*--status off[^\n]*\n$/)]);
  });

  test("whose answer is not JSON is not understood", async () => {
    daemon.answers["GET /status"] = [200, "<html>"];
    const { code, stdout, stderr } = await daemon.ttgate(["status"]);
    expect([code, stdout]).toEqual([3, ""]);
    expect(stderr).toMatch(/^ttgate: Cannot ask the gate at "unix:[^\n]*": its answer is not JSON; [^\n]*\n$/);
  });

  test("that is not a gate: 400 to a question without a value is a runtime error", async () => {
    daemon.answers["GET /status"] = [400, {}];
    expect(await daemon.ttgate(["status"])).toMatchObject({ code: 3, stderr: "ttgate: The gate answered 400\n" });
  });
});

describe("an answer that is none of a gate's", () => {
  test.each(["status", "top --once", "why 192.0.2.1", "bans", "reload", "fleet", "lift 192.0.2.1"])(
    "is said to be none in one line: %s",
    async (typed) => {
      for (const body of [{}, [], 7, null, { bans: 1, gates: {}, reasons: "x" }]) {
        for (const what of ["/status", "/readyz", "/bans", "/why/192.0.2.1", "/talkers", "/history", "/fleet"]) {
          daemon.answers[`GET ${what}`] = [200, body];
        }
        daemon.answers["POST /reload"] = [200, body];
        const { code, stderr, stdout } = await daemon.ttgate(typed.split(" "));
        expect([code, stderr.split("\n").length]).toEqual([code === 1 ? 1 : 3, 2]);
        expect(stderr).toMatch(
          /^ttgate: (Cannot read the answer of|The gate answered|This gate is in no fleet|Nothing at )/,
        );
        expect(stdout).toBe("");
      }
    },
  );

  test("without an end is not waited for", async () => {
    await using endless = createServer((_request, response) => {
      response.writeHead(200);
      const pour = () => {
        if (response.destroyed) return;
        response.write("x".repeat(1024 * 1024), () => setImmediate(pour));
      };
      pour();
    });
    const listening = Promise.withResolvers<void>();
    endless.listen(0, "127.0.0.1", () => listening.resolve());
    await listening.promise;
    const { port } = endless.address() as AddressInfo;
    const { code, stderr } = await daemon.ttgate(["status", "--status", `127.0.0.1:${port}`]);
    expect([code, stderr]).toEqual([3, expect.stringContaining("its answer has no end")]);
    endless.closeAllConnections();
  });
});
