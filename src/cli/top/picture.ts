// SPDX-License-Identifier: Apache-2.0
// What `ttgate top` shows, asked of the daemon all at once.
import { type BanOrder, banOrders } from "../../core/bans/search.ts";
import type { PastView } from "../../status/past.ts";
import type { BanView, Snapshot } from "../../status/snapshot.ts";
import type { TalkersView } from "../../status/talkers.ts";
import { type DaemonClient, type Reply, refusal } from "../daemon_client.ts";

export interface Picture {
  readonly status: Snapshot;
  readonly readiness: { readonly ready: boolean; readonly reasons: readonly string[] };
  /** The last minute by the second. */
  readonly history: PastView;
  /** `total` of those that were asked for, `banned` in all. */
  readonly bans: { readonly total: number; readonly banned: number; readonly bans: readonly BanView[] };
  readonly talkers: TalkersView;
}

export interface Wanted {
  readonly order: BanOrder;
  readonly search: string;
  readonly limit: number;
}

export async function takePicture(daemon: DaemonClient, { order, search, limit }: Wanted): Promise<Picture> {
  const query = new URLSearchParams({ limit: `${limit}`, sort: order, ...(search === "" ? {} : { q: search }) });
  const [status, readiness, history, bans, talkers] = await Promise.all([
    daemon.ask("GET", "/status"),
    daemon.ask("GET", "/readyz"),
    daemon.ask("GET", "/history?step=second&count=60"),
    daemon.ask("GET", `/bans?${query}`),
    daemon.ask("GET", "/talkers"),
  ]);
  return {
    status: told(status) as Snapshot,
    // 503 is an answer too: not ready.
    readiness: (readiness.status === 503 ? readiness.body : told(readiness)) as Picture["readiness"],
    history: told(history) as PastView,
    bans: told(bans) as Picture["bans"],
    talkers: told(talkers) as TalkersView,
  };
}

function told(reply: Reply): unknown {
  if (reply.status !== 200) throw refusal(reply, 3);
  return reply.body;
}

export function nextOrder(order: BanOrder): BanOrder {
  return banOrders[(banOrders.indexOf(order) + 1) % banOrders.length] ?? "newest";
}
