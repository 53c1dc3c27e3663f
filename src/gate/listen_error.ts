// SPDX-License-Identifier: Apache-2.0
// Why a port could not be had, and what to do.
import { codeOf, Failure, messageOf } from "../failure.ts";

export function cannotListen(option: string, address: string, error: unknown): Failure {
  const remedies: Readonly<Record<string, string>> = {
    EADDRINUSE: `the port is in use; "ss -ltnp" shows by whom, or choose another with ${option}`,
    EACCES: `no permission; ports below 1024 need root or CAP_NET_BIND_SERVICE, or choose another with ${option}`,
    EADDRNOTAVAIL: `no interface has this address; "ip address" shows those there are, or choose another with ${option}`,
  };
  const remedy = remedies[codeOf(error) ?? ""] ?? messageOf(error);
  return new Failure(`Cannot listen on "${address}": ${remedy}`, { exitCode: 3, cause: error });
}
