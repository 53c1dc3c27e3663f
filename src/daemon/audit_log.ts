// SPDX-License-Identifier: Apache-2.0
// The log lines of the audit trail.

import { socketOwner, userName } from "../host/socket_owner.ts";
import type { LineLimit, Log } from "../log.ts";
import type { AuditEntry, AuditOptions } from "../status/audit.ts";

/** Without the token, or by a strange name (421: status/host_names.ts). */
const notAllowed: ReadonlySet<number> = new Set([401, 421]);
const aboutNotAllowed = "changes that were not allowed";

/** @param lines guards against who tries tokens; what was allowed is never held back. */
export function auditLog(log: Log, lines: LineLimit): AuditOptions {
  return {
    isWritten: (status) => !notAllowed.has(status) || lines.hasRoom(aboutNotAllowed),
    async userOf(peer) {
      const id = await socketOwner(peer);
      return id === undefined ? undefined : { id, name: await userName(id) };
    },
    record(entry) {
      const [message, fields] = written(entry);
      if (!notAllowed.has(entry.status)) log("info", message, fields);
      else lines.line("warn", aboutNotAllowed, () => [message, fields]);
    },
  };
}

function written(entry: AuditEntry): readonly [message: string, fields: Readonly<Record<string, unknown>>] {
  const { action, status, outcome, peer, user, claims } = entry;
  const isDone = status < 300;
  const from = peer === undefined ? "the unix socket" : `${peer.address} port ${peer.port}`;
  const who = user === undefined ? "" : ` user ${user.name ?? user.id}`;
  const says = claims === undefined ? "" : `, says to be ${claims}`;
  return [
    `Audit: ${action} ${isDone ? "done" : `refused (${status})`}: ${outcome}; by${who === "" ? "" : `${who} at`} ${from}${says}`,
    {
      audit: action,
      outcome: isDone ? "done" : "refused",
      status,
      detail: outcome,
      peer: peer === undefined ? "unix" : peer.address,
      peerPort: peer?.port,
      uid: user?.id,
      user: user?.name,
      says: claims,
    },
  ];
}
