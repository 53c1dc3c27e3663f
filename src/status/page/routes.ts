// SPDX-License-Identifier: Apache-2.0
// The pages for people: `/` and `/source/ADDR`. What they show is what the interfaces for programs say.
import type { Hono } from "hono";
import type { ChangeResult } from "../../sources/answer.ts";
import { banQuery } from "../ban_list.ts";
import type { Slices } from "../slices.ts";
import type { Snapshot, Why } from "../snapshot.ts";
import { documentOf, pageHeaders, type State } from "./document.ts";
import { type HomeSource, homeOf } from "./home.ts";
import { sourceOf } from "./source.ts";

/** What the pages ask of the daemon. */
export interface PageSource extends HomeSource {
  snapshot(): Snapshot;
  readiness(): Promise<State>;
  why(address: string): Promise<ChangeResult<Why>>;
}

const bansShown = 25;

/** @param needsToken for changes. */
export function addPages(app: Hono, source: PageSource, slices: Slices, needsToken: boolean): void {
  app.get("/", async (context) => {
    const asked = banQuery((name) => (name === "limit" ? undefined : context.req.query(name)), bansShown);
    if (typeof asked === "string") return context.text(asked, 400);
    if (!slices.hasRoom) return context.text("Too many long answers are under way", 503, { "retry-after": "1" });
    const readiness = await source.readiness();
    const snapshot = source.snapshot();
    const body = await slices.run(homeOf(source, snapshot, asked));
    const { host, version } = snapshot;
    return context.html(documentOf({ title: `ttgate on ${host}`, version, readiness, body }), 200, { ...pageHeaders });
  });
  app.get("/source/:address{.+}", async (context) => {
    const why = await source.why(context.req.param("address"));
    if (why.kind !== "done") return context.text(why.message, 400);
    const readiness = await source.readiness();
    const { host, version } = source.snapshot();
    const body = sourceOf(why.value, needsToken);
    const title = `${why.value.address} at ttgate on ${host}`;
    return context.html(documentOf({ title, version, readiness, body }), 200, { ...pageHeaders });
  });
}
