// SPDX-License-Identifier: Apache-2.0
// Silence is the kernel's to grant: without CAP_NET_ADMIN connections are reset, which is counted, and said
// once at the start.

import { expect } from "bun:test";
import { join } from "node:path";
import process from "node:process";
import { run } from "../harness/child.ts";
import { testWith } from "../harness/needs.ts";

const script = join(import.meta.dirname, "../harness/rejection_main.ts");

async function rejected(...before: readonly string[]): Promise<unknown> {
  const { stdout, stderr } = await run([...before, process.execPath, script]);
  if (stdout === "") throw new Error(stderr);
  return JSON.parse(stdout);
}

testWith("root")("with the capability the peer hears nothing", async () => {
  expect(await rejected()).toEqual({
    ...{ silenced: 2, notSilenced: 0, atStart: 0, log: [] },
    peers: ["nothing", "nothing"],
  });
});

testWith("root")("without it the peer is reset, and that is told once", async () => {
  const message =
    "Cannot end a connection silently: TCP_REPAIR: EPERM, it takes CAP_NET_ADMIN; one that cannot be is reset";
  expect(await rejected("setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin")).toEqual({
    ...{ silenced: 0, notSilenced: 2, atStart: 1, log: [message] },
    peers: ["ECONNRESET", "ECONNRESET"],
  });
});
