// SPDX-License-Identifier: Apache-2.0
// From generic XDP up to native. An interface cannot have both, not even for a moment, so that tc judges its packets
// in between.
import type { Attachment, AttachStep } from "./attachment.ts";

/** Puts our program there, or tells why not: -errno. */
export type Attach = (step: AttachStep) => Attachment | number;

/** @returns what holds now, which is `before` where nothing could stand in for it. */
export function climbToNative(before: Attachment, ladder: readonly AttachStep[], attach: Attach): Attachment {
  before.dropPin();
  const standIn = firstOf(
    (["tcx", "clsact"] as const).filter((step) => ladder.includes(step)),
    attach,
  );
  if (standIn === undefined) {
    before.repin();
    return before;
  }
  before.release(false);
  standIn.dropPin();
  const made = firstXdp(attach);
  if (made === undefined) {
    standIn.repin();
    return standIn;
  }
  standIn.release(false);
  return made;
}

/** @returns undefined where both are refused. */
export function firstXdp(attach: Attach): Attachment | undefined {
  return firstOf(["native", "generic"], attach);
}

function firstOf(steps: readonly AttachStep[], attach: Attach): Attachment | undefined {
  for (const step of steps) {
    const made = attach(step);
    if (typeof made !== "number") return made;
  }
  return undefined;
}
