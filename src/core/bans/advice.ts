// SPDX-License-Identifier: Apache-2.0
// What may be behind a ban for a client's own bytes, besides an attack, and which option it takes then.
import { proxy } from "../recognisers/relay.ts";

/** Everybody behind it is banned with it. @param client its own address: a whole network is not to be believed. */
export function balancerAdvice(protocol: string, client: string): string | undefined {
  return protocol === proxy.name
    ? `a load balancer of yours? --accept-proxy ${client} believes its headers`
    : undefined;
}

/** @param source as it is banned. */
export function customerAdvice(source: string): string {
  return `a customer? "ttgate lift ${source}" lets it in again; an office behind one address? --spare-friends: docs/customers.md`;
}
