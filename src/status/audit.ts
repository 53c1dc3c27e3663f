// SPDX-License-Identifier: Apache-2.0
// The audit trail: one log line for each change that somebody asked for at the status endpoint, done or refused, with
// who it was as far as the kernel knows, and by what right.
import type { MiddlewareHandler } from "hono";
import { operatorHeader } from "../core/operator_header.ts";
import type { Endpoint } from "../runtime/types.ts";

export interface Caller {
  /** Undefined on the unix socket. */
  readonly peer: Endpoint | undefined;
  /** Of the process at the other end; undefined when it is not on this host. */
  readonly user: { readonly id: number; readonly name: string | undefined } | undefined;
  /** What the caller says of itself: `alice (sudo)`. Whoever has the token may say anything. */
  readonly claims: string | undefined;
}

export interface AuditEntry extends Caller {
  /** `ban`, `lift`, `ban list`, `lift list`, `reload`, or the method and path of another change. */
  readonly action: string;
  readonly status: number;
  /** What it was about, or why it was refused. */
  readonly outcome: string;
}

export interface AuditOptions {
  /** False where nobody will read who it was: then it is not found out. */
  isWritten(status: number): boolean;
  userOf(peer: Endpoint): Promise<Caller["user"]>;
  record(entry: AuditEntry): void;
}

const longestClaim = 64;
/** Of a path or of an answer that repeats what it was asked: anybody may ask for anything. */
const longestWords = 256;

const actions: Readonly<Record<string, string>> = {
  "POST /bans": "ban",
  "POST /bans/list": "ban list",
  "POST /lifts/list": "lift list",
  "POST /reload": "reload",
};

declare module "hono" {
  interface ContextVariableMap {
    /** Of an answer that is too long to be read back. */
    outcome?: string;
  }
}

/** What the server passes on with each request. */
export interface RequestEnv {
  readonly peer?: Endpoint | undefined;
}

export function auditTrail({ isWritten, userOf, record }: AuditOptions): MiddlewareHandler {
  return async (context, next) => {
    const { method, path } = context.req;
    if (method === "GET" || method === "HEAD") return next();
    const { peer } = (context.env ?? {}) as RequestEnv;
    await next();
    const { status } = context.res;
    // Before the answer is sent: the caller may be gone after it.
    const user = peer === undefined || !isWritten(status) ? undefined : await userOf(peer);
    const action = actions[`${method} ${path}`] ?? (method === "DELETE" ? "lift" : `${method} ${path}`);
    const claims = context.req.header(operatorHeader)?.slice(0, longestClaim);
    const outcome = context.get("outcome") ?? outcomeOf(await bodyOf(context.res), context.req.query("name"));
    record({ peer, user, claims, action: cut(action), status, outcome: cut(outcome) });
  };
}

function bodyOf(answer: Response): Promise<unknown> {
  return answer
    .clone()
    .json()
    .catch(() => undefined);
}

function cut(words: string): string {
  return words.length > longestWords ? `${words.slice(0, longestWords)}…` : words;
}

/** From the answer's own words: status/routes.ts. */
function outcomeOf(body: unknown, list: string | undefined): string {
  const answer = (typeof body === "object" && body !== null ? body : {}) as Readonly<Record<string, unknown>>;
  const { error, source, until, done, failed, applied, waiting } = answer;
  if (typeof error === "string") return error;
  if (typeof source === "string") return `${source} until ${until ?? "it is lifted"}`;
  if (done !== undefined) return `${list === undefined ? "" : `${list}: `}${done} done, ${failed} refused`;
  if (Array.isArray(applied) && Array.isArray(waiting)) {
    return `${applied.length} options changed, ${waiting.length} wait for a restart`;
  }
  return "";
}
