// SPDX-License-Identifier: Apache-2.0
// The socket that a gate accepts on, over all of the gate's life: waits for an address that no interface has yet,
// is opened again when somebody closed it, and goes from one process to the next. Whom to accept is the acceptor's.
import type { HostPort } from "../config/endpoints.ts";
import { formatEndpoint } from "../core/address.ts";
import type { Log } from "../log.ts";
import type { Listener, ListenOptions, Runtime } from "../runtime/types.ts";
import { openListener } from "./listener.ts";

export interface ListenSocketParts {
  readonly runtime: Runtime;
  readonly log: Log;
  /** Where to listen, as it is configured now. */
  readonly address: () => HostPort;
  readonly accept: ListenOptions["accept"];
  /** A socket that listens there, from the service manager or the process before. */
  readonly descriptor: number | undefined;
  /** Whether a descriptor still listens; without it, it is taken to. */
  readonly isListening?: ((fd: number) => boolean) | undefined;
  /** Whether this host has an address now; without it, it is taken to. */
  readonly hasAddress?: ((host: string) => boolean) | undefined;
  /** It listens, where it did not before. */
  opened(): void;
}

export class ListenSocket {
  /** No interface has the address. */
  isWaiting = false;
  readonly #parts: ListenSocketParts;
  #listener: Listener | undefined;
  /** A socket that listens, and nobody accepts on it now. */
  #spare: number | undefined;
  #isPaused = false;

  constructor(parts: ListenSocketParts) {
    this.#parts = parts;
    this.#spare = parts.descriptor;
  }

  /** Undefined when it does not listen. */
  get port(): number | undefined {
    return this.#listener?.local.port;
  }

  /** For another process; undefined where there is none, or the runtime does not show it. */
  get descriptor(): number | undefined {
    return this.#listener?.fd ?? this.#spare;
  }

  /**
   * Listens, or waits for an address that no interface has yet: then it is to be called again. A socket that
   * somebody else closed (ss --kill) is replaced.
   * @throws Failure when the port cannot be had.
   */
  async listen(): Promise<void> {
    const { runtime, log, accept, isListening = () => true } = this.#parts;
    const { host, port } = this.#parts.address();
    const address = formatEndpoint({ address: host, port });
    const fd = this.#listener?.fd;
    if (fd !== undefined && !isListening(fd)) {
      log("error", `Nobody could connect to ${address}: another tool closed the listening socket; opening it again`);
      this.close();
    }
    if (this.#isPaused) return;
    if (this.#listener !== undefined) return this.#lookAtAddress();
    const opened = await openListener(runtime, { host, port }, accept, this.#spare);
    this.#spare = undefined;
    if (opened.kind === "waiting") return this.#wait(true);
    if (opened.host !== host)
      log("warn", `This kernel has no IPv6: listening on ${opened.host}:${port} instead of ${address}`);
    this.#listener = opened.listener;
    this.#lookAtAddress();
    this.#parts.opened();
  }

  /**
   * Listens at another address too, from now on.
   * @returns what lets it take the first one's place, or closes it again when it did not.
   * @throws Failure when the port cannot be had.
   */
  async listenAt({ host, port }: HostPort): Promise<{ takePlace(): void } & Disposable> {
    const opened = await openListener(this.#parts.runtime, { host, port }, this.#parts.accept);
    let another = opened.kind === "listening" ? opened.listener : undefined;
    return {
      takePlace: () => {
        this.#listener?.close();
        this.#listener = another;
        this.isWaiting = false;
        another = undefined;
      },
      [Symbol.dispose]: () => another?.close(),
    };
  }

  /**
   * Accepts nobody until `resume`. Who connects meanwhile waits in the kernel's queue.
   * @param duplicate makes a descriptor that outlives the listener's own.
   */
  pause(duplicate: (fd: number) => number): void {
    this.#isPaused = true;
    const fd = this.#listener?.fd;
    if (fd !== undefined) this.#spare = duplicate(fd);
    this.close();
  }

  async resume(): Promise<void> {
    this.#isPaused = false;
    await this.listen();
  }

  /** Another process accepts, or nobody: who connects is not to wait in the queue of a socket that is kept here. */
  leave(close: (fd: number) => void): void {
    if (this.#spare !== undefined) close(this.#spare);
    this.#spare = undefined;
  }

  /** Stops accepting; connections that are open go on. Idempotent. */
  close(): void {
    this.#listener?.close();
    this.#listener = undefined;
  }

  /** The socket outlives its address, and nobody can connect until that is there again. */
  #lookAtAddress(): void {
    const { address, hasAddress = () => true } = this.#parts;
    this.#wait(!hasAddress(address().host));
  }

  #wait(isWaiting: boolean): void {
    if (isWaiting === this.isWaiting) return;
    this.isWaiting = isWaiting;
    const { host, port } = this.#parts.address();
    const address = formatEndpoint({ address: host, port });
    if (isWaiting)
      this.#parts.log("warn", `Cannot listen on ${address}: no interface has this address; waiting for it`);
    else this.#parts.log("info", `Listening on ${address} now`);
  }
}
