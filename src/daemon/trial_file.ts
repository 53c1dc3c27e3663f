// SPDX-License-Identifier: Apache-2.0
// Where a trial outlives the process, so that a restart neither begins it anew nor ends it early.
import { existsSync, readFileSync } from "node:fs";
import { z } from "zod";
import type { SavedTrial } from "../core/trial/trial.ts";
import { writeWhole } from "../host/atomic_file.ts";

const schema = z.strictObject({
  version: z.literal(1),
  fingerprint: z.string(),
  observedMs: z.number().min(0),
  passedMs: z.number().min(0).optional(),
  turnedAway: z.array(z.strictObject({ source: z.string(), reason: z.string() })),
  good: z.array(z.string()),
});

/** @returns undefined where there is none. @throws Error when it cannot be read. */
export function readTrial(path: string): SavedTrial | undefined {
  if (!existsSync(path)) return undefined;
  const { version: _, ...saved } = schema.parse(JSON.parse(readFileSync(path, "utf8")));
  return saved;
}

/** @throws Error when it cannot be written. */
export function writeTrial(path: string, saved: SavedTrial): void {
  writeWhole(path, `${JSON.stringify({ version: 1, ...saved })}\n`, true, 0o600);
}
