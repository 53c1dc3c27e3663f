// SPDX-License-Identifier: Apache-2.0
// Connects with a time limit, all on one timer: thousands of connects a second would spend their time on timers.
import type { ConnectTarget, Runtime, SocketEvents, TcpSocket } from "../runtime/types.ts";

/** A server on the same site answers in milliseconds; 3 s covers one lost SYN (RFC 6298: 1 s, then 2 s). */
const connectTimeoutMs = 3500;

/** A connect that is under way. */
interface Attempt {
  readonly endsMs: number;
  readonly reject: (error: Error) => void;
}

export class Connects {
  readonly #connect: Runtime["connect"];
  readonly #attempts = new Set<Attempt>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(connect: Runtime["connect"]) {
    this.#connect = connect;
  }

  /** @param answered called when the kernel has an answer, perhaps long after the time limit. */
  open(target: ConnectTarget, events: SocketEvents, answered: () => void): Promise<TcpSocket> {
    return new Promise((resolve, reject) => {
      const attempt: Attempt = { endsMs: performance.now() + connectTimeoutMs, reject };
      this.#attempts.add(attempt);
      this.#watch(connectTimeoutMs);
      this.#connect(target, events).then(
        (socket) => {
          answered();
          if (this.#attempts.delete(attempt)) resolve(socket);
          else socket.reset();
        },
        (error: unknown) => {
          answered();
          this.#attempts.delete(attempt);
          reject(error);
        },
      );
    });
  }

  /** All attempts may take equally long, so the first one to end is the first that is still there. */
  #watch(afterMs: number): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      const nowMs = performance.now();
      for (const attempt of this.#attempts) {
        if (attempt.endsMs > nowMs) {
          this.#watch(attempt.endsMs - nowMs);
          return;
        }
        this.#attempts.delete(attempt);
        attempt.reject(new Error(`no answer within ${connectTimeoutMs / 1000} s`));
      }
    }, afterMs);
  }
}
