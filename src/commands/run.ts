// SPDX-License-Identifier: Apache-2.0
// `ttgate [run]`: load the configuration, open the gate, wait for a signal, close it.
import process from "node:process";
import { type Command, helpText } from "../cli/command.ts";
import { type CommandLine, requireNoOperand } from "../cli/command_line.ts";
import { configFlags } from "../cli/config_flags.ts";
import { ConfigSource } from "../config/config_source.ts";
import type { Daemon, DaemonOptions } from "../daemon/daemon.ts";
import { messageOf } from "../failure.ts";
import { version } from "../generated/version.ts";
import { LineSink } from "../host/line_sink.ts";
import { type Log, openLog } from "../log.ts";
import { currentRuntime } from "../runtime/select.ts";

const head = `Usage: ttgate [run] [options]

Accepts connections, relays clients that speak the expected protocol to the server, and bans all other sources
for a time. With -B the kernel drops the packets of banned sources.`;

/** On a terminal it says that the terminal is gone. */
const hangupReloads = !process.stdin.isTTY;

/** --takeover is about one start, and no key of the file. */
const runFlags = {
  ...configFlags,
  takeover: {
    help: "take over from the gate that runs here: port, bans and kernel block, without a connection lost",
  },
} as const;

export const run: Command = {
  name: "run",
  usage: "[options]",
  about: "guard a port (default)",
  flags: runFlags,
  help: helpText(head, runFlags, { 0: "stopped by SIGINT or SIGTERM, or taken over from" }),
  run: guard,
};

/** Who does not take the last lines of the log does not hold up the end. */
const lastLinesMs = 1000;

/** Runs until SIGINT or SIGTERM. */
async function guard({ flags, positionals }: CommandLine): Promise<number> {
  requireNoOperand(positionals, "run");
  const { config: file, help: _help, takeover, ...given } = flags;
  const source = new ConfigSource(given, typeof file === "string" ? file : undefined);
  const config = source.read();
  const runtime = await currentRuntime();
  const sink = new LineSink(runtime.writeError, (count) =>
    log("warn", `Lost lines of the log: ${count}, since its reader took none, or there was no room`, { lost: count }),
  );
  const log = openLog(config.log, undefined, (line) => sink.write(line));
  try {
    return await serve({ config, readConfig: () => source.read(), runtime, log, takesOver: takeover === true });
  } finally {
    await sink.flush(lastLinesMs);
  }
}

/** @throws Failure when it cannot start. */
async function serve(options: Omit<DaemonOptions, "version">): Promise<number> {
  const { log } = options;
  const stop = stopSignal();
  const opening = import("../daemon/daemon.ts").then(({ openDaemon }) => openDaemon({ ...options, version }));
  if (hangupReloads) process.on("SIGHUP", () => void reload(opening, log));
  for (const signal of ["SIGUSR1", "SIGUSR2"] as const)
    process.on(signal, () => log("warn", `Nothing is done on ${signal}: SIGHUP reloads, SIGTERM stops`));
  const daemon = await opening;
  const why = await Promise.race([stop, daemon.replaced]);
  log("info", `Stopping ${why}`);
  await daemon.close();
  return 0;
}

function stopSignal(): Promise<string> {
  return new Promise((resolve) => {
    const signals = ["SIGINT", "SIGTERM", ...(hangupReloads ? [] : (["SIGHUP"] as const))] as const;
    for (const signal of signals) process.on(signal, () => resolve(`on ${signal}`));
  });
}

/** While it starts, once it has: what was changed may have been read before. */
async function reload(opening: Promise<Daemon>, log: Log): Promise<void> {
  const daemon = await opening.catch(() => undefined);
  if (daemon === undefined) return;
  log("info", "Audit: reload by the signal SIGHUP", { audit: "reload", peer: "signal" });
  try {
    await daemon.reload();
  } catch (error) {
    log("error", `Cannot reload: ${messageOf(error)}; the configuration from before goes on`);
  }
}
