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

export const nothingGiven: GivenListeners = { listener: () => undefined, statusListener: () => undefined };

interface Activated {
  readonly fd: number;
  readonly name: string;
  readonly address: BoundAddress;
}

/** The first of them: sd_listen_fds(3). */
const firstDescriptor = 3;
const statusName = "status";

/**
 * @param wanted where this process is going to listen, and its status endpoint.
 * @throws Failure when a socket is none of these.
 */
export function activatedListeners(
  runtime: Runtime,
  wanted: { readonly listen: HostPort | undefined; readonly status: StatusAddress },
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
  const { listen, status } = wanted;
  const statusSocket = sockets.find(
    ({ name, address }) => name === statusName || (status.kind !== "off" && isAt(address, status)),
  );
  const listener = sockets.find(
    (socket) => socket !== statusSocket && listen !== undefined && isAt(socket.address, { kind: "tcp", ...listen }),
  );
  const stranger = sockets.find((socket) => socket !== statusSocket && socket !== listener);
  if (stranger !== undefined) {
    const where =
      listen === undefined ? "in inline mode the server listens" : `--listen says ${text({ kind: "tcp", ...listen })}`;
    throw refused(`"${stranger.name}" listens on ${text(stranger.address)}, ${where}`, "make both the same");
  }
  if (statusSocket !== undefined && (status.kind === "off" || !isAt(statusSocket.address, status))) {
    throw refused(
      `"${statusSocket.name}" listens on ${text(statusSocket.address)}, not where --status says`,
      "make both the same",
    );
  }
  return { listener: () => listener?.fd, statusListener: () => statusSocket?.fd };
}

function activated(libc: Libc, fd: number, name = ""): Activated {
  keepToItself(libc, fd);
  const address = listeningAddress(libc, fd);
  if (address === undefined) throw refused(`"${name}" is no socket that accepts connections`, "use ListenStream=");
  return { fd, name, address };
}

function isAt(bound: BoundAddress, asked: Exclude<StatusAddress, { kind: "off" }>): boolean {
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
