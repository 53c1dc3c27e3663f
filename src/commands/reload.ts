// SPDX-License-Identifier: Apache-2.0
// `ttgate reload`: has the running gate read its configuration and profile again, and says what came of it.
import type { Command } from "../cli/command.ts";
import { refusal } from "../cli/daemon_client.ts";
import { daemonCommand } from "../cli/daemon_command.ts";
import type { ReloadAnswer, ReloadedOption } from "../status/routes.ts";

const exitInvalid = 1;

export const reload: Command = daemonCommand({
  name: "reload",
  about: "read configuration and profile again",
  description: `Has the running gate read its configuration file and its profile again. Connections and bans go on. Says which
options changed, and which of them wait for a restart.`,
  exitCodes: { 1: "the configuration is not valid; the gate goes on with the one from before" },
  async run({ daemon, json }, { stdout, stderr }) {
    const reply = await daemon.ask("POST", "/reload");
    if (reply.status === 422) {
      stderr.line(`ttgate: ${refusal(reply).message}`);
      return exitInvalid;
    }
    if (reply.status !== 200) throw refusal(reply);
    const answer = reply.body as ReloadAnswer;
    stdout.line(json ? JSON.stringify(answer) : rendered(answer).join("\n"));
    return 0;
  },
});

function rendered({ applied, waiting }: ReloadAnswer): string[] {
  const change = ({ option, before, after }: ReloadedOption) =>
    `${option}: ${JSON.stringify(before)} is now ${JSON.stringify(after)}`;
  const wait = ({ option, before, after }: ReloadedOption) =>
    `${option}: ${JSON.stringify(before)} stays until a restart, the configuration says ${JSON.stringify(after)}`;
  const lines = [...applied.map(change), ...waiting.map(wait)];
  return lines.length === 0 ? ["Nothing changed but, perhaps, the profile"] : lines;
}
