// SPDX-License-Identifier: Apache-2.0
// Listening sockets from the service manager (sd_listen_fds(3)): by their names, else by where they listen. A socket
// that nobody asked for is an error: clients would wait in it for ever.
import process from "node:process";
import type { HostPort, StatusAddress } from "../config/endpoints.ts";
import { formatEndpoint, parsePrefix } from "../core/address.ts";
import { Failure } from "../failure.ts";
import { type BoundAddress, keepToItself, listeningAddress } from "../kernel/descriptor.ts";
import { type Libc, openLibc } from "../kernel/libc.ts";
import type { Runtime } from "../runtime/types.ts";

/** What a process may find at its start instead of making it. */
export interface GivenListeners {
  /** The socket that listens there; the caller's. */
  listener(address: HostPort): number | undefined;
  statusListener(address: StatusAddress): number | undefined;
}

const nothingGiven: GivenListeners = { listener: () => undefined, statusListener: () => undefined };

interface Activated {
  readonly fd: number;
  readonly name: string;
  readonly address: BoundAddress;
}

/** The first of them: sd_listen_fds(3). */
const firstDescriptor = 3;
const statusName = "status";

/** A gate that listens by itself. */
interface Relay {
  readonly name: string;
  readonly listen: HostPort;
}

/**
 * @param wanted where this process is going to listen, and its status endpoint.
 * @throws Failure when a socket is none of these.
 */
export function activatedListeners(
  runtime: Runtime,
  wanted: { readonly relays: readonly Relay[]; readonly status: StatusAddress },
  variables: Record<string, string | undefined> = process.env,
): GivenListeners {
  const count = Number(variables["LISTEN_FDS"] ?? 0);
  const isOurs = variables["LISTEN_PID"] === String(process.pid) && Number.isInteger(count) && count > 0;
  const names = (variables["LISTEN_FDNAMES"] ?? "").split(":");
  // Whom this process starts is not to take them for its own.
  for (const name of ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"]) delete variables[name];
  if (!isOurs) return nothingGiven;
  if (!runtime.adoptsListeners) {
    throw refused(`${runtime.name} accepts nothing on them`, "use the executable, or stop the socket unit");
  }
  const libc = openLibc(runtime.native);
  const sockets = Array.from({ length: count }, (_, index) => activated(libc, firstDescriptor + index, names[index]));
  const { relays, status } = wanted;
  const listeners = new Map<Relay, Activated>();
  let statusSocket: Activated | undefined;
  for (const socket of sockets) {
    const named = relays.find(({ name }) => name === socket.name);
    const isStatus = socket.name === statusName || isAt(socket.address, status);
    const relay = named ?? (isStatus ? undefined : relays.find(({ listen }) => isAt(socket.address, tcp(listen))));
    if (relay !== undefined && !listeners.has(relay) && isAt(socket.address, tcp(relay.listen))) {
      listeners.set(relay, socket);
    } else if (relay === undefined && isStatus && statusSocket === undefined) {
      statusSocket = socket;
    } else throw stranger(socket, relays);
  }
  if (statusSocket !== undefined && !isAt(statusSocket.address, status)) {
    throw refused(`${described(statusSocket)}, not where --status says`, "make both the same");
  }
  return {
    listener: (address) => {
      const relay = relays.find(({ listen }) => listen.host === address.host && listen.port === address.port);
      return relay === undefined ? undefined : listeners.get(relay)?.fd;
    },
    statusListener: () => statusSocket?.fd,
  };
}

function stranger(socket: Activated, relays: readonly Relay[]): Failure {
  const [only, ...others] = relays.map(({ listen }) => text(tcp(listen)));
  const where =
    only === undefined
      ? "in inline mode the server listens"
      : others.length === 0
        ? `--listen says ${only}`
        : `the gates listen on ${relays.map(({ name, listen }) => `${text(tcp(listen))} ("${name}")`).join(", ")}`;
  return refused(`${described(socket)}, ${where}`, "make both the same");
}

function described({ name, address }: Activated): string {
  return `"${name}" listens on ${text(address)}`;
}

function tcp(listen: HostPort): BoundAddress {
  return { kind: "tcp", ...listen };
}

function activated(libc: Libc, fd: number, name = ""): Activated {
  keepToItself(libc, fd);
  const address = listeningAddress(libc, fd);
  const which = name === "" ? `descriptor ${fd}` : `"${name}"`;
  if (address === undefined) throw refused(`${which} is no socket that accepts connections`, "use ListenStream=");
  return { fd, name, address };
}

function isAt(bound: BoundAddress, asked: StatusAddress): boolean {
  if (asked.kind === "off") return false;
  if (bound.kind === "unix" || asked.kind === "unix") {
    return bound.kind === "unix" && asked.kind === "unix" && bound.path === asked.path;
  }
  return bound.port === asked.port && parsePrefix(bound.host)?.text === parsePrefix(asked.host)?.text;
}

function text(address: BoundAddress): string {
  return address.kind === "unix"
    ? address.path
    : formatEndpoint({ address: parsePrefix(address.host)?.text ?? address.host, port: address.port });
}

function refused(state: string, remedy: string): Failure {
  return new Failure(`Cannot use the sockets from the service manager: ${state}: ${remedy}`, { exitCode: 2 });
}
