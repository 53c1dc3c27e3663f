// SPDX-License-Identifier: Apache-2.0
// Numbers, times and links as the pages write them. Everything that is put into markup goes through `html`,
// which escapes it.
import { html } from "hono/html";
import { formatDuration } from "../../core/duration.ts";

export type Markup = ReturnType<typeof html>;

/** 12,345 */
export function number(value: number): string {
  return `${value}`.replace(/\B(?=(\d{3})+$)/g, ",");
}

/** 12.3 MB */
export function bytes(value: number): string {
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  const power = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log10(Math.max(1, value)) / 3)));
  const scaled = value / 1000 ** power;
  return `${power === 0 || scaled >= 100 ? number(Math.round(scaled)) : scaled.toFixed(1)} ${units[power]}`;
}

/** The time left of a ban. */
export function timeLeft(seconds: number | null): string {
  return seconds === null ? "without an end" : formatDuration(Math.ceil(seconds) * 1000);
}

/** `2026-11-28 23:10:05`, with the zone beside it in a title. */
export function moment(rfc3339: string): Markup {
  const [day = "", time = ""] = rfc3339.split("T");
  return html`<time datetime="${rfc3339}" title="UTC">${day} ${time.slice(0, 8)}</time>`;
}

export function sourceLink(source: string): Markup {
  return html`<a class="source" href="/source/${encodeURIComponent(source)}">${source}</a>`;
}

/** By sign and colour. */
export function mark(isGood: boolean, text: string): Markup {
  return html`<span class="${isGood ? "good" : "bad"}">${isGood ? "✓" : "✗"} ${text}</span>`;
}

/** A term and what is said of it; left out where there is nothing to say. */
export function term(name: string, said: Markup | string | undefined): Markup | string {
  return said === undefined ? "" : html`<div><dt>${name}</dt><dd>${said}</dd></div>`;
}
