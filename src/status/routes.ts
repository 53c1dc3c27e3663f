// SPDX-License-Identifier: Apache-2.0
// The status endpoint. Reading is open on loopback and on the unix socket; changing needs the unix
// socket or the bearer token. It serialises what the gate hands it and keeps no state.
import { type Context, Hono } from "hono";
import { bearerAuth } from "hono/bearer-auth";
import { HTTPException } from "hono/http-exception";
import { z } from "zod";
import { type Asking, asking } from "../core/bans/claim.ts";
import { parseBanDuration } from "../core/duration.ts";
import { sshHeader } from "../core/operator_header.ts";
import { quoted } from "../core/quoted.ts";
import type { Work } from "../core/work.ts";
import { Failure } from "../failure.ts";
import type { HttpHandler } from "../runtime/types.ts";
import type { BanOptions, ChangeResult, Lifted, ListResult } from "../sources/answer.ts";
import type { FleetAnswer } from "../sources/fleet/view.ts";
import type { ListOptions } from "../sources/list.ts";
import { type AuditOptions, auditTrail, type RequestEnv } from "./audit.ts";
import { banListJson, banQuery } from "./ban_list.ts";
import type { OpenedStream } from "./event_stream.ts";
import { type FrequentAnswers, type FrequentSource, frequentAnswers } from "./frequent.ts";
import { type HostNames, strangeHost } from "./host_names.ts";
import { liftedJson, liftedWords } from "./lifted.ts";
import { addPages, type PageSource } from "./page/routes.ts";
import { pastQuery } from "./past.ts";
import { Slices } from "./slices.ts";
import type { BanDetails, BanView } from "./snapshot.ts";
import type { TalkersView } from "./talkers.ts";

export interface ReadinessAnswer {
  readonly ready: boolean;
  /** Why not; empty when ready. */
  readonly reasons: readonly string[];
  /** What is wrong and keeps it from nothing that it promises; left out where nothing is. */
  readonly notes?: readonly string[];
  /** Where a trial stands; left out without one. */
  readonly trial?: string | undefined;
}

/** What the endpoint asks of the gate. */
export interface StatusSource extends PageSource, FrequentSource {
  readiness(): Promise<ReadinessAnswer>;
  talkers(): Work<TalkersView>;
  /** Whoever asks for a change does so in this SSH session, which is not to be banned. */
  loggedIn(connection: string): Promise<void>;
  find(address: string): ChangeResult<BanDetails | undefined>;
  ban(address: string, options: BanOptions): ChangeResult<BanView>;
  /** What was changed until now outlives a crash, as far as that can be had. */
  saved(): Promise<void>;
  /** Undefined without a fleet. */
  fleet(): Promise<FleetAnswer | undefined>;
  follow(lastEventId: string | undefined): OpenedStream;
  /** @param by whose claims alone; an operator ends all. */
  lift(address: string, by: Asking): Work<ChangeResult<Lifted>>;
  banList(text: string, options: ListOptions): Promise<ListResult>;
  /** Both families. @param by likewise. */
  liftAll(by: Asking): Work<Lifted>;
  liftList(text: string): Promise<ListResult>;
  /** @throws Failure when the configuration is not valid; nothing changes then. */
  reload(): Promise<ReloadAnswer>;
}

/** One option that the configuration gives another value now. */
export interface ReloadedOption {
  /** `gate`: the gate itself came or went; before or after is null then, or where it listens. */
  readonly option: string;
  /** Of which gate, where gates have names. */
  readonly gate?: string;
  readonly before: unknown;
  readonly after: unknown;
}

/** What a reload took over, and what waits for a restart. */
export interface ReloadAnswer {
  readonly applied: readonly ReloadedOption[];
  readonly waiting: readonly ReloadedOption[];
}

export interface StatusAccess {
  /** Undefined on a unix socket: its file mode decides. */
  readonly token: string | undefined;
  /** Whether reading needs the token too. */
  readonly closed: boolean;
  /** Who is told of each change that is asked for, also of one that is not allowed. */
  readonly audit?: AuditOptions;
  /** By which names it may be asked; a unix socket has none, and no browser. */
  readonly hosts?: HostNames;
}

const badAsking = `expected ${asking.map((name) => `"${name}"`).join(" or ")}`;

const banRequest = z.strictObject({
  address: z.string("expected an address or CIDR"),
  for: z.string('expected a duration such as 1h, or "ever"').optional(),
  force: z.boolean("expected true or false").optional(),
  by: z.enum(asking, badAsking).optional(),
});

