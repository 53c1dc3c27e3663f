// SPDX-License-Identifier: Apache-2.0
// Lists that are none, or that never end: read so far and no further, and told.
import { expect, test } from "bun:test";
import { Readable } from "node:stream";
import { sendList } from "../../src/cli/ban_list.ts";
import type { Env } from "../../src/cli/env.ts";

function* repeated(text: string): Generator<string, void, void> {
  for (;;) yield text;
}

/** @returns what was said, and what reached the daemon. */
async function sent(chunks: Iterable<string>) {
  const [said, lines] = [[] as string[], [] as string[]];
  const line = (text: string) => said.push(text);
  const stdin = () => Readable.from(chunks, { objectMode: false });
  const env = { stdin, stdout: { line }, stderr: { line } } as unknown as Env;
  const ask = async (_method: string, _path: string, body: unknown) => {
    const got = String(body).split("\n");
    lines.push(...got);
    return { status: 200, body: { done: got.length, failures: [], failedLines: [] } };
  };
  const daemon = { address: "", ask, follow: async () => undefined };
  const list = { daemon, file: "-", path: "/bans/list", done: "Banned", json: false };
  const code = await sendList(list, env).catch((error: unknown) => (error as Error).message);
  return { code, said, lines };
}

test("what is no text, has no end of a line or nothing but mistakes is no list, however long it is", async () => {
  expect((await sent(repeated("\0".repeat(1000)))).code).toBe(
    'Cannot read "-" as a list of sources: it has a byte of zero, give it as UTF-8 text; docs/lists.md has the forms',
  );
  const long = await sent(repeated("1".repeat(1024 * 1024)));
  expect(long.code).toMatch(/^Cannot read "-" as a list of sources: a line is longer than 128 MiB;/);
  const wrong = await sent(repeated("192.0.2.1 for long\n".repeat(1000)));
  expect(wrong.code).toMatch(
    /^Cannot read "-" as a list of sources: 1\d{5} lines are refused, line 1 for: Invalid duration "for long"/,
  );
  expect(wrong.lines.filter((line) => line !== "")).toEqual([]);
});

test("what was banned before is told", async () => {
  const sources = Array.from({ length: 100_000 }, (_, at) => `10.${at >> 16}.${(at >> 8) & 255}.${at & 255}`);
  const { code, said, lines } = await sent([`${sources.join("\n")}\n`, "\0"]);
  expect(code).toMatch(/^Cannot read/);
  expect(said).toEqual([`Banned ${lines.length} before that`]);
  expect(lines.length).toBeGreaterThan(50_000);
});
