// SPDX-License-Identifier: Apache-2.0
// `ttgate version`.
import { type Command, helpFlag, helpText, jsonFlag } from "../cli/command.ts";
import { Failure } from "../failure.ts";
import { version as built } from "../generated/version.ts";

const flags = { json: jsonFlag, help: helpFlag };

export const version: Command = {
  name: "version",
  usage: "",
  about: "version and runtime",
  flags,
  help: helpText("Usage: ttgate version [options]\n\nPrints the version, and the runtime that it is built on.", flags),
  async run({ flags, positionals }, { stdout, runtime }) {
    if (positionals.length > 0) {
      const given = positionals.join(" ");
      throw new Failure(`ttgate version takes no operand, given: "${given}": see "ttgate version --help"`, {
        exitCode: 2,
      });
    }
    stdout.line(flags["json"] === true ? JSON.stringify({ version: built, runtime }) : `ttgate ${built} (${runtime})`);
    return 0;
  },
};
