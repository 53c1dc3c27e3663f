// SPDX-License-Identifier: Apache-2.0
// Nobody who speaks a profile's protocol is foreign to the engine in the kernel, however TCP cut what was
// sent, and it says of each cut what the proxy's engine says.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { loadSignatureTable, loadSniffer } from "../../src/config/profile.ts";
import { tablePrefixBytes } from "../../src/core/signature/table.ts";
import { openLibraries } from "../../src/kernel/libraries.ts";
import { native } from "../../src/runtime/bun_ffi.ts";
import { describeWith } from "../harness/needs.ts";
import { loadFirstMessages } from "../vectors/conformance.ts";
import { inlineProfiles } from "../vectors/inline_profiles.ts";
import { type Engine, openEngine, readings, verdictOpen, verdictPass } from "./inline.ts";

const libraries = await openLibraries(native);
const messages = loadFirstMessages();

describeWith("root").each([...readings])("read by %s", (reading) => {
  let engine: Engine;
  beforeAll(() => {
    engine = openEngine(libraries, reading);
  });
  afterAll(() => engine[Symbol.dispose]());

  test.each(inlineProfiles.filter((name) => messages.some(({ profile }) => profile === name)))("%s", (profile) => {
    const sniffer = loadSniffer(profile);
    engine.use(loadSignatureTable(profile).bytes);
    for (const { name, bytes } of messages.filter((message) => message.profile === profile)) {
      const longest = Math.min(bytes.length, tablePrefixBytes);
      for (let length = 1; length <= longest; length++) {
        const { kind } = sniffer.sniff(bytes.subarray(0, length), false);
        const same = kind === "accept" ? verdictPass : verdictOpen;
        expect([name, length, engine.verdict(bytes, length)]).toEqual([name, length, same]);
      }
      expect([name, engine.verdict(bytes, longest)]).toEqual([name, verdictPass]);
    }
  });

  test.each(inlineProfiles)("%s: one byte is evidence against nobody", (profile) => {
    engine.use(loadSignatureTable(profile).bytes);
    for (let byte = 0; byte < 256; byte++)
      expect([byte, [verdictOpen, verdictPass].includes(engine.verdict(Uint8Array.of(byte), 1))]).toEqual([byte, true]);
  });
});
