// SPDX-License-Identifier: Apache-2.0
// Connects with a time limit, all on one timer: thousands of connects a second would spend their time on timers.
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
const connectTimeoutMs = 3500;

export class Connects {
  readonly #dial: Runtime["dial"];
  readonly #attempts = new Set<Attempt>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(dial: Runtime["dial"]) {
    this.#dial = dial;
  }

  /** The upstream's `unanswered` is up until the kernel has an answer, perhaps long after the time limit. */
  dial(upstream: Upstream, target: ConnectTarget, events: SocketEvents, dialler: Dialler): void {
    const attempt = new Attempt(this.#attempts, upstream, dialler);
    upstream.unanswered++;
    this.#attempts.add(attempt);
    this.#watch(connectTimeoutMs);
    this.#dial(target, events, attempt);
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
        attempt.dialler.failed(new Error(`no answer within ${connectTimeoutMs / 1000} s`));
      }
    }, afterMs);
  }
}

/** A connect that is under way. */
class Attempt implements Dialler {
  readonly endsMs = performance.now() + connectTimeoutMs;
  readonly dialler: Dialler;
  readonly #attempts: Set<Attempt>;
  readonly #upstream: Upstream;

  constructor(attempts: Set<Attempt>, upstream: Upstream, dialler: Dialler) {
    this.#attempts = attempts;
    this.#upstream = upstream;
    this.dialler = dialler;
  }

  connected(socket: TcpSocket): void {
    this.#upstream.unanswered--;
    if (this.#attempts.delete(this)) this.dialler.connected(socket);
    else {
      // Who was to hear of it has another connection by now.
      socket.events = silentEvents;
      socket.reset();
    }
  }

  failed(error: unknown): void {
    this.#upstream.unanswered--;
    if (this.#attempts.delete(this)) this.dialler.failed(error);
  }
}
