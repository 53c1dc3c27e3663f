// SPDX-License-Identifier: Apache-2.0
// What a gate's options say of its server: where it is, and how strangers to it are answered.
import { isLoopback, isWildcard } from "../core/address.ts";
import type { HostPort, ServerAddress } from "./endpoints.ts";
import type { Options } from "./options.ts";

/** Where the server is to be found from here: in inline mode where the clients go. */
export function serversOf({
  mode,
  listen: { host, port },
  upstream,
}: Pick<Options, "mode" | "listen" | "upstream">): readonly ServerAddress[] {
  return mode === "inline" ? [{ host: isWildcard(host) ? "127.0.0.1" : host, port }] : upstream;
}

/** Whether a connection to the address comes to who listens there. @param isOwn whether an address is one of this host. */
export function reaches(listen: HostPort, { host, port }: HostPort, isOwn = isLoopback): boolean {
  if (listen.port !== port) return false;
  if (isWildcard(host)) return true;
  return isWildcard(listen.host) ? isOwn(host) : listen.host === host;
}

const checkMs = 2000;

/** How often servers are looked at; undefined: one alone gets its clients' connections whatever a look would tell. */
export function checkEvery({
  mode,
  check,
  upstream,
}: Pick<Options, "mode" | "check" | "upstream">): number | undefined {
  if (mode === "inline" || check === "off") return undefined;
  return check ?? (upstream.length > 1 ? checkMs : undefined);
}

/** What a program that judges lets pass unjudged, where it cannot judge. Behind a prefilter the gate judges it. */
export function unjudged({
  mode,
  fragments,
}: Pick<Options, "mode" | "fragments">): readonly ("fragments" | "unread")[] {
  if (mode === "proxy") return ["fragments", "unread"];
  return fragments === "pass" ? ["fragments"] : [];
}

/** Whether a program that judges answers the packets of those who are banned with RST. */
export function bounces({ mode, reject }: Pick<Options, "mode" | "reject">): boolean {
  return (reject ?? (mode === "inline" ? "silent" : "reset")) === "reset";
}
