// SPDX-License-Identifier: Apache-2.0
// What most tests of a whole gate begin with: a network, a map, a server, and the gate before it.
import { BlockMap, RunningGate } from "./gate.ts";
import { Network } from "./netns.ts";
import { startServer } from "./standin.ts";

export interface Scene {
  readonly network: Network;
  readonly map: BlockMap;
  readonly gate: RunningGate;
}

/**
 * @param stack all of it goes away with this.
 * @param options the gate's, besides -B; with `--mode inline` the server has the guarded port itself. What is to be there
 *   before the gate is made here.
 */
export async function openScene(
  stack: AsyncDisposableStack,
  options: (network: Network, map: BlockMap) => readonly string[] | Promise<readonly string[]> = () => [],
): Promise<Scene> {
  const network = stack.use(new Network());
  const map = stack.use(new BlockMap());
  const own = await options(network, map);
  const where = own.includes("inline") ? ["--port", "5000", "--host", "0.0.0.0"] : ["--port", "5001"];
  stack.use(await startServer(network.gate, ...where));
  const gate = stack.use(await RunningGate.start(["-B", map.name, ...own], { namespace: network.gate }));
  return { network, map, gate };
}
