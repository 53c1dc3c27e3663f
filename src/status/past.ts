// SPDX-License-Identifier: Apache-2.0
// `GET /history`: what happened by second, minute or hour. Names are a contract: docs/status.md.
import { type Past, type Step, steps } from "../core/history.ts";

export interface PastView {
  readonly step: Step;
  readonly stepSeconds: number;
  /** The end of the last slot, RFC 3339. */
  readonly until: string;
  readonly series: Past["series"];
}

export interface PastQuery {
  readonly step: Step;
  readonly count: number;
}

const countDefault: Readonly<Record<Step, number>> = { second: 60, minute: 60, hour: 24 };

/** @returns the query, or what is wrong with it. */
export function pastQuery(asked: (name: string) => string | undefined): PastQuery | string {
  const step = asked("step") ?? "minute";
  if (!isStep(step)) return `Invalid step "${step}": expected ${steps.join(", ")}`;
  const count = asked("count") ?? `${countDefault[step]}`;
  if (!/^\d{1,4}$/.test(count) || Number(count) < 1) {
    return `Invalid count "${count}": expected a whole number from 1 to 9999`;
  }
  return { step, count: Number(count) };
}

function isStep(text: string): text is Step {
  return (steps as readonly string[]).includes(text);
}
