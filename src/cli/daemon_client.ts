// SPDX-License-Identifier: Apache-2.0
// How a command talks to the running daemon: finds it, and asks its status endpoint. node:http because
// it reaches unix sockets under both runtimes.
import { type RequestOptions, request } from "node:http";
import { formatStatus, parseStatus, type StatusAddress } from "../config/endpoints.ts";
import { isWildcard } from "../core/address.ts";
import { bearerToken } from "../core/bearer_token.ts";
import { operatorHeader, sshHeader } from "../core/operator_header.ts";
import { runningInstances } from "../daemon/instance.ts";
import { Failure, type FailureCode, messageOf } from "../failure.ts";
import { sshConnection } from "../host/ssh_connection.ts";
import type { Env } from "./env.ts";

export interface Reply {
  readonly status: number;
  readonly body: unknown;
}

export interface DaemonClient {
  readonly address: string;
  /** @param body a string is sent as it is, anything else as JSON. */
  ask(method: "GET" | "POST" | "DELETE", path: string, body?: unknown): Promise<Reply>;
  /** Passes on a stream line by line until it ends. @returns the answer when it is not a stream. */
  follow(path: string, line: (line: string) => void): Promise<Reply | undefined>;
}

/** A gate on the same host answers within milliseconds, under attack within tens of them. */
const timeoutMs = 10_000;
/** In a stream it says something every 15 s: status/event_stream.ts. */
const silenceMs = 45_000;

/** Ten times the longest that a gate gives: ten thousand bans with all that is known of them. */
const answerLimit = 128 * 1024 * 1024;

const defaultStatus: StatusAddress = { kind: "tcp", host: "127.0.0.1", port: 9500 };

/**
 * @param statusText value of --status; without it, the daemon that runs in this network namespace.
 * @throws Failure when the text is wrong, or when it is not clear which daemon is meant.
 */
export function findDaemon(statusText: string | undefined, { variables, runDirectory }: Env): DaemonClient {
  const caller = callerHeaders(variables);
  const instances = runningInstances(runDirectory);
  const named = bearerToken(variables["TTGATE_TOKEN"]);
  if ("error" in named) throw new Failure(named.error, { exitCode: 2 });
  const given = named.token;
  if (statusText !== undefined) {
    const address = parseStatus(statusText);
    if (address === undefined || address.kind === "off") {
      throw new Failure(`Invalid --status "${statusText}": expected HOST:PORT or unix:/PATH`, { exitCode: 2 });
    }
    const text = formatStatus(address);
    return clientOf(address, given ?? instances.find(({ status }) => status === text)?.token, caller);
  }
  const [instance, ...others] = instances;
  if (instance === undefined) return clientOf(defaultStatus, given, caller);
  if (others.length > 0) {
    const list = instances.map(({ listen, status }) => `--status ${status} (listens on ${listen})`);
    throw new Failure(`Several gates run here: choose one with ${list.join(" or ")}`, { exitCode: 2 });
  }
  const address = parseStatus(instance.status);
  if (address === undefined || address.kind === "off") {
    const gate = `the gate with pid ${instance.pid} runs with --status off`;
    throw new Failure(`Cannot ask: ${gate}, restart it with a status address`, { exitCode: 3 });
  }
  return clientOf(address, given ?? instance.token, caller);
}

type Headers = Readonly<Record<string, string>>;

/** For the audit trail: who typed it, where sudo hides that. */
function operatorName({ SUDO_USER, USER, LOGNAME }: Env["variables"]): string | undefined {
  const name = SUDO_USER ?? USER ?? LOGNAME;
  if (name === undefined || !/^[\w.@\\-]{1,50}$/.test(name)) return undefined;
  return SUDO_USER === undefined ? name : `${name} (sudo)`;
}

function callerHeaders(variables: Env["variables"]): Headers {
  const operator = operatorName(variables);
  const session = sshConnection(variables);
  return {
    ...(operator === undefined ? {} : { [operatorHeader]: operator }),
    ...(session === undefined || !/^[\x20-\x7e]+$/.test(session) ? {} : { [sshHeader]: session }),
  };
}

