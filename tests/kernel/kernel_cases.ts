// SPDX-License-Identifier: Apache-2.0
// Every test of the kernel layer that runs under both runtimes.
import { attachCases } from "./attach_cases.ts";
import { detachCases } from "./detach_cases.ts";
import { documentedMapCases } from "./documented_map_cases.ts";
import { fenceCases } from "./fence_cases.ts";
import type { KernelCase } from "./kernel_case.ts";
import { mapCases } from "./map_cases.ts";
import { nextHopsCases } from "./next_hops_cases.ts";
import { otherToolsCases } from "./other_tools_cases.ts";
import { privilegesCases } from "./privileges_cases.ts";
import { probeCases } from "./probe_cases.ts";
import { proofCases } from "./proof_cases.ts";
import { refusalCases } from "./refusal_cases.ts";

export const kernelCases: readonly KernelCase[] = [
  ...fenceCases,
  ...documentedMapCases,
  ...refusalCases,
  ...attachCases,
  ...proofCases,
  ...detachCases,
  ...privilegesCases,
  ...probeCases,
  ...mapCases,
  ...otherToolsCases,
  ...nextHopsCases,
];
