// SPDX-License-Identifier: Apache-2.0
// The connections to the engine of a fleet, by the client library: one for commands, one on which what is new comes:
// by itself, or, where that is not allowed, as the answer to a command that waits for it. Nothing is queued without a
// limit and nothing waits without one. Whatever goes wrong ends both connections; who uses them opens them anew, and
// finds a server that took over that way.
import { createClient, createCluster, createSentinel, SocketClosedUnexpectedlyError } from "@redis/client";
import type { FleetAddress } from "../../config/fleet_address.ts";
import { codeOf, messageOf } from "../../failure.ts";
import { boundReplies } from "./reply_bounds.ts";

export interface EngineSecrets {
  readonly password: string | undefined;
  readonly ca: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
}

export interface EngineOptions extends EngineSecrets {
  readonly address: FleetAddress;
  /** Any key of the fleet: in a cluster it says which server has them all. */
  readonly key0: string;
}

/** Who is called for each message, with its channel. */
export type Hear = (message: string, channel: string) => void;

interface Connection {
  connect(): Promise<unknown>;
  send(args: string[]): Promise<unknown>;
  /** Commands cannot be sent any more, though it is refused. */
  listen(pattern: string, hear: Hear): Promise<unknown>;
  destroy(): void;
}

const connectMs = 3000;
/** A frozen server answers nothing; an honest one that has much to do answers within it. */
const commandMs = 2500;
/** Where this process itself had no turn for so long, the answer is there and only has to be read. */
const readingMs = 50;
const queueLimit = 256;
const resp2 = { RESP: 2 } as const;

export class Engine {
  /** Rejects when a connection is lost: the library does not make it anew, and what comes after nonsense is none. */
  readonly lost: Promise<never>;
  readonly #commands: Connection;
  #waiting: Connection;
  /** Once more, such a connection. */
  readonly #another: () => Connection;

  private constructor(options: EngineOptions) {
    const { promise, reject } = Promise.withResolvers<never>();
    // It concerns who waits for it alone.
    promise.catch(() => {});
    this.lost = promise;
    this.#another = () => connectionOf(options, reject);
    this.#commands = this.#another();
    this.#waiting = this.#another();
  }

  /** @throws Error when it cannot be reached, or does not let this gate in. */
  static async open(options: EngineOptions): Promise<Engine> {
    boundReplies();
    const engine = new Engine(options);
    try {
      const connected = Promise.all([engine.#commands.connect(), engine.#waiting.connect()]);
      await within(connectMs, connected, "Connecting");
      return engine;
    } catch (error) {
      engine.close();
      throw error;
    }
  }

  /** @throws Error also for what the engine says no to. */
  send(args: string[]): Promise<unknown> {
    return within(commandMs, this.#commands.send(args), args[0] ?? "");
  }

  /** A command that may take so long to be answered. */
  wait(args: string[], blockMs: number): Promise<unknown> {
    return within(blockMs + commandMs, this.#waiting.send(args), args[0] ?? "");
  }

  /**
   * From now on what is published under a pattern comes by itself, and `wait` has no answer.
   * @returns false where this gate may not; `wait` goes on then.
   */
  async listen(pattern: string, hear: Hear): Promise<boolean> {
    try {
      await within(commandMs, this.#waiting.listen(pattern, hear), "PSUBSCRIBE");
      return true;
    } catch (error) {
      if (!/\bNOPERM\b/.test(messageOf(error))) throw error;
    }
    // The library takes all that comes on it for what is published, though nothing will be.
    this.#waiting.destroy();
    this.#waiting = this.#another();
    await within(connectMs, this.#waiting.connect(), "Connecting");
    return false;
  }

  /** Idempotent. */
  close(): void {
    for (const connection of [this.#commands, this.#waiting]) {
      try {
        connection.destroy();
      } catch {
        // It was not open, or is closed.
      }
    }
  }
}

function connectionOf(
  { address, key0, password, ca, cert, key }: EngineOptions,
  onLost: (error: Error) => void,
): Connection {
  const tls = address.tls ? { tls: true as const, ...given({ ca, cert, key }) } : {};
  const limits = { connectTimeout: connectMs, reconnectStrategy: false as const };
  const common = {
    ...{ disableOfflineQueue: true, commandsQueueMaxLength: queueLimit },
    ...given({ username: address.user, password: password ?? address.password }),
  };
  switch (address.kind) {
    case "single":
      return singleConnection({ address, common, tls, limits, onLost });
    case "sentinel": {
      const socket = { ...limits, ...tls };
      const client = createSentinel({
        ...{ ...resp2, name: address.master ?? "", sentinelRootNodes: [...address.nodes] },
        ...{ masterPoolSize: 1, replicaPoolSize: 0, reserveClient: true },
        // Once more: some of its connections know no other options.
        nodeClientOptions: { ...common, ...resp2, socket },
        sentinelClientOptions: { ...resp2, socket },
      });
      // A Sentinel that is not there is told in the same way, and is no loss.
      client.on("error", (error: unknown) => {
        if (isLostSocket(error)) onLost(error);
      });
      return {
        connect: () => client.connect(),
        send: (args) => client.sendCommand(false, args),
        listen: (pattern, hear) => client.pSubscribe(pattern, hear),
        destroy: () => void client.destroy().catch(() => {}),
      };
    }
    case "cluster": {
      const socket = { ...limits, ...tls };
      const client = createCluster({
        RESP: 2,
        rootNodes: address.nodes.map(({ host, port }) => ({ ...common, socket: { ...socket, host, port } })),
        defaults: { ...common, socket },
        minimizeConnections: true,
      });
      client.on("error", () => {});
      client.on("node-error", onLost);
      return {
        connect: () => client.connect(),
        send: (args) => client.sendCommand(key0, false, args),
        listen: (pattern, hear) => client.pSubscribe(pattern, hear),
        destroy: () => client.destroy(),
      };
    }
    default:
      return address.kind satisfies never;
  }
}

function isLostSocket(error: unknown): error is Error {
  return error instanceof SocketClosedUnexpectedlyError || (error instanceof Error && codeOf(error) === "ECONNRESET");
}

interface SingleParts {
  readonly address: FleetAddress;
  readonly common: object;
  readonly tls: object;
  readonly limits: object;
  readonly onLost: (error: Error) => void;
}

function singleConnection({ address, common, tls, limits, onLost }: SingleParts): Connection {
  const [node] = address.nodes;
  const where = address.socket === undefined ? { ...node, ...tls } : { path: address.socket, tls: false as const };
  const client = createClient({ ...common, RESP: 2, database: address.database, socket: { ...where, ...limits } });
  // Told by the command that fails with it too.
  client.on("error", onLost);
  return {
    connect: () => client.connect(),
    send: (args) => client.sendCommand(args),
    listen: (pattern, hear) => client.pSubscribe(pattern, hear),
    destroy: () => client.destroy(),
  };
}

/** Only what there is. */
function given<T extends object>(values: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}

async function within<T>(limitMs: number, work: Promise<T>, what: string): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    const isLate = () => reject(new Error(`${what}: no answer within ${limitMs / 1000} s`));
    timer = setTimeout(() => {
      timer = setTimeout(isLate, readingMs);
    }, limitMs);
  });
  try {
    // What comes after the limit concerns nobody.
    work.catch(() => {});
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
