// SPDX-License-Identifier: Apache-2.0
// From the configuration to this gate as a component of CrowdSec, or to the reason why it is none. The code is loaded
// only where it is.
import { existsSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import type { Config } from "../config/options.ts";
import type { Prefix } from "../core/address.ts";
import { Failure, messageOf } from "../failure.ts";
import { readSmallText } from "../host/small_file.ts";
import type { Log } from "../log.ts";
import type { Crowdsec } from "../sources/crowdsec/crowdsec.ts";
import type { LapiSecrets, MachineCredentials } from "../sources/crowdsec/lapi.ts";
import type { DaemonBans } from "./bans.ts";
import { Reread } from "./reread.ts";
import type { Moment } from "./state/journal.ts";

export interface DaemonCrowdsecOptions {
  readonly config: () => Config;
  readonly bans: DaemonBans;
  readonly hasRoom: (prefix: Prefix, asked: number) => boolean;
  readonly version: string;
  readonly moment: () => Moment;
  readonly log: Log;
}

/** @throws Failure when the key or a file of its options cannot be read. */
export async function openCrowdsec(options: DaemonCrowdsecOptions): Promise<Crowdsec | undefined> {
  const { config, bans, hasRoom, version, moment, log } = options;
  const { crowdsec: address, "dry-run": dryRun, "ipv6-prefix": ipv6Bits } = config();
  if (address === undefined) return undefined;
  if (dryRun) {
    log("info", "Dry run: CrowdSec is not asked");
    return undefined;
  }
  const { Crowdsec } = await import("../sources/crowdsec/crowdsec.ts");
  const { Remedy } = await import("../core/crowdsec/remedy.ts");
  const { Outbox } = await import("../core/crowdsec/outbox.ts");
  const { enforcement } = bans;
  const secrets = new Reread(() => crowdsecSecrets(config()), sameMachine);
  const login = secrets.now().machine?.login;
  const push =
    login === undefined ? undefined : { outbox: new Outbox(enforcement), origin: `ttgate:${login}`, machine: login };
  const remedy = new Remedy({ enforcement, hasRoom, ownOrigin: push?.origin });
  enforcement.follow(remedy);
  if (push !== undefined) enforcement.follow(push.outbox);
  const pushes = push === undefined ? "" : `; is told of own bans as the machine "${login}"`;
  log("info", `CrowdSec: decisions from ${address.text}${pushes}`);
  return new Crowdsec({
    ...{ address, version, remedy, push, ipv6Bits, moment, log },
    secrets: () => secrets.now(),
    whySecretsAreOld: () => secrets.failure,
    everyMs: () => config()["crowdsec-every"],
  });
}

/** By its login a machine's decisions are known: another one is another component. */
export function sameMachine(now: LapiSecrets, before: LapiSecrets): void {
  if (now.machine?.login === before.machine?.login) return;
  throw new Failure(`--crowdsec-push names another machine, "${now.machine?.login}": restart to be that one`);
}

/** @throws Failure when one cannot be read, or there is no key. */
export function crowdsecSecrets(config: Config, variables = process.env): LapiSecrets {
  const path = config["crowdsec-push"];
  const credentials = read("crowdsec-push", path);
  const machine = credentials === undefined ? undefined : machineIn(credentials);
  if (credentials !== undefined && machine === undefined) {
    const remedy = `"cscli machines add NAME --auto --file ${path}" writes it`;
    throw new Failure(`Invalid --crowdsec-push "${path}": it names no login and password; ${remedy}`, { exitCode: 2 });
  }
  return { key: keyOf(config, variables), ca: read("crowdsec-ca", config["crowdsec-ca"]), machine };
}

function keyOf(config: Config, variables: Readonly<Record<string, string | undefined>>): string {
  const directory = variables["CREDENTIALS_DIRECTORY"];
  const credential = directory === undefined ? undefined : join(directory, "crowdsec-key");
  const path = config["crowdsec-key"] ?? (credential !== undefined && existsSync(credential) ? credential : undefined);
  const key = (read("crowdsec-key", path) ?? variables["TTGATE_CROWDSEC_KEY"] ?? "").trim();
  const remedy = '"cscli bouncers add NAME -o raw" prints one, write it into the file of --crowdsec-key';
  if (key === "") throw new Failure(`There is no key for CrowdSec: ${remedy}`, { exitCode: 2 });
  if (!/^[\x21-\x7e]{1,512}$/.test(key)) throw new Failure(`Invalid key for CrowdSec: ${remedy}`, { exitCode: 2 });
  return key;
}

/** Of the three lines of YAML that cscli writes: url, login, password. */
export function machineIn(text: string): MachineCredentials | undefined {
  const values = new Map<string, string>();
  for (const [, key = "", quoted, plain] of text.matchAll(/^(\w+):[ \t]*(?:["'](.*)["']|(.*?))[ \t\r]*$/gm)) {
    values.set(key, quoted ?? plain ?? "");
  }
  const [login = "", password = ""] = [values.get("login"), values.get("password")];
  return /^[\w.@-]{1,128}$/.test(login) && password !== "" ? { login, password } : undefined;
}

function read(option: "crowdsec-key" | "crowdsec-push" | "crowdsec-ca", path: string | undefined): string | undefined {
  if (path === undefined) return undefined;
  try {
    return readSmallText(path);
  } catch (cause) {
    throw new Failure(`Cannot read --${option} "${path}": ${messageOf(cause)}`, { exitCode: 2, cause });
  }
}
