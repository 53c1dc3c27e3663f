// SPDX-License-Identifier: Apache-2.0
// What monitoring asks for again and again, perhaps a thousand times a second: made once for all who ask within a
// moment, and found without the router.
import { Shared } from "./shared.ts";
import type { Snapshot } from "./snapshot.ts";

/** What they are made of. */
export interface FrequentSource {
  snapshot(): Snapshot;
  readiness(): Promise<{ readonly ready: boolean }>;
  metrics(ready: boolean): string;
}

/** By the path, as it is written. */
export type FrequentAnswers = ReadonlyMap<string, () => Promise<Response>>;

interface Rendered {
  readonly body: string;
  readonly init: ResponseInit;
}

/** At most five hundred of each a second. Who asks over one connection again and again has as many. */
const restMs = 2;

const json = { "content-type": "application/json" };
const prometheus = { "content-type": "text/plain; version=0.0.4; charset=utf-8" };

export function frequentAnswers(source: FrequentSource): FrequentAnswers {
  const alive = { body: JSON.stringify({ alive: true }), init: { headers: json } };
  return new Map<string, () => Promise<Response>>([
    ["/healthz", async () => response(alive)],
    [
      "/readyz",
      shared(async () => {
        const readiness = await source.readiness();
        return { body: JSON.stringify(readiness), init: { status: readiness.ready ? 200 : 503, headers: json } };
      }),
    ],
    ["/status", shared(() => ({ body: JSON.stringify(source.snapshot()), init: { headers: json } }))],
    [
      "/metrics",
      shared(async () => {
        const { ready } = await source.readiness();
        return { body: source.metrics(ready), init: { headers: prometheus } };
      }),
    ],
  ]);
}

function shared(make: () => Rendered | Promise<Rendered>): () => Promise<Response> {
  const answer = new Shared(restMs, make);
  return async () => response(await answer.ask());
}

function response({ body, init }: Rendered): Response {
  return new Response(body, init);
}
