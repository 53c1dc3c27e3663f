// SPDX-License-Identifier: Apache-2.0
// CrowdSec's local API (LAPI) by HTTP: as a bouncer with a key, as a machine with a password. Everything that it
// answers is bounded in size and in time. node:http because it reaches unix sockets under both runtimes.
import { type IncomingMessage, request as requestPlain } from "node:http";
import { request as requestTls } from "node:https";
import { z } from "zod";
import type { CrowdsecAddress } from "../../config/crowdsec_address.ts";
import type { Alert } from "./alert.ts";

export interface MachineCredentials {
  readonly login: string;
  readonly password: string;
}

export interface LapiSecrets {
  readonly key: string;
  /** PEM; undefined: what the system trusts. */
  readonly ca: string | undefined;
  readonly machine: MachineCredentials | undefined;
}

export interface LapiOptions {
  readonly address: CrowdsecAddress;
  /** As they are now: they are changed while the gate runs. */
  readonly secrets: () => LapiSecrets;
  readonly version: string;
  /** Of one answer. */
  readonly mostBytes?: number;
}

/** LAPI said no, or something that is no answer. */
export class LapiError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** 60,000 decisions are 9 MB, and took a LAPI on SQLite 3.4 s; a million are 150 MB. */
const usualMostBytes = 256 * 1024 * 1024;
const mostShortBytes = 1024 * 1024;
const answerMs = 10_000;
const wholeMs = 60_000;
/** Those on countries and networks come only when they are asked for: they are counted. */
const scopes = "ip,range,country,as";
/** Between two turns of everything else. */
const chunkBytes = 64 * 1024;
/** A session is renewed so long before it ends. */
const renewMs = 60_000;

const login = z.object({ token: z.string().min(1).max(8192), expire: z.iso.datetime({ offset: true }) });
const ids = z.array(z.string());
const refusal = z.object({ message: z.string() });

interface Exchange {
  readonly method: "GET" | "POST" | "DELETE";
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: unknown;
}

export class Lapi {
  readonly #options: LapiOptions;
  #secrets: LapiSecrets;
  #session: { readonly token: string; readonly untilWallMs: number } | undefined;

  constructor(options: LapiOptions) {
    this.#options = options;
    this.#secrets = options.secrets();
  }

  /** What it is asked with. */
  get secrets(): LapiSecrets {
    return this.#secrets;
  }

  /** Key, password and certificates may be others by now. */
  renew(): void {
    this.#secrets = this.#options.secrets();
  }

  /**
   * What is new since the last time this key asked, or all.
   * @throws Error also from what it yields: then nothing of it counts.
   */
  async *stream(isFull: boolean, signal: AbortSignal): AsyncGenerator<string, void, void> {
    const path = `/v1/decisions/stream?scopes=${scopes}&startup=${isFull}`;
    const limit = AbortSignal.any([signal, AbortSignal.timeout(isFull ? wholeMs : answerMs)]);
    yield* this.#ask({ method: "GET", path, headers: this.#keyed }, this.#options.mostBytes ?? usualMostBytes, limit);
  }

  /** All decisions on exactly one address or range, also those that the stream leaves out. */
  async decisionsOn(scope: string, value: string, signal: AbortSignal): Promise<readonly unknown[]> {
    const query = new URLSearchParams({ scope, value });
    const found = await this.#json({ method: "GET", path: `/v1/decisions?${query}`, headers: this.#keyed }, signal);
    return z.array(z.unknown()).nullable().parse(found) ?? [];
  }

  /** How many bans it has on countries, and on networks by their AS number. */
  async otherScopes(signal: AbortSignal): Promise<number> {
    const path = "/v1/decisions?scopes=country,as&type=ban";
    const found = await this.#json({ method: "GET", path, headers: this.#keyed }, signal);
    return z.array(z.unknown()).nullable().parse(found)?.length ?? 0;
  }

  async push(alerts: readonly Alert[], signal: AbortSignal): Promise<void> {
    await this.#asMachine({ method: "POST", path: "/v1/alerts", body: alerts }, signal, (found) => ids.parse(found));
  }

