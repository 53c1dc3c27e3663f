// SPDX-License-Identifier: Apache-2.0
// What `ttgate doctor` says of each list that is to be followed: whether it can be had and read now, and how it goes
// with it in the gate that runs.
import { type BlocklistOptions, shownSource } from "../config/blocklist.ts";
import type { Config } from "../config/options.ts";
import { formatDuration } from "../core/duration.ts";
import { messageOf } from "../failure.ts";
import { takeIn } from "../sources/blocklist/intake.ts";
import { openSupply } from "../sources/blocklist/supply.ts";
import type { BlocklistView } from "../sources/blocklist/view.ts";
import type { Finding } from "./finding.ts";

/** A gate waits longer; somebody who looks on does not. */
const patienceMs = 20_000;

/**
 * A list that fails is a warning: the gate goes on with what it took before.
 * @param running the lists of the gate that runs; empty without one.
 */
export function listFindings(config: Config, running: readonly BlocklistView[]): Promise<Finding[]> {
  return Promise.all(
    config.blocklist.map((list) =>
      listFinding(
        list,
        config["ipv6-prefix"],
        running.find(({ name }) => name === list.name),
      ),
    ),
  );
}

async function listFinding(
  { name, source, wide }: BlocklistOptions,
  ipv6Bits: number,
  running: BlocklistView | undefined,
): Promise<Finding> {
  const shown = shownSource(source);
  const beside = running === undefined ? "" : `; ${runningText(running)}`;
  try {
    const supply = await openSupply(source, undefined, AbortSignal.timeout(patienceMs));
    if (supply.kind === "unchanged")
      throw new Error("the server says that nothing has changed, and was not asked that");
    const { entries, refused, failures } = await takeIn(supply.chunks, { ipv6Bits, wide });
    const [first] = failures;
    const lines = first === undefined ? "" : `, ${refused} refused, line ${first.line}: ${first.message}`;
    const found = `${name}: ${entries.size} entries in ${shown}${lines}${beside}`;
    const failed = running?.error ?? null;
    if (failed === null) return { name: "list", state: "good", found, remedy: null };
    return { name: "list", state: "warning", found, remedy: "ttgate reload: the gate tries it again at once" };
  } catch (error) {
    const remedy = source.startsWith("/") ? `ls -l ${source}` : `curl -sSL ${shown} | head`;
    return { name: "list", state: "warning", found: `${name}: ${shown}: ${messageOf(error)}${beside}`, remedy };
  }
}

function runningText({ entries, ageSeconds, unchangedSeconds, error }: BlocklistView): string {
  const read = ageSeconds === null ? "has not read it yet" : `read it ${formatDuration(ageSeconds * 1000)} ago`;
  const changed =
    unchangedSeconds === null ? "" : `, where it last changed ${formatDuration(unchangedSeconds * 1000)} ago,`;
  return `the gate ${read}${changed} and holds ${entries} entries${error === null ? "" : `; the last time it failed: ${error}`}`;
}
