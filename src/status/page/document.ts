// SPDX-License-Identifier: Apache-2.0
// What every page has: head, state, and the policy under which a browser shows it. The page is one file; it asks
// nobody but this endpoint for anything, and nothing runs or is styled that is not named here by its hash.
import { html, raw } from "hono/html";
import { pageScript, pageStyle, scriptHash, styleHash } from "../../generated/page_assets.ts";
import type { Markup } from "./words.ts";

/** As /readyz says it. */
export interface State {
  readonly ready: boolean;
  readonly reasons: readonly string[];
}

export interface Document {
  readonly title: string;
  readonly version: string;
  readonly readiness: State;
  readonly body: Markup;
}

const policy = [
  "default-src 'none'",
  `style-src '${styleHash}'`,
  `script-src '${scriptHash}'`,
  "connect-src 'self'",
  "img-src data:",
  "form-action 'self'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
].join("; ");

export const pageHeaders: Readonly<Record<string, string>> = {
  "content-security-policy": policy,
  "cache-control": "no-store",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
};

/** A green disc, or a red square: told apart without colour too. */
function icon(ready: boolean): string {
  const shape = ready ? "<circle cx='8' cy='8' r='7' fill='#1a7f37'/>" : "<path d='M1 1h14v14H1z' fill='#c62828'/>";
  return `data:image/svg+xml,${encodeURIComponent(`<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'>${shape}</svg>`)}`;
}

export function documentOf({ title, version, readiness: { ready, reasons }, body }: Document): Markup {
  return html`<!doctype html>
<html lang="en" data-version="${version}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${ready ? "● Ready" : "■ Not ready"}: ${title}</title>
<link rel="icon" href="${icon(ready)}">
<style>${raw(pageStyle)}</style>
</head>
<body>
<a class="skip" href="#main">Skip to the content</a>
<main id="main">
<div id="state" role="status" class="${ready ? "ready" : "failing"}"><strong>${ready ? "Ready" : "Not ready"}</strong>${
    ready ? "" : html`<ul>${reasons.map((reason) => html`<li>${reason}</li>`)}</ul>`
  }</div>
${body}
</main>
<script>${raw(pageScript)}</script>
</body>
</html>
`;
}
