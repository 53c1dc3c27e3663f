// SPDX-License-Identifier: Apache-2.0
// Connects with a time limit, all on one timer: thousands of connects a second would spend their time on timers.
import { Chain, type Chained } from "../core/chain.ts";
import {
  type ConnectTarget,
  type Dialler,
  type Runtime,
  type SocketEvents,
  silentEvents,
  type TcpSocket,
} from "../runtime/types.ts";
import type { Upstream } from "./upstream.ts";

/** A server on the same site answers in milliseconds; 3 s covers one lost SYN (RFC 6298: 1 s, then 2 s). */
export const connectTimeoutMs = 3500;
export const noAnswer = `no answer within ${connectTimeoutMs / 1000} s`;

export class Connects {
  readonly #dial: Runtime["dial"];
  readonly #attempts = new Chain<Attempt>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(dial: Runtime["dial"]) {
    this.#dial = dial;
  }

  /** The upstream's `unanswered` is up until the kernel has an answer, perhaps long after the time limit. */
  dial(upstream: Upstream, target: ConnectTarget, events: SocketEvents, dialler: Dialler): void {
    const attempt = new Attempt(upstream, dialler);
    upstream.unanswered++;
    this.#attempts.append(attempt);
    this.#watch(connectTimeoutMs);
    this.#dial(target, events, attempt);
  }

  /** All attempts may take equally long, so the first one to end is the first that is still there. */
  #watch(afterMs: number): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      const nowMs = performance.now();
      for (let attempt = this.#attempts.first; attempt !== undefined; attempt = this.#attempts.first) {
        if (attempt.endsMs > nowMs) {
          this.#watch(attempt.endsMs - nowMs);
          return;
        }
        attempt.end()?.failed(new Error(noAnswer));
      }
    }, afterMs);
  }
}

/** A connect that is under way. */
class Attempt implements Dialler, Chained<Attempt> {
  chain: Chain<Attempt> | undefined;
  previous: Attempt | undefined;
  next: Attempt | undefined;
  readonly endsMs = performance.now() + connectTimeoutMs;
  readonly #upstream: Upstream;
  #dialler: Dialler | undefined;

  constructor(upstream: Upstream, dialler: Dialler) {
    this.#upstream = upstream;
    this.#dialler = dialler;
  }

  connected(socket: TcpSocket): void {
    this.#upstream.unanswered--;
    const dialler = this.end();
    if (dialler !== undefined) {
      dialler.connected(socket);
      return;
    }
    // Who was to hear of it has another connection by now.
    socket.events = silentEvents;
    socket.reset();
  }

  failed(error: unknown): void {
    this.#upstream.unanswered--;
    this.end()?.failed(error);
  }

  /** Nobody waits for it any more. @returns who did. */
  end(): Dialler | undefined {
    const dialler = this.#dialler;
    this.#dialler = undefined;
    this.chain?.remove(this);
    return dialler;
  }
}
