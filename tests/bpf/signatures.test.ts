// SPDX-License-Identifier: Apache-2.0
// The engine in the kernel (bpf/signatures.h) says what the matcher says: of every vector and every
// prefix of it, and of generated profiles and streams; agreement.ts has what that means.
import { afterAll, describe, expect, test } from "bun:test";
import { tablePrefixBytes } from "../../src/core/signature_table.ts";
import { openLibraries } from "../../src/kernel/libraries.ts";
import { loadProfile } from "../../src/profile.ts";
import { native } from "../../src/runtime/bun_ffi.ts";
import { loadVectors } from "../vectors/vectors.ts";
import { agreementOf } from "./agreement.ts";
import { noKernel } from "./gate.ts";
import { openEngine, readings } from "./inline.ts";

const libraries = await openLibraries(native);
export const inlineProfiles = ["tapetrack", "opaque", "ssh", "tls", "rdp", "mqtt", "redis", "minecraft", "modbus"];

describe.skipIf(noKernel !== undefined)("every prefix of every vector", () => {
  for (const reading of readings) {
    describe(`read by ${reading}`, () => {
      const engine = openEngine(libraries, reading);
      afterAll(() => engine[Symbol.dispose]());

      test.each(inlineProfiles)("profile %s", (name) => {
        const agreement = agreementOf(loadProfile(name), [engine]);
        if (!("table" in agreement)) throw new Error(agreement.join("; "));
        for (const { protocol, name: vector, bytes } of loadVectors()) {
          for (let length = 1; length <= Math.min(bytes.length, tablePrefixBytes + 16); length++) {
            const found = agreement.disagreement(bytes, length);
            if (found !== undefined) throw new Error(`${protocol}, ${vector}, ${length} bytes: ${found}`);
          }
        }
        console.log(JSON.stringify(agreement.said));
        expect(Math.min(...Object.values(agreement.said))).toBeGreaterThan(0);
      });
    });
  }
});
