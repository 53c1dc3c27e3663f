// SPDX-License-Identifier: Apache-2.0
// `ttgate [run]`: load the configuration, open the gate, wait for a signal, close it.
import process from "node:process";
import { flagHelp, parseCommandLine } from "../cli.ts";
import { defaultConfigFile, loadConfig } from "../config/load.ts";
import { options } from "../config/options.ts";
import { type Daemon, openDaemon } from "../daemon/daemon.ts";
import { Failure, messageOf } from "../failure.ts";
import { version } from "../generated/version.ts";
import { type Log, openLog } from "../log.ts";
import { currentRuntime } from "../runtime/select.ts";

export const runFlags = {
  ...options,
  config: {
    short: "c",
    value: "FILE",
    help: `every option above as a key; flags win, --no-NAME unsets a switch (default ${defaultConfigFile})`,
  },
  help: { short: "h", help: "this text" },
} as const;

export const runHelp = `Usage: ttgate [run] [options]

Accepts connections, throws out sources that speak another protocol than the expected one, keeps them
out for a time, and relays everybody else to the server. With -B the kernel drops their packets.

Options:
${flagHelp(runFlags)}
`;

/** On a terminal it says that the terminal is gone. */
const hangupReloads = !process.stdin.isTTY;

/** Runs until SIGINT or SIGTERM. */
export async function run(args: readonly string[]): Promise<number> {
  const { flags, positionals } = parseCommandLine(args, runFlags, "");
  if (flags["help"] === true) {
    console.log(runHelp.trimEnd());
    return 0;
  }
  if (positionals[0] !== undefined) {
    throw new Failure(`Unknown command "${positionals[0]}": see "ttgate --help"`, { exitCode: 2 });
  }
  const { config: file, help: _help, ...given } = flags;
  const readConfig = () => loadConfig(given, typeof file === "string" ? file : undefined);
  const config = readConfig();
  const log = openLog(config.log);
  const stop = stopSignal();
  const runtime = await currentRuntime();
  const daemon = await openDaemon({ config, readConfig, runtime, version, log });
  if (hangupReloads) process.on("SIGHUP", () => reload(daemon, log));
  const signal = await stop;
  log("info", `Stopping on ${signal}`);
  await daemon.close();
  return 0;
}

function stopSignal(): Promise<string> {
  return new Promise((resolve) => {
    const signals = ["SIGINT", "SIGTERM", ...(hangupReloads ? [] : (["SIGHUP"] as const))] as const;
    for (const signal of signals) process.on(signal, () => resolve(signal));
  });
}

function reload(daemon: Daemon, log: Log): void {
  try {
    daemon.reload();
  } catch (error) {
    log("error", `Cannot reload: ${messageOf(error)}; the configuration from before goes on`);
  }
}
