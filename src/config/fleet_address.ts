// SPDX-License-Identifier: Apache-2.0
// Where the engine of a fleet is, as people write it: one Redis or Valkey, its Sentinels, or a cluster.

import { isLoopback } from "../core/address.ts";
import { type HostPort, parseSocketPath } from "./endpoints.ts";

export interface FleetAddress {
  readonly kind: "single" | "sentinel" | "cluster";
  /** Of a unix socket none. */
  readonly nodes: readonly HostPort[];
  readonly socket: string | undefined;
  /** What the Sentinels call the server. */
  readonly master: string | undefined;
  readonly tls: boolean;
  readonly user: string | undefined;
  readonly password: string | undefined;
  readonly database: number;
  /** Without the password: for logs. */
  readonly text: string;
}

export const fleetAddressForms =
  "redis://[USER[:PASSWORD]@]HOST[:PORT][/DB], rediss:// for TLS, unix:/PATH, redis+sentinel://HOST[:PORT],…/MASTER or redis+cluster://HOST[:PORT],…";

const pattern = /^(rediss?)(?:\+(sentinel|cluster))?:\/\/(?:([^@/]*)@)?([^@/]+)(?:\/([\w.-]*))?$/;
const usualPorts = { single: 6379, sentinel: 26379, cluster: 6379 } as const;

export function parseFleetAddress(given: string): FleetAddress | undefined {
  const none = { master: undefined, user: undefined, password: undefined, database: 0, tls: false } as const;
  const socket = parseSocketPath(given.replace(/^unix:\/\/\//, "unix:/"));
  if (socket !== undefined) {
    return { kind: "single", nodes: [], socket, text: `unix:${socket}`, ...none };
  }
  const [, scheme, form = "single", credentials, hosts = "", path = ""] = pattern.exec(given) ?? [];
  if (scheme === undefined) return undefined;
  const kind = form as FleetAddress["kind"];
  const nodes = hosts.split(",").map((host) => parseNode(host, usualPorts[kind]));
  if (nodes.some((node) => node === undefined)) return undefined;
  const isPathGood = kind === "sentinel" ? path !== "" : kind === "cluster" ? path === "" : /^\d{0,3}$/.test(path);
  if (!isPathGood || (kind === "single" && nodes.length > 1)) return undefined;
  const [user, password] = (credentials ?? "").split(/:(.*)/, 2).map(decoded);
  return {
    kind,
    nodes: nodes.filter((node) => node !== undefined),
    socket: undefined,
    master: kind === "sentinel" ? path : undefined,
    tls: scheme === "rediss",
    user: user === "" ? undefined : user,
    password: password === "" ? undefined : password,
    database: kind === "single" ? Number(path) : 0,
    text: `${scheme}${kind === "single" ? "" : `+${kind}`}://${user === undefined || user === "" ? "" : `${user}@`}${hosts}${path === "" ? "" : `/${path}`}`,
  };
}

/** Nobody else's network lies in between. */
export function isOnThisHost({ socket, nodes }: FleetAddress): boolean {
  return socket !== undefined || nodes.every(({ host }) => isLoopback(host));
}

function parseNode(text: string, usualPort: number): HostPort | undefined {
  const [, bracketed, plain, portText] = /^(?:\[([0-9A-Fa-f:.]+)\]|([\w.-]{1,253}))(?::(\d{1,5}))?$/.exec(text) ?? [];
  const host = bracketed ?? plain;
  const port = portText === undefined ? usualPort : Number(portText);
  return host === undefined || port < 1 || port > 65535 ? undefined : { host, port };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
