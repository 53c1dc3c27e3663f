// SPDX-License-Identifier: Apache-2.0
// Which accepted connection is one that this process opened: both ends count, as they were before NAT.
import { expect, test } from "bun:test";
import { isSame } from "../../src/gate/rings.ts";

const end = (text: string) => {
  const at = text.lastIndexOf(":");
  return { address: text.slice(0, at), port: Number(text.slice(at + 1)) };
};
const opened = { local: end("127.0.0.1:40000"), remote: end("127.0.0.2:5000") };

test.each([
  ["both ends, as a dual-stack listener has them", "::ffff:127.0.0.1:40000", "::ffff:127.0.0.2:5000", undefined, true],
  ["an end that NAT has changed", "127.0.0.1:40000", "127.0.0.1:5001", "127.0.0.2:5000", true],
  ["a port that leads elsewhere too", "127.0.0.1:40000", "127.0.0.1:5001", undefined, false],
  ["a port that leads elsewhere too, which NAT knows", "127.0.0.1:40000", "127.0.0.1:5001", "127.0.0.1:5001", false],
  ["another port", "127.0.0.1:40001", "127.0.0.2:5000", "127.0.0.2:5000", false],
  ["another address", "127.0.0.3:40000", "127.0.0.2:5000", undefined, false],
])("%s", (_, remote, local, before, same) => {
  const accepted = { remote: end(remote), local: end(local) };
  expect(isSame(opened, accepted, () => (before === undefined ? undefined : end(before)))).toBe(same);
});
