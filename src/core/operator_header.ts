// SPDX-License-Identifier: Apache-2.0
// By which a command tells the status endpoint who types it: for the audit trail, and nothing hangs on it.

export const operatorHeader = "ttgate-operator";
