// SPDX-License-Identifier: Apache-2.0
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import process from "node:process";
import { run } from "../harness/child.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { commandLine } from "./bed.ts";
import { ttgate } from "./fake_env.ts";

const home = process.cwd();
let directory: TempDir;

beforeAll(() => {
  directory = new TempDir();
  directory.write("get", "GET / HTTP/1.0\r\n\r\n");
  directory.write("hi", "hi\n");
  directory.write("modbus", Uint8Array.of(0, 1, 0, 0, 0, 6, 1, 3, 0, 0, 0, 10));
  directory.write("short", Uint8Array.of(0x93, 0x01));
  directory.write(
    "friend",
    Uint8Array.from({ length: 48 }, (_, index) => (index * 149 + 131) % 256),
  );
  directory.write("mine.toml", '[expect]\nkind = "text"\ntext = "TT01"\n');
  directory.write("mine.json", '{"expect": {"kind": "text", "text": "hi"}}');
  directory.write("wrong.toml", 'colour = "red"\n[expect]\nkind = "bytes"\nhex = "1"\n');
  directory.write("broken.toml", "expect = \n");
  directory.write("broken.json", "{");
  process.chdir(directory.path);
});

afterAll(() => {
  process.chdir(home);
  directory[Symbol.dispose]();
});

async function check(args: readonly string[], input = "") {
  const { code, stdout, stderr } = await ttgate(["check", ...args], { input });
  const lines = stdout.trim().split("\n").filter(Boolean);
  return { code, lines: lines.map((line) => JSON.parse(line)), error: stderr };
}

describe("check", () => {
  test("says what each file would get, and fails when one is foreign", async () => {
    const { code, lines } = await check(["get", "modbus", "short", "friend"]);
    expect(code).toBe(1);
    expect(lines).toMatchObject([
      { file: "get", verdict: "foreign", protocol: "http" },
      { file: "modbus", verdict: "foreign", protocol: "modbus" },
      { file: "short", verdict: "undecided", protocol: null },
      { file: "friend", verdict: "accept", protocol: null },
    ]);
  });

  test("says which rule decided, at which byte", async () => {
    const { lines } = await check(["get", "modbus", "short", "friend"]);
    expect(lines).toEqual([
      {
        file: "get",
        verdict: "foreign",
        protocol: "http",
        rule: "http.rules[0]",
        byte: 4,
        reason: 'bytes 47 45 54 20 ("GET ") at 0',
      },
      {
        file: "modbus",
        verdict: "foreign",
        protocol: "modbus",
        rule: expect.stringMatching(/^modbus\.rules\[/),
        byte: null,
        reason: expect.stringContaining("then silence"),
      },
      {
        file: "short",
        verdict: "undecided",
        protocol: null,
        rule: null,
        byte: null,
        reason: expect.stringMatching(/^too few bytes to tell \(2 of the 32 .*: refused, a strike and no ban$/),
      },
      {
        file: "friend",
        verdict: "accept",
        protocol: null,
        rule: "expect",
        byte: 44,
        reason: expect.stringContaining("ciphertext after at most 16 clear bytes"),
      },
    ]);
  });

  test("says so when no rule decided", async () => {
    expect((await check(["-p", "mine.toml", "friend"])).lines).toMatchObject([
      { verdict: "foreign", protocol: "unknown", rule: "default" },
    ]);
  });

  test("reads standard input, in a process too", async () => {
    const foreign = { file: "-", verdict: "foreign", protocol: "ssh" };
    expect((await check(["--json", "-"], "SSH-2.0-x\r\n")).lines).toMatchObject([foreign]);
    const { code, stdout, stderr } = await run(commandLine(["check", "-"]), { input: "SSH-2.0-x\r\n" });
    expect([code, stderr, JSON.parse(stdout)]).toEqual([1, "", expect.objectContaining(foreign)]);
  });

  test("reads no more than the beginning of what has no end", async () => {
    const { code, lines } = await check(["/dev/zero"]);
    expect([code, lines[0]?.verdict]).toEqual([1, "foreign"]);
  });

  test("reads a profile from TOML or JSON", async () => {
    expect((await check(["-p", "./mine.toml", "get"])).code).toBe(1);
    expect(await check(["--profile", "mine.json", "hi"])).toMatchObject({ code: 0, lines: [{ verdict: "accept" }] });
  });

  test.each<[string[], number, string]>([
    [["missing"], 3, 'Read "missing": '],
    [[], 2, "no FILE is given"],
    [["--colour", "get"], 2, "--colour"],
    [["-p", "nosuch", "get"], 2, 'Read profile "nosuch": there is no such built-in profile; use one of tapetrack'],
    [["-p", "nosuch.toml", "get"], 2, 'Read profile "nosuch.toml": there is no such file'],
    [["-p", "./get", "get"], 2, 'Read profile "./get": the format is unknown'],
    [["-p", "broken.toml", "get"], 2, 'Read profile "broken.toml": line 1, column '],
    [["-p", "broken.json", "get"], 2, 'Read profile "broken.json": it is not valid JSON'],
    [["-p", "wrong.toml", "get"], 2, 'Read profile "wrong.toml": 2 problems: '],
  ])("%j exits %d with one line", async (args, exitCode, message) => {
    const { code, lines, error } = await check(args);
    expect(error).toContain(message);
    expect(error.trim().split("\n")).toHaveLength(1);
    expect([code, lines]).toEqual([exitCode, []]);
  });

  test("an invalid profile names every problem with its path", async () => {
    const { error } = await check(["-p", "wrong.toml", "get"]);
    expect(error).toContain('the file: Unrecognized key: "colour"');
    expect(error).toContain("expect.hex: Bytes are pairs");
  });
});
