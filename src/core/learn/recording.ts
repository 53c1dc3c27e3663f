// SPDX-License-Identifier: Apache-2.0
// What is kept of a connection, to learn from it or to try another profile on it: one JSON object a
// line. It holds clients' data. Knows nothing of files.
import { z } from "zod";

/** What the server made of the client: answered and stayed, hung up without a byte, or neither yet. */
export type ServerVerdict = "accepted" | "refused" | "unknown";

export interface Recording {
  /** When the connection was accepted, milliseconds since 1970. */
  readonly atMs: number;
  /** The client's first bytes, as many as were kept. */
  readonly bytes: Uint8Array;
  /** How many bytes the client sent before the server answered or the client fell silent. */
  readonly totalBytes: number;
  readonly server: ServerVerdict;
  /** A pseudonym of where the client came from; recordings of earlier versions have none. */
  readonly source?: string | undefined;
  /** The server spoke before the client had said anything. */
  readonly greeted?: true | undefined;
}

/** More of a connection is not kept: twice what any profile may need is of no use to one. */
export const recordedBytes = 4096;

const lineSchema = z
  .strictObject({
    // What a date can hold (ECMA-262 21.4.1.1).
    atMs: z.number().min(0).max(8.64e15),
    hex: z.string().regex(/^(?:[0-9a-f]{2})*$/, "Bytes are pairs of hexadecimal digits in small letters"),
    totalBytes: z.int().min(0),
    server: z.enum(["accepted", "refused", "unknown"]),
    source: z.string().max(64).optional(),
    greeted: z.literal(true).optional(),
  })
  .refine(({ hex, totalBytes }) => totalBytes >= hex.length / 2, "There are more bytes than totalBytes says");

/** One line without its end. */
export function recordingLine(recording: Recording): string {
  const kept = recording.bytes.subarray(0, recordedBytes);
  const hex = Array.from(kept, (byte) => byte.toString(16).padStart(2, "0")).join("");
  const { atMs, totalBytes, server, source, greeted } = recording;
  return JSON.stringify({ atMs, hex, totalBytes, server, source, greeted });
}

export type RecordingResult =
  | { readonly kind: "recording"; readonly recording: Recording }
  | { readonly kind: "invalid"; readonly message: string };

export function parseRecording(line: string): RecordingResult {
  let source: unknown;
  try {
    source = JSON.parse(line);
  } catch (error) {
    return { kind: "invalid", message: error instanceof Error ? error.message : String(error) };
  }
  const parsed = lineSchema.safeParse(source);
  if (!parsed.success) {
    const issues = parsed.error.issues.map(({ path, message }) => [...path.map(String), message].join(": "));
    return { kind: "invalid", message: issues.join("; ") };
  }
  const { hex, ...rest } = parsed.data;
  const bytes = Uint8Array.from({ length: hex.length / 2 }, (_, index) =>
    Number.parseInt(hex.slice(index * 2, index * 2 + 2), 16),
  );
  return { kind: "recording", recording: { ...rest, bytes } };
}