/** Of a list of bans: it becomes part of an origin. */
const listName = /^[A-Za-z0-9._-]{1,64}$/;

/** nginx would gather a page of events before it passes them on. */
const streamHeaders = {
  "content-type": "text/event-stream; charset=utf-8",
  "cache-control": "no-store",
  "x-accel-buffering": "no",
};

const busy = { error: "Too many long answers are under way: try again in a second" };
const liftRefused = { invalid: 400, refused: 409, absent: 404 } as const;

export function statusHandler(source: StatusSource, access: StatusAccess): HttpHandler {
  const frequent = frequentAnswers(source);
  const app = statusApp(source, access, frequent);
  return (request, peer) => {
    const answer = isOpenToRead(request, access) ? frequent.get(targetOf(request.url)) : undefined;
    return answer?.().catch(failed) ?? app.fetch(request, { peer } satisfies RequestEnv);
  };
}

/** For what is not frequent, and for whoever may perhaps not read. */
function statusApp(source: StatusSource, access: StatusAccess, frequent: FrequentAnswers): Hono {
  const app = new Hono();
  const { audit, hosts } = access;
  const slices = new Slices();
  app.use(async (_context, next) => {
    await slices.turn();
    await next();
  });
  if (audit !== undefined) app.use(auditTrail(audit));
  if (hosts !== undefined) {
    app.use(async (context, next) => {
      const strange = strangeHost(context.req.raw, hosts);
      if (strange === undefined) return next();
      const error = `Not answered by the name "${strange}": use an IP address of the endpoint, or allow the name with --status-host`;
      return context.json({ error }, 421);
    });
  }
  if (access.token !== undefined) {
    const guard = bearerAuth({ token: access.token });
    app.use(async (context, next) => (isReading(context.req.method) && !access.closed ? next() : guard(context, next)));
  }
  app.use(async (context, next) => {
    if (isReading(context.req.method)) return next();
    const connection = context.req.header(sshHeader);
    if (connection !== undefined) await source.loggedIn(connection);
    await next();
    // Who is told that a ban was lifted is not to find it again after a crash.
    await source.saved();
  });
  addPages(app, source, slices, access.token !== undefined);
  for (const [path, answer] of frequent) app.get(path, answer);
  app.get("/bans", async (context) => {
    const query = banQuery((name) => context.req.query(name));
    if (typeof query === "string") return context.json({ error: query }, 400);
    if (!slices.hasRoom) return context.json(busy, 503, { "retry-after": "1" });
    const texts = banListJson(await slices.run(source.bans(query)), query.offset);
    return context.body(slices.stream(texts), 200, { "content-type": "application/json" });
  });
  app.get("/talkers", async (context) => {
    if (!slices.hasRoom) return context.json(busy, 503, { "retry-after": "1" });
    return context.json(await slices.run(source.talkers()));
  });
  app.get("/history", (context) => {
    const query = pastQuery((name) => context.req.query(name));
    return typeof query === "string" ? context.json({ error: query }, 400) : context.json(source.history(query));
  });
  app.get("/bans/:address{.+}", (context) => {
    const address = context.req.param("address");
    const found = source.find(address);
    if (found.kind !== "done") return context.json({ error: found.message }, 400);
    if (found.value === undefined) return context.json({ error: `Not banned: "${address}"` }, 404);
    return context.json(found.value);
  });
  app.get("/why/:address{.+}", async (context) => {
    const why = await source.why(context.req.param("address"));
    return why.kind !== "done" ? context.json({ error: why.message }, 400) : context.json(why.value);
  });
  app.get("/fleet", async (context) => {
    const fleet = await source.fleet();
    return fleet === undefined ? context.json({ error: noFleet }, 404) : context.json(fleet);
  });
  app.get("/events", (context) => {
    // Hono asks for the reply to GET and throws its body away: nobody would end the stream.
    if (context.req.method === "HEAD") return context.body(null, 200, streamHeaders);
    const opened = source.follow(context.req.header("last-event-id"));
    switch (opened.kind) {
      case "open":
        return context.body(opened.stream, 200, streamHeaders);
      case "busy":
        return context.json({ error: opened.message }, 503, { "retry-after": String(opened.retryAfterSeconds) });
      case "invalid":
        return context.json({ error: opened.message }, 400);
      default:
        return opened satisfies never;
    }
  });
  app.post("/bans", async (context) => {
    const given: unknown = await context.req.json().catch(() => undefined);
    if (given === undefined) return context.json({ error: badBody(["it is no JSON"]) }, 400);
    const body = banRequest.safeParse(given);
    if (!body.success) return context.json({ error: bodyMistake(body.error) }, 400);
    const { address, for: duration, force, by } = body.data;
    const forMs = duration === undefined ? undefined : parseBanDuration(duration);
    if (duration !== undefined && forMs === undefined) {
      return context.json({ error: badDuration(duration) }, 400);
    }
    const result = source.ban(address, { forMs, force: force ?? false, by: by ?? "operator" });
    if (result.kind === "done") return context.json(result.value, 201);
    return context.json({ error: result.message }, result.kind === "invalid" ? 400 : 409);
  });
  app.post("/bans/list", async (context) => {
    const duration = context.req.query("for");
    const forMs = duration === undefined ? undefined : parseBanDuration(duration);
    if (duration !== undefined && forMs === undefined) return context.json({ error: badDuration(duration) }, 400);
    const force = context.req.query("force") === "true";
    const name = context.req.query("name");
    if (name !== undefined && !listName.test(name)) {
      return context.json({ error: `Invalid name "${name}": expected at most 64 letters, digits and . _ -` }, 400);
    }
    return context.json(await source.banList(await context.req.text(), { forMs, force, name }));
  });
  app.post("/reload", async (context) => {
    try {
      return context.json(await source.reload());
    } catch (error) {
      if (error instanceof Failure) return context.json({ error: error.message }, 422);
      throw error;
    }
  });
  app.post("/lifts/list", async (context) => context.json(await source.liftList(await context.req.text())));
  const answerLifted = (context: Context, lifted: Lifted) => {
    context.set("outcome", liftedWords(lifted));
    return context.body(slices.stream(liftedJson(lifted)), 200, { "content-type": "application/json" });
  };
  app.delete("/bans", async (context) => {
    const strange = Object.keys(context.req.query()).find((name) => name !== "by");
    if (strange !== undefined) return context.json({ error: notForAll(strange) }, 400);
    const by = askedBy(context.req.query("by"));
    if ("error" in by) return context.json(by, 400);
    return answerLifted(context, await slices.run(source.liftAll(by.by)));
  });
  app.delete("/bans/:address{.+}", async (context) => {
    const by = askedBy(context.req.query("by"));
    if ("error" in by) return context.json(by, 400);
    const result = await slices.run(source.lift(context.req.param("address"), by.by));
    if (result.kind === "done") return answerLifted(context, result.value);
    return context.json({ error: result.message }, liftRefused[result.kind]);
  });
  app.notFound((context) => context.json({ error: `Not found: "${context.req.path}"` }, 404));
  app.onError((error, context) =>
    error instanceof HTTPException
      ? context.json({ error: notAllowed(isReading(context.req.method)) }, error.status)
      : failed(error),
  );
  return app;
}

