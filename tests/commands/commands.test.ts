// SPDX-License-Identifier: Apache-2.0
// The commands as they are typed, as processes beside a gate that runs: what they say as text and as JSON,
// their exit codes, and one line on stderr for whatever is wrong. Without a process: program.test.ts.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { describeWith } from "../harness/needs.ts";
import { probeFrom } from "../harness/probe.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { waitFor } from "../harness/wait.ts";
import { type Gate, Loopback } from "./bed.ts";

setDefaultTimeout(20_000);

describeWith("namespaces")("commands", () => {
  let stack: AsyncDisposableStack;
  let loopback: Loopback;
  let gate: Gate;

  beforeAll(async () => {
    stack = new AsyncDisposableStack();
    loopback = stack.use(new Loopback());
    stack.use(await loopback.server());
    const flags = ["-l", "127.0.0.1:5000", "--never-ban", "none", "--allow", "198.51.100.0/24", "-a", "2001:db8:7::1"];
    gate = stack.use(await loopback.gate(flags));
    await gate.child.said(/is reachable/);
  });

  afterAll(() => stack.disposeAsync());

  async function text(...args: readonly string[]): Promise<string> {
    const result = await loopback.ttgate(args);
    expect([args, result.code, result.stderr]).toEqual([args, 0, ""]);
    return result.stdout;
  }

  async function json(...args: readonly string[]): Promise<Record<string, unknown>> {
    return JSON.parse(await text(...args, "--json")) as Record<string, unknown>;
  }

  /** @returns the one line on stderr. */
  async function refused(code: number, args: readonly string[], env = {}): Promise<string> {
    const result = await loopback.ttgate(args, { env });
    const lines = result.stderr.split("\n");
    expect([args, result.code, result.stdout, lines.length, lines[1]]).toEqual([args, code, "", 2, ""]);
    expect(lines[0]).toMatch(/^ttgate: [^\p{Cc}]+$/u);
    return lines[0] ?? "";
  }

  test("version", async () => {
    expect(await text("version")).toMatch(/^ttgate \d+\.\d+\.\d+\S* \(bun \S+\)\n$/);
    expect(await text("--version")).toBe(await text("version"));
    expect(await json("version")).toMatchObject({
      version: expect.stringMatching(/^\d/),
      runtime: expect.stringMatching(/^bun/),
    });
  });

  test("help", async () => {
    const help = await text("--help");
    expect(help).toStartWith("Usage: ttgate [run] [options]\n");
    expect(help).toEndWith("3  runtime error\n");
    expect(await text("bans", "--help")).toStartWith("Usage: ttgate bans [options]\n");
  });

  test("status", async () => {
    const said = await text("status");
    for (const part of ["127.0.0.1:5000", "tapetrack", "127.0.0.1:5001 (reachable)", "198.51.100.0/24 (--allow)"]) {
      expect(said).toContain(part);
    }
    expect(said).not.toMatch(/undefined|null|NaN|\[object/);
    expect(await json("status")).toMatchObject({
      pid: gate.child.pid,
      listen: "127.0.0.1:5000",
      upstreams: [{ address: "127.0.0.1:5001", reachable: true }],
      kernel: { attach: "none" },
    });
    expect(await text("status", "-s", "127.0.0.1:9500")).toContain("127.0.0.1:5001");
  });

  test("ban, bans, why and lift go together", async () => {
    expect(await text("bans")).toBe("Nobody is banned\n");
    expect(await text("ban", "192.0.2.1", "--for", "1h30m")).toBe("Banned 192.0.2.1 for 1h30m\n");
    expect(await text("ban", "2001:db8::1", "-f", "ever")).toBe("Banned 2001:db8::/64 for ever\n");
    expect(await json("ban", "192.0.2.128/25")).toMatchObject({ source: "192.0.2.128/25", by: "operator" });
    const rows = (await text("bans")).trimEnd().split("\n");
    expect(rows.map((row) => row.split(/ {2,}/).slice(0, 3))).toEqual([
      ["SOURCE", "PROTOCOL", "BY"],
      ["192.0.2.128/25", "manual", "operator"],
      ["2001:db8::/64", "manual", "operator"],
      ["192.0.2.1", "manual", "operator"],
    ]);
    expect(await json("bans", "--limit", "1")).toMatchObject({ total: 3, bans: [{ source: "192.0.2.128/25" }] });
    expect(await text("bans", "-n", "1")).toContain("The newest 1 of 3 are shown: more with --limit");
    expect(await text("why", "192.0.2.130")).toContain("192.0.2.130 is banned (192.0.2.128/25)");
    expect(await json("why", "203.0.113.1")).toMatchObject({ ban: null, neverBanned: null });
    // Twice is no error, and shortens nothing.
    expect(await text("ban", "192.0.2.1", "--for", "1m")).toMatch(/^Banned 192\.0\.2\.1 for 1h(30m|29m(\d+s)?)\n$/);
    expect(await text("bans", "-q", "--in", "192.0.2.0/24", "--sort", "source")).toBe("192.0.2.1\n192.0.2.128/25\n");
    expect((await json("why", "192.0.2.0/24"))["within"]).toMatchObject({ total: 2 });
    expect(await text("why", "192.0.2.0/24")).toContain("inside:   2 bans\n");
    expect(await text("unban", "192.0.2.1")).toBe("Lifted 192.0.2.1\n");
    expect(await text("lift", "192.0.2.1", "--idempotent")).toBe('Not banned: "192.0.2.1"\n');
    expect(await json("lift", "192.0.2.0/24")).toEqual({ lifted: ["192.0.2.128/25"] });
    expect(await text("lift", "2001:db8::77")).toBe("Lifted 2001:db8::/64\n");
    expect(await text("bans")).toBe("Nobody is banned\n");
  });

  test("an address whose network holds a protected one is banned alone where that is said", async () => {
    const line = await refused(1, ["ban", "2001:db8:7::7"]);
    expect(line).toContain("2001:db8:7::1 is never banned (--allow); 2001:db8:7::7/128 bans this address alone");
    expect(await text("ban", "2001:db8:7::7/128")).toContain("Banned 2001:db8:7::7 for 10m");
    expect(await text("lift", "2001:db8:7::7/128")).toBe("Lifted 2001:db8:7::7\n");
    expect(await refused(1, ["ban", "2001:db8:7::1"])).not.toContain("alone");
  });

  test("who speaks another protocol is in the list, with what it said; its log lines are lines", async () => {
    const from = "127.0.0.77";
    const said = new TextEncoder().encode("GET /\u001b[2J\u0007\n2026-01-01 error forged HTTP/1.0\r\n\r\n");
    const before = gate.child.stderr.length;
    const { outcome } = await probeFrom(loopback.name, { host: "127.0.0.1", port: 5000, from, send: [said] });
    expect(outcome).toBe("reset");
    expect(await text("why", from)).toContain("GET /\\x1b[2J\\x07\\n2026");
    expect(await json("bans")).toMatchObject({ bans: [{ source: from, protocol: "http", by: "sniffer" }] });
    await waitFor("the log line", () => gate.child.stderr.slice(before).includes("Banned"));
    const lines = gate.child.stderr.slice(before).trimEnd().split("\n");
    expect(lines.filter((line) => line.includes("forged"))).toHaveLength(0);
    for (const line of lines) expect(line).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z (info|warn|error) [^\p{Cc}]+$/u);
    await text("lift", from);
  });

  test("a list from a file and from stdin, its mistakes told by their lines", async () => {
    using directory = new TempDir();
    const file = directory.write("list", "192.0.2.1\nnobody\n192.0.2.2 1h # why\n");
    const result = await loopback.ttgate(["ban", "--from", file]);
    expect(result).toMatchObject({ code: 1, stdout: "Banned 2, 1 lines refused\n" });
    expect(result.stderr).toStartWith(`${file}:2: Invalid address "nobody"`);
    const lifted = await loopback.ttgate(["lift", "--from", "-", "--json"], { input: "192.0.2.1\n192.0.2.2\n" });
    expect([lifted.code, JSON.parse(lifted.stdout)]).toEqual([
      0,
      { done: 2, failed: 0, failures: [], failedLines: [] },
    ]);
    const whole = Array.from({ length: 30_000 }, (_, number) => `10.9.${number >> 8}.${number & 255}`).join("\n");
    expect(await loopback.ttgate(["ban", "--from", "-"], { input: whole })).toMatchObject({
      code: 0,
      stdout: "Banned 30000\n",
    });
    expect(await loopback.ttgate(["lift", "--from", "-"], { input: whole })).toMatchObject({
      stdout: "Lifted 30000\n",
    });
  });

  test("a list that is none is told in a line that can be read, however long its own is", async () => {
    const { code, stderr } = await loopback.ttgate(["ban", "--from", "-"], { input: "z".repeat(1_000_000) });
    expect([code, stderr]).toEqual([
      1,
      `-:1: Invalid address "${"z".repeat(100)}…": expected such as 192.0.2.1, 192.0.2.0/24 or 2001:db8::1\n`,
    ]);
  });

  test.each<[readonly string[], string]>([
    [["ban", "1.2.3"], 'Invalid address "1.2.3"'],
    [["bans", "--limit", "some"], 'Invalid --limit "some"'],
    [["bans", "--limit", ""], 'Invalid --limit ""'],
    [["ban", "1\n2\u001b[2J\u202e"], "Invalid address"],
    [["stauts"], '"stauts"'],
    [["foo\nbar\u001b[31m\u009b2J"], "foo bar\\u001b[31m\\u009b2J"],
  ])("%j is a usage error in one line", async (args, words) => {
    expect(await refused(2, args)).toContain(words);
  });

  test.each<[readonly string[], string]>([
    [["ban", "198.51.100.7"], "198.51.100.0/24 is never banned (--allow)"],
    [["ban", "10.0.0.0/8"], "--force"],
    [["lift", "203.0.113.1"], 'Not banned: "203.0.113.1"'],
  ])("%j was understood and refused: one line", async (args, words) => {
    expect(await refused(1, args)).toContain(words);
  });

  test("a gate that does not answer is a runtime error: one line", async () => {
    expect(await refused(3, ["status", "-s", "127.0.0.1:5001"])).toContain('"127.0.0.1:5001"');
  });

  test("a wrong token is told, with what to do", async () => {
    const line = await refused(3, ["ban", "192.0.2.1"], { TTGATE_TOKEN: "wrong" });
    expect(line).toContain('Not allowed by the gate at "127.0.0.1:9500"');
    expect(line).toContain("TTGATE_TOKEN");
    expect(await loopback.ttgate(["status"], { env: { TTGATE_TOKEN: "wrong" } })).toMatchObject({ code: 0 });
  });

  test("doctor says what is missing, and its exit code too", async () => {
    const flags = ["-l", "127.0.0.1:5999", "-u", "127.0.0.1:5001", "-c", "/dev/null"];
    expect(await text("doctor", ...flags)).toContain("This host is ready");
    const bad = await loopback.ttgate(["doctor", ...flags, "-u", "127.0.0.1:1", "-l", "127.0.0.1:9500", "--json"]);
    expect([bad.code, bad.stderr]).toEqual([1, ""]);
    const { ready, findings } = JSON.parse(bad.stdout);
    expect(ready).toBe(false);
    const bads = findings.filter(({ state }: { state: string }) => state === "bad");
    expect(bads.map(({ name }: { name: string }) => name).sort()).toEqual(["port", "upstream"]);
    for (const { remedy } of bads) expect(remedy).toMatch(/\S/);
  });
});
