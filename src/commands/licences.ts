// SPDX-License-Identifier: Apache-2.0
// `ttgate licences`: what the executable carries, by whom and under which licence.
import { type Command, helpFlag, helpText, jsonFlag } from "../cli/command.ts";
import { requireNoOperand } from "../cli/command_line.ts";
import type { components as carried } from "../generated/licences.ts";

const head = `Usage: ttgate licences [--json]

Prints the name, version and licence of everything that this executable carries, then the licences themselves.`;

const flags = { json: jsonFlag, help: helpFlag };

export const licences: Command = {
  name: "licences",
  usage: "",
  about: "what the executable carries, and under which licences",
  flags,
  help: helpText(head, flags),
  async run({ flags: { json }, positionals }, { stdout }) {
    requireNoOperand(positionals, "licences");
    const { components } = await import("../generated/licences.ts");
    stdout.line(json === true ? JSON.stringify(components) : rendered(components));
    return 0;
  },
};

function rendered(components: typeof carried): string {
  const width = Math.max(...components.map(({ name }) => name.length));
  const rows = components.map(({ name, version, licence }) => `${name.padEnd(width)}  ${version}: ${licence}`);
  const texts = components
    .filter(({ text }) => text !== "")
    .map(({ name, version, source, text }) => {
      const title = `${name} ${version}${source === "" ? "" : ` <${source}>`}`;
      return `${"-".repeat(78)}\n${title}\n${"-".repeat(78)}\n\n${text.trim()}\n`;
    });
  return `${rows.join("\n")}\n\n${texts.join("\n")}`.trimEnd();
}
