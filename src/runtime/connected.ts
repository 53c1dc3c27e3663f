// SPDX-License-Identifier: Apache-2.0
// A connection as a promise, for where there are few: a promise for each of thousands a second is what they weigh.
import type { Runtime } from "./types.ts";

export function connected(dial: Runtime["dial"]): Runtime["connect"] {
  return (to, events) =>
    new Promise((resolve, reject) => {
      dial(to, events, { connected: resolve, failed: reject });
    });
}
