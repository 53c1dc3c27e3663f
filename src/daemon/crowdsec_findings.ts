// SPDX-License-Identifier: Apache-2.0
// What `ttgate doctor` says of CrowdSec: is its local API there, does it know the key and the machine.
import { isLocalApi } from "../config/crowdsec_address.ts";
import type { Config } from "../config/options.ts";
import { messageOf } from "../failure.ts";
import { version } from "../generated/version.ts";
import { crowdsecSecrets } from "./crowdsec.ts";
import type { Finding } from "./finding.ts";

const name = "CrowdSec";
/** Asked about: nobody has it (RFC 5737). */
const nobody = "192.0.2.1";
const limitMs = 5000;

/** Empty without CrowdSec. Changes nothing there: what a gate that runs has not seen yet is left to it. */
export async function crowdsecFindings(config: Config): Promise<Finding[]> {
  const { crowdsec: address } = config;
  if (address === undefined) return [];
  const { Lapi, LapiError } = await import("../sources/crowdsec/lapi.ts");
  const bad = (error: unknown, remedy: string): Finding => {
    return { name, state: "bad", found: `${address.text}: ${messageOf(error)}`, remedy };
  };
  let lapi: InstanceType<typeof Lapi>;
  let login: string | undefined;
  try {
    const secrets = crowdsecSecrets(config);
    login = secrets.machine?.login;
    lapi = new Lapi({ address, secrets: () => secrets, version });
  } catch (error) {
    return [bad(error, "docs/crowdsec.md says how")];
  }
  const findings: Finding[] = [];
  try {
    await lapi.decisionsOn("Ip", nobody, AbortSignal.timeout(limitMs));
    findings.push({ name, state: "good", found: `${address.text} answers, and knows the key`, remedy: null });
  } catch (error) {
    const isKey = error instanceof LapiError && error.status === 403;
    const remedy = isKey
      ? '"cscli bouncers add NAME -o raw" prints a key: write it into the file of --crowdsec-key'
      : "start CrowdSec, or correct --crowdsec; without it the gate goes on by itself";
    return [bad(error, remedy)];
  }
  try {
    const others = await lapi.otherScopes(AbortSignal.timeout(limitMs));
    if (others > 0) findings.push(leftOut(`${others} bans are on countries or AS numbers, and`));
  } catch (error) {
    // The gate goes on without: it never asks for that.
    findings.push(leftOut(`bans on countries or AS numbers cannot be counted (${messageOf(error)}), and are`));
  }
  if (!address.tls && !isLocalApi(address)) findings.push(noTls);
  if (login === undefined) return findings;
  try {
    await lapi.login(AbortSignal.timeout(limitMs));
    findings.push({ name, state: "good", found: `the machine "${login}" may push alerts`, remedy: null });
  } catch (error) {
    const remedy = `"cscli machines add ${login} --auto --force --file FILE" writes new credentials, for --crowdsec-push`;
    findings.push(bad(error, remedy));
  }
  return findings;
}

function leftOut(what: string): Finding {
  const found = `${what} not carried out here: a gate bans addresses and ranges`;
  const remedy =
    'cscli decisions list -a --scope Country (and "--scope AS") shows them; --blocklist takes a list of networks';
  return { name, state: "warning", found, remedy };
}

const noTls: Finding = {
  name,
  state: "warning",
  found: "without TLS over the network: who is in between reads the key and writes bans",
  remedy: "write https://, and name its certificates with --crowdsec-ca",
};
