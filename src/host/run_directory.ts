// SPDX-License-Identifier: Apache-2.0
// The directory where running daemons have a file each: root's own, or the user's.
import { join } from "node:path";

/** @param uid undefined where the system has no such thing. */
export function runDirectory(variables: Readonly<Record<string, string | undefined>>, uid: number | undefined): string {
  const own = variables["XDG_RUNTIME_DIR"];
  return uid === 0 || own === undefined ? "/run/ttgate" : join(own, "ttgate");
}
