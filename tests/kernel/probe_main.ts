// SPDX-License-Identifier: Apache-2.0
// Prints what the probe finds, as JSON: `probe_main.ts MAP INTERFACE [judges]`.
import process from "node:process";
import { probeKernel } from "../../src/fences/xdp/proof/probe.ts";
import { currentRuntime } from "../../src/runtime/select.ts";

const [map = "", device = "", mode] = process.argv.slice(2);
const { native } = await currentRuntime();
console.log(JSON.stringify(await probeKernel({ native, map, interfaces: [device], judges: mode === "judges" })));
