// SPDX-License-Identifier: Apache-2.0
// Moments in the time of a host whose clock jumps in March and October.
import { expect, test } from "bun:test";
import process from "node:process";
import { run } from "../harness/child.ts";

const nowMs = Date.UTC(2026, 10, 28, 12);

test("in the host's own time, over the days when it changes", async () => {
  const cases: readonly (readonly [text: string, wanted: string | null])[] = [
    ["2026-11-29T18:30:00Z", "2026-11-29T18:30:00.000Z"],
    ["2026-11-29t18:30:00.5z", "2026-11-29T18:30:00.500Z"],
    ["2026-11-29 18:30:00+05:30", "2026-11-29T13:00:00.000Z"],
    ["2026-11-29 18:30", "2026-11-29T17:30:00.000Z"],
    ["2026-11-29T18:30:15", "2026-11-29T17:30:15.000Z"],
    ["2027-07-01 18:30", "2027-07-01T16:30:00.000Z"],
    ["2026-11-29", "2026-11-28T23:00:00.000Z"],
    ["18:30", "2026-11-28T17:30:00.000Z"],
    ["13:00", "2026-11-29T12:00:00.000Z"],
    ["12:59:59", "2026-11-29T11:59:59.000Z"],
    ["@1796149800", "2026-12-01T18:30:00.000Z"],
    ["1796149800", "2026-12-01T18:30:00.000Z"],
    ...["2026-02-30", "2026-13-01", "2026-11-29T25:00:00Z", "24:00", "12:60", "soon", "", "tomorrow", "29.11.2026"].map(
      (text) => [text, null] as const,
    ),
  ];
  const program = `
    import { parseMoment } from ${JSON.stringify(`${process.cwd()}/src/cli/moment.ts`)};
    const texts = JSON.parse(process.argv.at(-1));
    const asText = (atMs) => atMs === undefined ? null : new Date(atMs).toISOString();
    console.log(JSON.stringify(texts.map((text) => asText(parseMoment(text, ${nowMs})))));`;
  const texts = JSON.stringify(cases.map(([text]) => text));
  const answer = await run([process.execPath, "-e", program, texts], { env: { TZ: "Europe/Berlin" } });
  expect(answer.stderr).toBe("");
  const found = JSON.parse(answer.stdout) as unknown[];
  expect(cases.map(([text], index) => [text, found[index]])).toEqual(cases.map(([text, wanted]) => [text, wanted]));
});
