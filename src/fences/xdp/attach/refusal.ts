// SPDX-License-Identifier: Apache-2.0
// Why the kernel did not take our program, in words for the log and the status.
import { errnoName } from "../../../kernel/errno.ts";
import { queryXdp } from "../../../kernel/xdp_query.ts";
import { describeProgram } from "../programs.ts";
import type { AttachStep } from "./attachment.ts";
import type { LinkPlace } from "./link_attachment.ts";

export const ebusy = -16;
export const eexist = -17;
export const eopnotsupp = -95;

const steps: Readonly<Record<AttachStep, string>> = {
  native: "native XDP",
  generic: "generic XDP",
  tcx: "tc link",
  clsact: "tc filter",
};

/** @param result -errno */
export function refusalText(
  { libraries, ifindex }: Pick<LinkPlace, "libraries" | "ifindex">,
  step: AttachStep,
  result: number,
): string {
  const name = errnoName(-result);
  const isXdp = step === "native" || step === "generic";
  if (isXdp && (result === ebusy || result === eexist)) {
    const { programId } = queryXdp(libraries, ifindex);
    // net/core/dev.c, dev_xdp_attach: a port of a bridge or bond whose master has a program.
    if (programId === 0) return `no XDP: the bridge or bond above it has an XDP program (${name})`;
    return `no XDP: ${describeProgram(libraries, programId)} is attached there (${name})`;
  }
  const why: Readonly<Record<string, string>> = {
    EOPNOTSUPP: "the driver does not have it",
    ERANGE: "the interface's MTU is too large for it",
    EINVAL: step === "tcx" ? "the kernel is older than 6.6" : "the driver refuses it as it is set up now",
    ENOMEM: "not enough memory or queues",
    ENOSPC: "not enough queues",
    EPERM: "it needs root or CAP_NET_ADMIN and CAP_BPF",
  };
  return `no ${steps[step]}: ${why[name] ?? "refused"} (${name})`;
}
