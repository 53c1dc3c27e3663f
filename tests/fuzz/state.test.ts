// SPDX-License-Identifier: Apache-2.0
// A state file that a disk, a crash or a person damaged anywhere: every line that is whole counts, the others are
// told, and nobody is banned whom no line names.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { requirePrefix } from "../../src/core/address.ts";
import { Bans } from "../../src/core/bans/bans.ts";
import type { Claim } from "../../src/core/bans/claim.ts";
import { Enforcement } from "../../src/core/bans/enforcement.ts";
import { NeverBan } from "../../src/core/bans/never_ban.ts";
import { Offenders } from "../../src/core/bans/offenders.ts";
import { newBanCounters } from "../../src/core/counters.ts";
import { journalHead, journalLine } from "../../src/daemon/state/journal.ts";
import { readState } from "../../src/daemon/state/read_state.ts";
import { takeUp } from "../../src/daemon/state/state.ts";
import { createRandom, pick, type Random } from "../harness/random.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { fuzz, fuzzTimeoutMs } from "./fuzzer.ts";
import { mutateBytes } from "./mutate.ts";

setDefaultTimeout(fuzzTimeoutMs);

const moment = { nowMs: 1_000_000, wallMs: 1_800_000_000_000 };
const sources = [
  ...Array.from({ length: 12 }, (_, index) => `192.0.2.${index + 1}`),
  "2001:db8::/64",
  "198.51.100.0/24",
];

let directory: TempDir;
beforeAll(() => {
  directory = new TempDir();
});
afterAll(() => directory[Symbol.dispose]());

function claim(random: Random): Claim {
  return {
    origin: pick(random, ["sniffer", "operator", "list:x", "gate:y"] as const),
    reason: pick(random, ["http", "manual", "ü\u2028"]),
    sinceMs: random(1_000_000),
    untilMs: random(4) === 0 ? Number.POSITIVE_INFINITY : 2_000_000 + random(1_000_000),
    evidence:
      random(2) === 0
        ? undefined
        : { firstBytes: Uint8Array.of(1, 2, 3), clientAddress: "192.0.2.1", clientPort: 1, gatePort: 5000 },
  };
}

function lines(random: Random): string[] {
  return sources.map((source) => {
    const offender = random(3) === 0 ? { bans: 1 + random(9), untilMs: 5_000_000 } : undefined;
    return journalLine(
      { source, claims: Array.from({ length: 1 + random(2) }, () => claim(random)), offender },
      moment,
    );
  });
}

function fileOf(random: Random): Uint8Array {
  return new TextEncoder().encode(`${journalHead}\n${lines(random).join("")}`);
}

/** Nothing of a ban is lost or made up. @returns the sources that are banned. */
async function tookUp(bytes: Uint8Array): Promise<{ readonly banned: Set<string>; readonly damaged: number }> {
  const path = directory.write("bans", bytes);
  const bans = new Bans(10_000, 64);
  const enforcement = new Enforcement(bans, new NeverBan(), undefined, newBanCounters());
  const offenders = new Offenders(() => 3_600_000);
  const { damaged } = await takeUp(path, { enforcement, offenders, moment: () => moment });
  return { banned: new Set([...bans.all()].map(({ prefix }) => prefix.text)), damaged };
}

test("bits that flip anywhere cost at most the lines that they are in", async () => {
  for (let seed = 1; seed <= 400; seed++) {
    const random = createRandom(seed);
    const bytes = fileOf(random);
    const headBytes = journalHead.length + 1;
    const at = headBytes + random(bytes.length - headBytes);
    const flipped = bytes.slice();
    flipped[at] = (flipped[at] ?? 0) ^ (1 << random(8));
    const { banned, damaged } = await tookUp(flipped);
    // A newline between two lines makes one of them.
    const lost = sources.length - banned.size;
    expect([seed, at, lost <= (bytes[at] === 10 ? 2 : 1), lost === 0 || damaged > 0]).toEqual([seed, at, true, true]);
  }
});

test("a file that ends anywhere has every line before it", async () => {
  const bytes = fileOf(createRandom(1));
  const ends = [...bytes].flatMap((byte, index) => (byte === 10 ? [index] : [])).slice(1);
  for (let length = journalHead.length + 1; length <= bytes.length; length += 7) {
    const { banned } = await tookUp(bytes.slice(0, length));
    // The last newline is not needed.
    expect([length, banned.size]).toEqual([length, ends.filter((end) => end <= length).length]);
  }
});

test("anything is read, and bans nobody whom no line names", async () => {
  await fuzz(
    {
      name: "state",
      next: (random) => {
        const [bytes, other] = [fileOf(random), fileOf(random)];
        const start = random(bytes.length);
        const piece = mutateBytes(random, bytes.subarray(start, start + 300), other.subarray(random(other.length)));
        return Uint8Array.from([...bytes.subarray(0, start), ...piece, ...bytes.subarray(start + random(400))]);
      },
      async check(bytes) {
        const read: string[] = [];
        const path = directory.write("bans", bytes);
        await readState(
          path,
          () => moment,
          (saved) => read.push(...saved.map(({ prefix }) => prefix.text)),
        );
        for (const source of read) {
          if (requirePrefix(source).text !== source || !sources.includes(source)) throw new Error(`"${source}"`);
        }
        for (const source of (await tookUp(bytes)).banned) {
          if (!sources.includes(source)) throw new Error(`"${source}" is banned`);
        }
      },
    },
    300,
  );
  expect((await tookUp(new Uint8Array())).banned.size).toBe(0);
});
