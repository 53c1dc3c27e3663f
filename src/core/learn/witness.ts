// SPDX-License-Identifier: Apache-2.0
// What a server made of a client, seen from the first bytes of both: it answered and stayed or answered again, or
// it hung up without a byte. Everything else says nothing about the client. Knows nothing of sockets.
import { type Recording, recordedBytes, type ServerVerdict } from "./recording.ts";

/** A server that answers a stranger mostly says what is wrong and hangs up at once. */
export const stayMs = 1000;

export class Witness {
  /** The server said something before it had a byte of the client. */
  spokeFirst = false;
  /** When the server answered. */
  answeredMs: number | undefined;
  readonly #atMs: number;
  readonly #kept: Uint8Array[] = [];
  #keptBytes = 0;
  #totalBytes = 0;
  #clientEnded = false;
  /** The client said more after the answer, and the server answered that, too. */
  #hasMore = false;
  #hasCarriedOn = false;

  /** @param atMs when the connection was accepted, milliseconds since 1970. */
  constructor(atMs: number) {
    this.#atMs = atMs;
  }

  sent(bytes: Uint8Array): void {
    if (this.answeredMs !== undefined) {
      this.#hasMore = true;
      return;
    }
    this.#totalBytes += bytes.length;
    const room = recordedBytes - this.#keptBytes;
    if (room <= 0) return;
    // A copy: a view would keep the whole of a large read in memory.
    const kept = bytes.slice(0, room);
    this.#kept.push(kept);
    this.#keptBytes += kept.length;
  }

  /** @returns the verdict, where it is certain now. */
  clientEnded(): ServerVerdict | undefined {
    this.#clientEnded = true;
    return this.answeredMs === undefined ? undefined : "accepted";
  }

  /** @returns the verdict, where it is certain now; undefined: accepted when the server has stayed for `stayMs`. */
  answered(nowMs: number): ServerVerdict | undefined {
    // A greeting says nothing of the client; what comes after its first bytes does.
    if (this.#totalBytes === 0) {
      this.spokeFirst = true;
      return undefined;
    }
    this.#hasCarriedOn ||= this.#hasMore;
    this.answeredMs ??= nowMs;
    return this.#clientEnded ? "accepted" : undefined;
  }

  /** Perhaps by ourselves; or it left without reading the server's leave. */
  clientReset(): ServerVerdict {
    return this.#hasCarriedOn ? "accepted" : "unknown";
  }

  /** The server hung up, by FIN or RST. */
  serverEnded(): ServerVerdict {
    // It took leave of a client that it had understood.
    if (this.#hasCarriedOn) return "accepted";
    if (this.#totalBytes === 0 || this.#clientEnded || this.answeredMs !== undefined) return "unknown";
    return "refused";
  }

  recording(server: ServerVerdict): Recording {
    const bytes = new Uint8Array(this.#keptBytes);
    let filled = 0;
    for (const part of this.#kept) {
      bytes.set(part, filled);
      filled += part.length;
    }
    const greeted = this.spokeFirst ? { greeted: true as const } : {};
    return { atMs: this.#atMs, bytes, totalBytes: this.#totalBytes, server, ...greeted };
  }
}
