// SPDX-License-Identifier: Apache-2.0
// What the engine may answer, however it comes in pieces, and what it may not.
import { expect, test } from "bun:test";
import { Decoder } from "@redis/client/dist/lib/RESP/decoder.js";
import fc from "fast-check";
import { boundReplies, ReplyBounds } from "../../../src/sources/fleet/reply_bounds.ts";

const line = fc.string({ unit: fc.constantFrom(..."abc -:*$1\n") }).map((text) => text.replaceAll("\n", ""));
const { reply } = fc.letrec<{ reply: string }>((tie) => ({
  reply: fc.oneof(
    { maxDepth: 4 },
    line.map((text) => `+${text}\r\n`),
    line.map((text) => `-${text}\r\n`),
    fc.integer().map((number) => `:${number}\r\n`),
    fc.constantFrom("$-1\r\n", "*-1\r\n", "*0\r\n", "$0\r\n\r\n"),
    fc.string({ unit: "binary-ascii" }).map((text) => `$${text.length}\r\n${text}\r\n`),
    fc.array(tie("reply"), { maxLength: 12 }).map((parts) => `*${parts.length}\r\n${parts.join("")}`),
  ),
}));

function looked(...pieces: readonly string[]): void {
  const bounds = new ReplyBounds();
  for (const piece of pieces) bounds.look(Buffer.from(piece, "latin1"));
}

test("replies as servers write them, in whatever pieces they come", () => {
  fc.assert(
    fc.property(
      fc.array(reply, { maxLength: 5 }),
      fc.array(fc.nat({ max: 60 }), { maxLength: 30 }),
      (replies, cuts) => {
        const bounds = new ReplyBounds();
        let rest = Buffer.from(replies.join(""), "latin1");
        for (const cut of cuts) {
          bounds.look(rest.subarray(0, cut));
          rest = rest.subarray(cut);
        }
        bounds.look(rest);
        // Nothing is left open: the limits are those of the next reply alone.
        bounds.look(Buffer.from("*100000\r\n"));
        expect(() => bounds.look(Buffer.from("*1\r\n"))).toThrow("a reply of 100001 parts");
      },
    ),
  );
});

test("a page of records, and one after the other without an end", () => {
  const record = `$10\r\n0123456789\r\n$400\r\n${"x".repeat(400)}\r\n`;
  const bounds = new ReplyBounds();
  const page = Buffer.from(`*2\r\n$1\r\n0\r\n*1000\r\n${record.repeat(500)}`);
  for (let n = 0; n < 500; n++) bounds.look(page);
});

test("what says that it is more than any honest reply is none", () => {
  expect(() => looked("*99999999\r\n")).toThrow("a reply of 99999999 parts");
  expect(() => looked("*2\r\n*99", "999\r\n*1\r\n")).toThrow("a reply of 100001 parts");
  expect(() => looked("*90000\r\n".repeat(2))).toThrow("a reply of 180000 parts");
  expect(() => looked("*2\r\n$20000000\r\n", "x".repeat(20_000_002), "$20000000\r\n")).toThrow("bytes");
  expect(() => looked("$999999999999\r\n")).toThrow("bytes");
  expect(() => looked(...Array.from({ length: 40 }, () => "+".repeat(1e6)))).toThrow("bytes");
});

test("what the decoder might read in another way is no reply", () => {
  const notRead = ["$\r\n", "*-\r\n", "*-2\r\n", "*-11\r\n", "*1x\r\n", "$:\r\n", "+a\rb\r\n", "$1\r\rx", "%1\r\n"];
  for (const text of notRead) expect(() => looked(`${text}\r\n`)).toThrow("not RESP 2");
});

test("the library's decoder is within these bounds, and begins anew when it is reset", () => {
  boundReplies();
  boundReplies();
  const replies: unknown[] = [];
  const decoder = new Decoder({
    onReply: (one) => replies.push(one),
    onErrorReply: () => {},
    onPush: () => {},
    getTypeMapping: () => ({}),
  });
  expect(() => decoder.write(Buffer.from("+OK\r\n*99999999\r\n"))).toThrow("parts");
  decoder.reset();
  decoder.write(Buffer.from("*2\r\n$1\r\na\r\n"));
  decoder.write(Buffer.from(":1\r\n"));
  expect(replies).toEqual([["a", 1]]);
});
