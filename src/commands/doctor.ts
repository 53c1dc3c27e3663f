// SPDX-License-Identifier: Apache-2.0
// `ttgate doctor`: is this host ready for the given options? If not, what to type.
import { green, red, yellow } from "../cli/colour.ts";
import { type Command, helpText, jsonFlag } from "../cli/command.ts";
import { requireNoOperand } from "../cli/command_line.ts";
import { configFlags } from "../cli/config_flags.ts";
import { findDaemon } from "../cli/daemon_client.ts";
import type { Env, Output } from "../cli/env.ts";
import { loadConfig } from "../config/load.ts";
import type { Config } from "../config/options.ts";
import { formatEndpoint } from "../core/address.ts";
import type { Finding } from "../daemon/finding.ts";
import type { Instance } from "../daemon/instance.ts";
import type { RunningGate } from "../daemon/running_findings.ts";
import { currentRuntime } from "../runtime/select.ts";
import type { BlocklistView } from "../sources/blocklist/view.ts";
import type { ReadinessAnswer } from "../status/routes.ts";
import type { Snapshot } from "../status/snapshot.ts";

const head = `Usage: ttgate doctor [options]

Checks whether this host is ready for "ttgate run" with the same options, and asks the gate that runs with them.
Changes nothing. For each thing that is missing, it says what to type.`;

const marks: Readonly<Record<Finding["state"], string>> = { good: "ok  ", warning: "warn", bad: "BAD " };

const flags = { ...configFlags, json: jsonFlag } as const;

export const doctor: Command = {
  name: "doctor",
  usage: "",
  about: "is this host ready? If not, what to type",
  flags,
  help: helpText(head, flags, { 0: "this host is ready", 1: "something is missing" }),
  async run({ flags: { config: file, json, help: _help, ...given }, positionals }, env) {
    requireNoOperand(positionals, "doctor");
    const { stdout } = env;
    const config = loadConfig(given, typeof file === "string" ? file : undefined);
    const { examine } = await import("../daemon/doctor.ts");
    const { runningInstances } = await import("../daemon/instance.ts");
    const instances = runningInstances(env.runDirectory);
    const running = await runningGates(config, instances, env);
    const lists = config.blocklist.length > 0 && instances.length > 0 ? await runningLists(env) : [];
    const findings = await examine(config, await currentRuntime(), instances, { gates: running, lists });
    const ready = findings.every(({ state }) => state !== "bad");
    stdout.line(json === true ? JSON.stringify({ ready, findings }) : rendered(findings, ready, stdout));
    return ready ? 0 : 1;
  },
};

/** Those that have the ports of this configuration, as far as they can be asked. */
async function runningGates(
  { gates }: Config,
  instances: readonly Instance[],
  env: Env,
): Promise<readonly RunningGate[]> {
  const wanted = gates.map(({ listen: { host, port } }) => formatEndpoint({ address: host, port }));
  const holders = instances.filter(({ listen, listens }) =>
    (listens ?? [listen]).some((address) => wanted.includes(address)),
  );
  const answers = holders.map(async ({ pid, status }) => {
    try {
      const { body } = await findDaemon(status, env).ask("GET", "/readyz");
      const { reasons, notes = [] } = body as ReadinessAnswer;
      return [{ pid, reasons, notes }];
    } catch {
      return [];
    }
  });
  return (await Promise.all(answers)).flat();
}

/** Of the gate that runs; none where it cannot be asked. */
async function runningLists(env: Env): Promise<readonly BlocklistView[]> {
  try {
    const { status, body } = await findDaemon(undefined, env).ask("GET", "/status");
    return status === 200 ? (body as Snapshot).blocklists : [];
  } catch {
    return [];
  }
}

function rendered(findings: readonly Finding[], ready: boolean, stdout: Output): string {
  const paint = { good: green, warning: yellow, bad: red };
  const lines = findings.flatMap(({ state, name, found, remedy }) => {
    const line = `${paint[state](stdout, marks[state])}  ${name.padEnd(14)} ${found}`;
    return remedy === null ? [line] : [line, `      ${"".padEnd(14)} -> ${remedy}`];
  });
  return [...lines, ready ? "This host is ready" : "This host is not ready"].join("\n");
}