  /** One that is not there any more is as good as deleted. */
  async deleteDecision(id: number, signal: AbortSignal): Promise<void> {
    try {
      await this.#asMachine({ method: "DELETE", path: `/v1/decisions/${id}` }, signal, () => {});
    } catch (error) {
      if (!(error instanceof LapiError && /doesn't exist|not found/.test(error.message))) throw error;
    }
  }

  /** @throws LapiError when the machine is not known, or not validated. */
  async login(signal: AbortSignal): Promise<void> {
    const { machine } = this.#secrets;
    if (machine === undefined) throw new Error("there are no credentials of a machine");
    const body = { machine_id: machine.login, password: machine.password, scenarios: [] };
    const found = await this.#json({ method: "POST", path: "/v1/watchers/login", headers: this.#plain, body }, signal);
    const { token, expire } = login.parse(found);
    this.#session = { token, untilWallMs: Date.parse(expire) };
  }

  async #asMachine(
    exchange: Omit<Exchange, "headers">,
    signal: AbortSignal,
    read: (found: unknown) => unknown,
  ): Promise<void> {
    const isOld = this.#session !== undefined && this.#session.untilWallMs - renewMs > Date.now();
    if (!isOld) await this.login(signal);
    const attempt = async () => {
      const headers = { ...this.#plain, authorization: `Bearer ${this.#session?.token}` };
      read(await this.#json({ ...exchange, headers }, signal));
    };
    try {
      await attempt();
    } catch (error) {
      if (!(error instanceof LapiError && [401, 403].includes(error.status))) throw error;
      this.#session = undefined;
      if (!isOld) throw error;
      // LAPI was set up anew.
      await this.login(signal);
      await attempt();
    }
  }

  get #plain(): Readonly<Record<string, string>> {
    // LAPI keeps type and version of a bouncer by what stands on either side of the slash.
    return { "user-agent": `ttgate/${this.#options.version}`, accept: "application/json" };
  }

  get #keyed(): Readonly<Record<string, string>> {
    return { ...this.#plain, "x-api-key": this.#secrets.key };
  }

  async #json(exchange: Exchange, signal: AbortSignal): Promise<unknown> {
    let text = "";
    const limit = AbortSignal.any([signal, AbortSignal.timeout(answerMs)]);
    for await (const chunk of this.#ask(exchange, mostShortBytes, limit)) text += chunk;
    return JSON.parse(text);
  }

  async *#ask(exchange: Exchange, most: number, signal: AbortSignal): AsyncGenerator<string, void, void> {
    const incoming = await this.#send(exchange, signal);
    const decoder = new TextDecoder();
    const { statusCode = 0 } = incoming;
    const isGood = statusCode >= 200 && statusCode < 300;
    let said = "";
    let bytes = 0;
    for await (const chunk of chunksOf(incoming, signal)) {
      bytes += chunk.length;
      if (bytes > (isGood ? most : mostShortBytes)) throw new Error(`its answer is larger than ${most >> 20} MiB`);
      for (let start = 0; start < chunk.length; start += chunkBytes) {
        const text = decoder.decode(chunk.subarray(start, start + chunkBytes), { stream: true });
        if (isGood) yield text;
        else said += text;
      }
    }
    if (!isGood) throw new LapiError(statusCode, reasonIn(said) ?? `it answers ${statusCode}`);
  }

  #send({ method, path, headers, body }: Exchange, signal: AbortSignal): Promise<IncomingMessage> {
    const { address } = this.#options;
    const { ca } = this.#secrets;
    const { server, socket, tls } = address;
    const bytes = body === undefined ? undefined : new TextEncoder().encode(JSON.stringify(body));
    const where = server === undefined ? { socketPath: socket } : server;
    const options = {
      ...where,
      ...{ method, path: address.path + path, agent: false as const },
      headers: {
        ...headers,
        ...(server === undefined ? { host: "localhost" } : {}),
        ...(bytes === undefined ? {} : { "content-type": "application/json", "content-length": String(bytes.length) }),
      },
      ...(ca === undefined ? {} : { ca }),
    };
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      const outgoing = (tls ? requestTls : requestPlain)(options, (incoming) => {
        // Told to whoever reads it.
        incoming.on("error", () => {});
        resolve(incoming);
      });
      // Not by the option of that name: under Deno nobody would be told.
      const stop = () => {
        reject(signal.reason);
        outgoing.destroy();
      };
      signal.addEventListener("abort", stop, { once: true });
      outgoing.on("error", reject);
      outgoing.on("close", () => signal.removeEventListener("abort", stop));
      outgoing.end(bytes);
    });
  }
}

async function* chunksOf(incoming: IncomingMessage, signal: AbortSignal): AsyncGenerator<Uint8Array, void, void> {
  const over = Promise.withResolvers<never>();
  over.promise.catch(() => {});
  const stop = () => over.reject(signal.reason);
  signal.addEventListener("abort", stop, { once: true });
  if (signal.aborted) stop();
  const chunks = incoming[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
  try {
    for (;;) {
      const next = await Promise.race([chunks.next(), over.promise]);
      if (next.done === true) return;
      yield next.value;
    }
  } finally {
    signal.removeEventListener("abort", stop);
    incoming.destroy();
  }
}

/** LAPI's own words, bounded. */
function reasonIn(text: string): string | undefined {
  try {
    return refusal.parse(JSON.parse(text)).message.slice(0, 200);
  } catch {
    return undefined;
  }
}
