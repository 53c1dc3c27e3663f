// SPDX-License-Identifier: Apache-2.0
// Prints docs/commands.md: the help of every command, which is where each says what it takes and how it ends.
import process from "node:process";
import { aliases } from "../../src/cli/aliases.ts";
import { exitCodes } from "../../src/cli/exit_codes.ts";
import { loadAll } from "../../src/cli/program.ts";
import { commands } from "../../src/main.ts";

const codes = Object.entries(exitCodes).map(([code, meaning]) => `| ${code} | ${meaning} |`);
const others = Object.entries(aliases).map(([alias, name]) => `\`${alias}\` is \`${name}\``);

const head = `# Commands

\`ttgate help COMMAND\` prints what stands here. Options of \`ttgate run\` are keys of /etc/ttgate/ttgate.toml too. Every
read-only command accepts \`--json\`. ${others.join(", ")}.

An error is one line on stderr: what failed, the value in quotes, what to do. Colour is for terminals only, and not where
\`NO_COLOR\` is set.

## Exit codes

The same for every command; its own help says what a code means there in particular.

| Code | Meaning |
|---|---|
${codes.join("\n")}

Of several addresses each is carried out, whatever becomes of the others; the highest code of any is that of the command.
`;

export async function commandsDoc(): Promise<string> {
  const sections = (await loadAll(commands)).map(
    ({ name, help }) => `\n## ttgate ${name}\n\n\`\`\`\n${help}\n\`\`\`\n`,
  );
  return head + sections.join("");
}

if (import.meta.main) process.stdout.write(await commandsDoc());
