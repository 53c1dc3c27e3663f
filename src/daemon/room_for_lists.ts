// SPDX-License-Identifier: Apache-2.0
// How much lists may fill: they are long and their bans last, so that in a full table or map those that clients and
// operators ask for would have to make room for them.
import type { Prefix } from "../core/address.ts";
import type { Bans } from "../core/bans/bans.ts";
import type { Fence, FenceStatus } from "../core/bans/fence.ts";

const share = 0.9;

/** @param status as it was when last asked. @returns whether one more fits beside `asked` others. */
export function roomForLists(
  bans: Bans,
  fence: Fence | undefined,
  status: () => FenceStatus | undefined,
): (prefix: Prefix, asked: number) => boolean {
  return (prefix, asked) => {
    if (bans.size + asked >= bans.capacity * share) return false;
    const map = fence?.mapOf(prefix);
    const capacity = status()?.maps.find(({ name }) => name === map)?.capacity;
    return capacity === undefined || bans.standing(map) + asked < capacity * share;
  };
}
