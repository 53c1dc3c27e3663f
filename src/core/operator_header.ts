// SPDX-License-Identifier: Apache-2.0
// By which headers a command tells the status endpoint who types it.

/** For the audit trail, and nothing hangs on it. */
export const operatorHeader = "ttgate-operator";

/** SSH_CONNECTION of the session that it is typed in, so that this session is not banned. */
export const sshHeader = "ttgate-ssh-connection";