function clientOf(address: StatusAddress, token: string | undefined, caller: Headers): DaemonClient {
  const where =
    address.kind === "unix"
      ? { socketPath: address.path }
      : { host: address.kind === "tcp" ? address.host : "", port: address.kind === "tcp" ? address.port : 0 };
  const text = formatStatus(address);
  const credentials: Headers = {
    ...caller,
    host: address.kind === "tcp" && !isWildcard(address.host) ? text : "localhost",
    ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
  };
  return {
    address: text,
    follow: (path, line) => follow({ ...where, method: "GET", path, headers: credentials }, line, text),
    async ask(method, path, body) {
      const headers: Record<string, string> = { ...credentials };
      if (body !== undefined) headers["content-type"] = typeof body === "string" ? "text/plain" : "application/json";
      const reply = await exchange({ ...where, method, path, headers, timeout: timeoutMs }, body, text);
      if (reply.status === 401) {
        const remedy = "run this as the gate's user, or set TTGATE_TOKEN to the gate's token";
        throw new Failure(`Not allowed by the gate at "${text}": ${remedy}`, { exitCode: 3 });
      }
      return reply;
    },
  };
}

function noAnswer(address: string, error: unknown): Failure {
  const remedy = "is ttgate running? --status says where its endpoint is";
  const message = `Cannot ask the gate at "${address}": ${messageOf(error)}; ${remedy}`;
  return new Failure(message, { exitCode: 3, cause: error });
}

function follow(options: RequestOptions, line: (line: string) => void, address: string): Promise<Reply | undefined> {
  let patience: ReturnType<typeof setTimeout> | undefined;
  const answer = new Promise<Reply | undefined>((resolve, reject) => {
    const failed = (error: unknown) => reject(noAnswer(address, error));
    const wait = (ms: number) => {
      clearTimeout(patience);
      patience = setTimeout(() => outgoing.destroy(new Error(`no answer within ${ms / 1000} s`)), ms);
    };
    const outgoing = request(options, (incoming) => {
      const status = incoming.statusCode ?? 0;
      let rest = "";
      incoming.setEncoding("utf8");
      incoming.on("data", (chunk: string) => {
        wait(silenceMs);
        const lines = (rest + chunk).split("\n");
        rest = lines.pop() ?? "";
        if (status !== 200) return;
        try {
          for (const complete of lines) line(complete);
        } catch (error) {
          // Its own error, not one of the connection.
          outgoing.destroy();
          reject(error);
        }
      });
      incoming.on("error", failed);
      incoming.on("end", () => {
        if (status === 200) return resolve(undefined);
        try {
          resolve({ status, body: JSON.parse(rest) });
        } catch {
          resolve({ status, body: undefined });
        }
      });
    });
    outgoing.on("error", failed);
    wait(timeoutMs);
    outgoing.end();
  });
  return answer.finally(() => clearTimeout(patience));
}

function exchange(options: RequestOptions, body: unknown, address: string): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const failed = (error: unknown) => reject(noAnswer(address, error));
    const outgoing = request(options, (incoming) => {
      const chunks: string[] = [];
      incoming.setEncoding("utf8");
      let length = 0;
      incoming.on("data", (chunk: string) => {
        chunks.push(chunk);
        length += chunk.length;
        if (length > answerLimit) outgoing.destroy(new Error("its answer has no end"));
      });
      incoming.on("error", failed);
      incoming.on("end", () => {
        try {
          resolve({ status: incoming.statusCode ?? 0, body: JSON.parse(chunks.join("")) });
        } catch {
          failed(new Error("its answer is not JSON"));
        }
      });
    });
    outgoing.on("error", failed);
    outgoing.on("timeout", () => outgoing.destroy(new Error(`no answer within ${timeoutMs / 1000} s`)));
    outgoing.end(body === undefined || typeof body === "string" ? body : JSON.stringify(body));
  });
}

/** What is wrong with what was asked for, and what the gate will not do. */
const codes: Readonly<Record<number, FailureCode>> = { 400: 2, 404: 1, 409: 1 };

/** Why the gate refused, in its own words. */
export function refusal({ status, body }: Reply, exitCode?: FailureCode): Failure {
  const hasError = typeof body === "object" && body !== null && "error" in body && typeof body.error === "string";
  if (!hasError) return new Failure(`The gate answered ${status}`, { exitCode: exitCode ?? (status === 400 ? 2 : 3) });
  return new Failure(String(body.error), { exitCode: exitCode ?? codes[status] ?? 3 });
}
