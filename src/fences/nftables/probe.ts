// SPDX-License-Identifier: Apache-2.0
// Is this host ready to block by nftables, and if not, what to type. Looks and changes nothing.
import { messageOf } from "../../failure.ts";
import type { ProbeFinding } from "../xdp/proof/probe.ts";
import { nft, nftMissing } from "./nft.ts";
import { isLiving, lookAt } from "./open.ts";
import { ownerOf, tableOf } from "./ruleset.ts";

export interface NftFinding {
  readonly finding: ProbeFinding;
  readonly isUsable: boolean;
}

/** @param isNeeded nothing else is to block. */
export async function probeNft(map: string, isNeeded: boolean): Promise<NftFinding> {
  const name = "nftables";
  let version = "";
  try {
    await nft(["--version"], {
      onText: (text) => {
        version += text;
      },
    });
    const living = (await lookAt(tableOf(map))).owners.find(isLiving);
    const use = living === undefined ? "" : `, the gate with pid ${ownerOf(living)?.pid} blocks by it`;
    const found = `${version.trim().split(" (")[0]}${use}`;
    return { finding: { name, state: "good", found, remedy: null }, isUsable: true };
  } catch (error) {
    const found = messageOf(error);
    if (!isNeeded && found === nftMissing) {
      const unneeded = "not installed, and of use only where an interface takes neither XDP nor tc";
      return { finding: { name, state: "good", found: unneeded, remedy: null }, isUsable: false };
    }
    const remedy = found.includes(nftMissing) ? "apt install nftables" : "run as root, or with CAP_NET_ADMIN";
    return { finding: { name, state: isNeeded ? "bad" : "warning", found, remedy }, isUsable: false };
  }
}
