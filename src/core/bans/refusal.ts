// SPDX-License-Identifier: Apache-2.0
// Who keeps a banned source out: said of the kernel only where there is proof.

export interface Refusal {
  readonly by: "kernel" | "other program" | "user space" | "nobody";
  /** Why it is not the kernel by ttgate's own program; null where it is, or was never asked for. */
  readonly why: string | null;
}

/** A clause for the log and for people. */
export function refusalText({ by, why }: Refusal): string {
  const because = why === null ? "" : `: ${why}`;
  switch (by) {
    case "kernel":
      return "blocked in the kernel";
    case "other program":
      return `in the kernel's map${because}`;
    case "user space":
      return `refused in user space${because}`;
    case "nobody":
      return `not blocked${because}`;
    default:
      return by satisfies never;
  }
}