/** GET, by a name that is known, and no token is wanted. */
function isOpenToRead(request: Request, { token, closed, hosts }: StatusAccess): boolean {
  if (request.method !== "GET" || (closed && token !== undefined)) return false;
  return hosts === undefined || strangeHost(request, hosts) === undefined;
}

/** Path and query: all that is behind `http://HOST`. */
function targetOf(url: string): string {
  return url.slice(url.indexOf("/", url.indexOf("//") + 2));
}

function failed(error: Error): Response {
  return Response.json({ error: error.message }, { status: 500 });
}

const noFleet = "This gate is in no fleet: --fleet names its server";

function isReading(method: string): boolean {
  return method === "GET" || method === "HEAD";
}

function notAllowed(reading: boolean): string {
  return reading
    ? "Not allowed: reading needs the gate's token where --status is not on loopback"
    : "Not allowed: changing needs the gate's token";
}

/** Whoever means one ban is not to lift all of them. */
function notForAll(parameter: string): string {
  return `Invalid parameter ${quoted(parameter)}: DELETE /bans ends every ban, DELETE /bans/ADDR one`;
}

/** Whose claims are to be lifted. */
function askedBy(text = "operator"): { readonly by: Asking } | { readonly error: string } {
  const by = asking.find((name) => name === text);
  return by === undefined ? { error: `Invalid by "${text}": ${badAsking}` } : { by };
}

function badDuration(duration: string): string {
  return `Invalid duration ${quoted(duration)}: expected such as 30s, 10m, 1h30m or ever`;
}

function bodyMistake(error: z.ZodError): string {
  const mistakes = error.issues.map(({ path, message }) =>
    path.length === 0 ? message : `${path.join(".")}: ${message}`,
  );
  return badBody(mistakes);
}

function badBody(mistakes: readonly string[]): string {
  return `Invalid body: ${mistakes.join("; ")}; expected {"address": "192.0.2.1", "for": "1h"}`;
}
