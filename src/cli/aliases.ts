// SPDX-License-Identifier: Apache-2.0
// Other words for a command, as people try them.

export const aliases: Readonly<Record<string, string>> = {
  unban: "lift",
  unblock: "lift",
  block: "ban",
  list: "bans",
};
