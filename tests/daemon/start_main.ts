// SPDX-License-Identifier: Apache-2.0
// Opens a daemon in a process of its own, with a failure after the step of a given number, and prints as JSON
// which steps were done and what is left in the process: `bun start_main.ts NUMBER -- OPTIONS...`.
import { createServer } from "node:net";
import process from "node:process";
import { parseCommandLine } from "../../src/cli/command_line.ts";
import { soleGate } from "../../src/config/gates.ts";
import { loadConfig } from "../../src/config/load.ts";
import { options } from "../../src/config/options.ts";
import { openDaemon } from "../../src/daemon/daemon.ts";
import { messageOf } from "../../src/failure.ts";
import { openLog } from "../../src/log.ts";
import { currentRuntime } from "../../src/runtime/select.ts";

const [number = "", , ...args] = process.argv.slice(2);
const { flags } = parseCommandLine(args, options, "");
const config = loadConfig(flags, "/dev/null");
const steps: string[] = [];
let failure: string | undefined;
try {
  const daemon = await openDaemon({
    config,
    readConfig: () => config,
    runtime: await currentRuntime(),
    version: "0.0.1",
    log: openLog("text"),
    onStep(name) {
      steps.push(name);
      if (steps.length === Number(number)) throw new Error("injected");
    },
  });
  await daemon.close();
} catch (error) {
  failure = messageOf(error);
}

/** Whether the gate's port can be had by somebody else now. */
const isFree = await new Promise<boolean>((resolve) => {
  const server = createServer();
  server.once("error", () => resolve(false));
  const { port, host } = soleGate(config).listen;
  server.listen(port, host, () => server.close(() => resolve(true)));
});
console.log(JSON.stringify({ steps, failure: failure ?? null, isFree }));
process.exit(0);
