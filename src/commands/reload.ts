// SPDX-License-Identifier: Apache-2.0
// `ttgate reload`: has the running gate read its configuration and profile again, and says what came of it.
import type { Command, Flags } from "../cli/command.ts";
import { refusal } from "../cli/daemon_client.ts";
import { daemonCommand } from "../cli/daemon_command.ts";
import { changeText } from "../config/difference.ts";
import { runningInstances } from "../daemon/instance.ts";
import { runsAnother, startInPlaceOf } from "../daemon/takeover/upgrade.ts";
import { Failure } from "../failure.ts";
import type { ReloadAnswer, ReloadedOption } from "../status/routes.ts";

const exitInvalid = 1;

const flags = {
  upgrade: { help: "take over instead where the gate runs another executable than this one" },
} as const satisfies Flags;

export const reload: Command = daemonCommand({
  name: "reload",
  flags,
  about: "read configuration and profile again",
  description: `Has the running gate read its configuration file and its profile again. Connections and bans go on. Says which
options changed, and which of them wait for a restart.`,
  exitCodes: { 1: "the configuration is not valid; the gate goes on with the one from before" },
  async run({ daemon, json, flags: { upgrade, status } }, env) {
    const { stdout, stderr } = env;
    if (upgrade === true) {
      const pid = await upgraded(status === undefined ? undefined : daemon.address, env.runDirectory);
      if (pid !== undefined) {
        stdout.line(json ? JSON.stringify({ pid }) : `The gate goes on with pid ${pid}`);
        return 0;
      }
    }
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

/** @returns the new pid; undefined where the gate runs this executable. @throws Failure */
async function upgraded(status: string | undefined, runDirectory: string): Promise<number | undefined> {
  const instances = runningInstances(runDirectory);
  const gate = instances.find((instance) => status === undefined || instance.status === status);
  if (gate === undefined) throw new Failure("Cannot upgrade: no gate runs here", { exitCode: 3 });
  return runsAnother(gate) ? startInPlaceOf(gate, runDirectory) : undefined;
}

function rendered({ applied, waiting }: ReloadAnswer): string[] {
  const lines = [...applied.map(appliedText), ...waiting.map(waitingText)];
  return lines.length === 0 ? ["Nothing changed but, perhaps, the profile"] : lines;
}

function appliedText({ option, gate, before, after }: ReloadedOption): string {
  if (option !== "gate") return `${of(gate)}${option}: ${changeText(before, after)}`;
  return `${of(gate)}${after === null ? `closed, it listened on ${before}` : `opened, it listens on ${after}`}`;
}

function waitingText({ option, gate, before, after }: ReloadedOption): string {
  if (option === "gate") return `${of(gate)}opened after a restart: the kernel program that runs cannot judge`;
  const told = `${JSON.stringify(before)} stays until a restart, the configuration says ${JSON.stringify(after)}`;
  return `${of(gate)}${option}: ${told}`;
}

function of(gate: string | undefined): string {
  return gate === undefined ? "" : `gate "${gate}": `;
}
