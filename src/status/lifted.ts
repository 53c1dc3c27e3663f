// SPDX-License-Identifier: Apache-2.0
// What a lift answers: as JSON, put together in pieces, and in a few words for the audit trail.
import type { Prefix } from "../core/address.ts";
import type { Lifted } from "../sources/answer.ts";

/** In one piece: a third of a millisecond. */
const sourcesAtOnce = 1000;
/** Of a long list, in the audit trail. */
const mostNamed = 5;

/** `{"lifted": [...], "staying": [...], "foreign": ...}`, a text for each piece; the last two are left out where empty. */
export function* liftedJson({ lifted, staying, foreign }: Lifted): Generator<string, void, void> {
  yield '{"lifted":[';
  yield* listJson(lifted);
  if (staying.length > 0) {
    yield '],"staying":[';
    yield* listJson(staying);
  }
  yield foreign === 0 ? "]}" : `],"foreign":${foreign}}`;
}

function* listJson(prefixes: readonly Prefix[]): Generator<string, void, void> {
  for (let start = 0; start < prefixes.length; start += sourcesAtOnce) {
    const texts = prefixes.slice(start, start + sourcesAtOnce).map(({ text }) => JSON.stringify(text));
    yield (start === 0 ? "" : ",") + texts.join(",");
  }
}

export function liftedWords({ lifted, staying }: Lifted): string {
  if (lifted.length === 0) return staying.length === 0 ? "nobody" : "";
  const more = lifted.length > mostNamed ? ` and ${lifted.length - mostNamed} more` : "";
  return (
    lifted
      .slice(0, mostNamed)
      .map(({ text }) => text)
      .join(", ") + more
  );
}
