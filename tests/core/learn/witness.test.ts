// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "bun:test";
import { recordedBytes } from "../../../src/core/learn/recording.ts";
import { Witness } from "../../../src/core/learn/witness.ts";

function witness(...sent: readonly number[]): Witness {
  const made = new Witness(5);
  if (sent.length > 0) made.sent(Uint8Array.from(sent));
  return made;
}

describe("a server that", () => {
  test("answers is waited for, and is a welcome when the client ends first", () => {
    const seen = witness(1, 2);
    expect(seen.answered(100)).toBeUndefined();
    expect(seen.clientEnded()).toBe("accepted");
    expect(seen.answeredMs).toBe(100);
  });

  test("answers and hangs up says nothing", () => {
    const seen = witness(1);
    seen.answered(100);
    expect(seen.serverEnded()).toBe("unknown");
  });

  test("hangs up without a byte refuses", () => {
    expect(witness(1).serverEnded()).toBe("refused");
  });

  test("answers a client that is done welcomes it at once", () => {
    const seen = witness(1);
    expect(seen.clientEnded()).toBeUndefined();
    expect(seen.answered(1)).toBe("accepted");
  });

  test("hangs up on a client that was done, or said nothing, says nothing", () => {
    const done = witness(1);
    done.clientEnded();
    expect([done.serverEnded(), witness().serverEnded()]).toEqual(["unknown", "unknown"]);
  });

  test("hangs up after it answered once, says nothing; after it went on, that it understood the client", () => {
    const once = witness(1);
    once.answered(1);
    expect(once.serverEnded()).toBe("unknown");
    const leaving = witness(1);
    leaving.answered(1);
    leaving.sent(Uint8Array.of(2));
    leaving.answered(2);
    expect([once.clientReset(), leaving.clientReset(), leaving.serverEnded()]).toEqual([
      "unknown",
      "accepted",
      "accepted",
    ]);
  });

  test("speaks first says nothing of the client", () => {
    const seen = witness();
    expect([seen.answered(1), seen.spokeFirst]).toEqual([undefined, true]);
  });
});

test("what was sent until the answer is kept, up to a bound, and counted", () => {
  const seen = witness(1, 2);
  seen.sent(new Uint8Array(recordedBytes).fill(7));
  seen.answered(1);
  seen.sent(Uint8Array.of(9));
  const { atMs, bytes, totalBytes, server } = seen.recording("accepted");
  expect([atMs, bytes.length, totalBytes, server]).toEqual([5, recordedBytes, recordedBytes + 2, "accepted"]);
  expect([...bytes.subarray(0, 3), bytes.at(-1)]).toEqual([1, 2, 7, 7]);
});
