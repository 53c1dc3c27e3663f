// SPDX-License-Identifier: Apache-2.0
// The maps of bpf/inline_maps.h. None is pinned: a start writes them anew, and the pinned program holds on to
// its own as long as it judges.

export const inlineMaps = [
  "ttgate_inline",
  "ttgate_tables",
  "ttgate_undecided",
  "ttgate_merging",
  "ttgate_welcome",
  "ttgate_cookies",
  "ttgate_ended",
  "ttgate_never_ban",
  "ttgate_events",
  "ttgate_inline_counters",
  "ttgate_scratch",
  "ttgate_judged",
  "ttgate_seen",
] as const;

export type InlineMap = (typeof inlineMaps)[number];
