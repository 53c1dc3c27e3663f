// SPDX-License-Identifier: Apache-2.0
// The pages for people: `/` and `/source/ADDR`. What they show is what the interfaces for programs say.
import type { Hono } from "hono";
import type { BanQuery } from "../../core/bans/search.ts";
import type { ChangeResult } from "../../sources/answer.ts";
import { banQuery } from "../ban_list.ts";
import { Shared } from "../shared.ts";
import type { Slices } from "../slices.ts";
import type { Snapshot, Why } from "../snapshot.ts";
import { documentOf, pageHeaders, type State } from "./document.ts";
import { type HomeSource, homeOf } from "./home.ts";
import { sourceOf } from "./source.ts";
import type { Markup } from "./words.ts";

/** What the pages ask of the daemon. */
export interface PageSource extends HomeSource {
  snapshot(): Snapshot;
  readiness(): Promise<State>;
  why(address: string): Promise<ChangeResult<Why>>;
}

const bansShown = 25;
/** The page without a search, which everybody has open, is made twenty times a second at most. */
const homeRestMs = 50;

/** @param needsToken for changes. */
export function addPages(app: Hono, source: PageSource, slices: Slices, needsToken: boolean): void {
  const home = async (query: BanQuery) => {
    const readiness = await source.readiness();
    const snapshot = source.snapshot();
    const body = await slices.run(homeOf(source, snapshot, query));
    const { host, version } = snapshot;
    return documentOf({ title: `ttgate on ${host}`, version, readiness, body });
  };
  let unsearched: Shared<Awaited<Markup>> | undefined;
  app.get("/", async (context) => {
    const parameters = context.req.query();
    const asked = banQuery((name) => (name === "limit" ? undefined : parameters[name]), bansShown);
    if (typeof asked === "string") return context.text(asked, 400);
    if (!slices.hasRoom) return context.text("Too many long answers are under way", 503, { "retry-after": "1" });
    if (Object.keys(parameters).length > 0) return context.html(await home(asked), 200, { ...pageHeaders });
    unsearched ??= new Shared(homeRestMs, () => home(asked));
    return context.html(await unsearched.ask(), 200, { ...pageHeaders });
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
