// SPDX-License-Identifier: Apache-2.0
// `ttgate version`.
import { type Command, helpFlag, jsonFlag } from "../cli/command.ts";
import { Failure } from "../failure.ts";
import { version as built } from "../generated/version.ts";

export const version: Command = {
  name: "version",
  usage: "",
  about: "version and runtime",
  flags: { json: jsonFlag, help: helpFlag },
  help: "Usage: ttgate version [--json]",
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
