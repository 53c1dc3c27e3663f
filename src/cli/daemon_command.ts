// SPDX-License-Identifier: Apache-2.0
// A command that asks the running daemon: the flags that all of these have, their help, their operands,
// and the way to the daemon.
import { Failure, messageOf } from "../failure.ts";
import { type Command, type Flags, helpFlag, helpText, jsonFlag } from "./command.ts";
import { type CommandLine, requireNoOperand } from "./command_line.ts";
import { type DaemonClient, findDaemon } from "./daemon_client.ts";
import type { Env } from "./env.ts";
import type { ExitCode } from "./exit_codes.ts";

const shared = {
  status: {
    short: "s",
    value: "ADDR",
    help: "status endpoint to ask: HOST:PORT or unix:PATH (default: that of the running gate)",
  },
  json: jsonFlag,
  help: helpFlag,
} as const satisfies Flags;

export interface DaemonCall extends CommandLine {
  readonly daemon: DaemonClient;
  readonly json: boolean;
}

export interface DaemonCommand {
  readonly name: string;
  /** What it takes, one or more; without it, it takes none. A list given with --from, and --all, stand in for it. */
  readonly operand?: string;
  readonly about: string;
  /** For its own help, in whole sentences. */
  readonly description: string;
  readonly flags?: Flags;
  /** What an exit code means for this command in particular. */
  readonly exitCodes?: Partial<Readonly<Record<ExitCode, string>>>;
  run(call: DaemonCall, env: Env): Promise<number>;
}

export function daemonCommand(definition: DaemonCommand): Command {
  const { name, operand, about, description, exitCodes, run } = definition;
  const flags: Flags = { ...definition.flags, ...shared };
  const usage = operand === undefined ? "" : `${operand}...`;
  const head = `Usage: ${["ttgate", name, usage, "[options]"].filter((word) => word !== "").join(" ")}`;
  return {
    ...{ name, usage, about, flags },
    help: helpText(`${head}\n\n${description}`, flags, exitCodes),
    async run(line, env) {
      requireOperands(line, definition);
      const { status, json } = line.flags;
      const daemon = findDaemon(typeof status === "string" ? status : undefined, env);
      try {
        return await run({ ...line, daemon, json: json === true }, env);
      } catch (error) {
        throw error instanceof TypeError ? notUnderstood(daemon, error) : error;
      }
    },
  };
}

/** What answers has not the fields that this version of ttgate knows. */
function notUnderstood({ address }: DaemonClient, error: TypeError): Failure {
  const remedy = "does another program answer there, or another version of ttgate?";
  const message = `Cannot read the answer of "${address}": ${messageOf(error)}; ${remedy}`;
  return new Failure(message, { exitCode: 3, cause: error });
}

/** @throws Failure when there are operands and none is wanted, or the other way round. */
function requireOperands({ flags, positionals }: CommandLine, { name, operand }: DaemonCommand): void {
  const isWanted = operand !== undefined && typeof flags["from"] !== "string" && flags["all"] !== true;
  if (!isWanted) {
    requireNoOperand(positionals, name);
    return;
  }
  if (positionals.length > 0 && !positionals.includes("")) return;
  const given = positionals.length === 0 ? "none was given" : `given: "${positionals.join(" ")}"`;
  throw new Failure(`ttgate ${name} wants ${operand}, ${given}: see "ttgate ${name} --help"`);
}
