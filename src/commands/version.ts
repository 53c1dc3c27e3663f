// SPDX-License-Identifier: Apache-2.0
// `ttgate version`.
import { type Command, helpFlag, helpText, jsonFlag } from "../cli/command.ts";
import { requireNoOperand } from "../cli/command_line.ts";
import { version as built } from "../generated/version.ts";

const flags = { json: jsonFlag, help: helpFlag };

export const version: Command = {
  name: "version",
  usage: "",
  about: "version and runtime",
  flags,
  help: helpText("Usage: ttgate version [options]\n\nPrints the version, and the runtime that it is built on.", flags),
  async run({ flags, positionals }, { stdout, runtime }) {
    requireNoOperand(positionals, "version");
    stdout.line(flags["json"] === true ? JSON.stringify({ version: built, runtime }) : `ttgate ${built} (${runtime})`);
    return 0;
  },
};
