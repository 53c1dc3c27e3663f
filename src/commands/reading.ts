// SPDX-License-Identifier: Apache-2.0
// What the commands that talk to the gate have in common: their flags, their help, their way to it.
import { type CommandLine, type Flag, flagHelp, parseCommandLine } from "../cli.ts";
import { type Control, findControl } from "../control.ts";
import { Failure } from "../failure.ts";

const shared = {
  status: {
    short: "s",
    value: "ADDR",
    help: "the gate's status endpoint: HOST:PORT or unix:PATH (default: the one that runs)",
  },
  json: { help: "print JSON" },
  help: { short: "h", help: "this text" },
} as const satisfies Record<string, Flag>;

export interface Asking {
  readonly control: Control;
  readonly json: boolean;
  readonly flags: CommandLine["flags"];
  readonly positionals: readonly string[];
}

export interface CommandShape {
  readonly name: string;
  /** What follows the name in the usage line. */
  readonly operands: string;
  readonly about: string;
  readonly flags?: Readonly<Record<string, Flag>>;
  /** How many operands there must be; none when --from names a list of them. */
  readonly count: number;
}

export function flagsOf(shape: CommandShape): Readonly<Record<string, Flag>> {
  return { ...shape.flags, ...shared };
}

/** @returns undefined when help was asked for and printed. */
export function asking(args: readonly string[], shape: CommandShape): Asking | undefined {
  const table = flagsOf(shape);
  const { flags, positionals } = parseCommandLine(args, table, `${shape.name} `);
  if (flags["help"] === true) {
    const usage = ["Usage: ttgate", shape.name, shape.operands, "[options]"].filter((word) => word !== "").join(" ");
    console.log(`${usage}\n\n${shape.about}\n\nOptions:\n${flagHelp(table)}`);
    return undefined;
  }
  const count = typeof flags["from"] === "string" ? 0 : shape.count;
  if (positionals.length !== count || positionals.includes("")) {
    const wanted = count === 0 ? "takes no operand" : `wants ${shape.operands}`;
    const given = positionals.length === 0 ? "none was given" : `given: "${positionals.join(" ")}"`;
    throw new Failure(`ttgate ${shape.name} ${wanted}, ${given}: see "ttgate ${shape.name} --help"`, { exitCode: 2 });
  }
  const status = flags["status"];
  const control = findControl(typeof status === "string" ? status : undefined);
  return { control, json: flags["json"] === true, flags, positionals };
}
