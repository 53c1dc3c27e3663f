// SPDX-License-Identifier: Apache-2.0
// What may be behind a ban for a client's own bytes, besides an attack, and what to do then.
import { proxy } from "../recognisers/relay.ts";
import type { Claim } from "./claim.ts";

/**
 * Of a client that may be a load balancer, everybody behind whom is banned with it.
 * @param mayAcceptProxy whether a gate may have such a one in front. The kernel's judge may not.
 * @returns its own address, since a whole network is not to be believed.
 */
export function balancerIn(
  { origin, reason, evidence, gate }: Claim,
  mayAcceptProxy: (gate: string | undefined) => boolean,
): string | undefined {
  const maybe = origin === "sniffer" && reason === proxy.name && mayAcceptProxy(gate);
  return maybe ? evidence?.clientAddress : undefined;
}

export function balancerAdvice(client: string): string {
  return `a load balancer of yours? --accept-proxy ${client} believes its headers`;
}

/** @param source as it is banned. */
export function customerAdvice(source: string): string {
  return `a customer? "ttgate lift ${source}" lets it in again; an office behind one address? docs/customers.md`;
}
