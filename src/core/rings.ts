// SPDX-License-Identifier: Apache-2.0
// Gates that lead to one another, and whether one of them leads back to where it began. Pure.

/** @param leadsTo where each leads. @returns whether the way from one comes to another, or is there. */
export function comesTo(leadsTo: (name: string) => readonly string[], from: string, to: string): boolean {
  const seen = new Set<string>();
  const waiting = [from];
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
    if (name === to) return true;
    if (seen.has(name)) continue;
    seen.add(name);
    waiting.push(...leadsTo(name));
  }
  return false;
}
