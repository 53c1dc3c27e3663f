// SPDX-License-Identifier: Apache-2.0
// `GET /events`: the ring of core/events as server-sent events (WHATWG HTML 9.2). Nothing is queued for a
// follower: the runtime asks for more when the follower has read, and gets what the ring holds by then.
import { overlap, type Prefix, parsePrefix } from "../core/address.ts";
import type { Events, GateEvent, Heard } from "../core/bans/events.ts";
import { eventView, type RecentEvent } from "./event_view.ts";

export type OpenedStream =
  | { readonly kind: "open"; readonly stream: ReadableStream<Uint8Array> }
  | { readonly kind: "busy"; readonly message: string; readonly retryAfterSeconds: number }
  | { readonly kind: "invalid"; readonly message: string };

/** Enough for a page or two on each screen; each costs a connection. */
const followersLimit = 16;
const retryAfterSeconds = 10;
/** A proxy in between ends a connection that is silent for longer, mostly after 30 s or 60 s. */
const keepAliveMs = 15_000;
/** A follower who has not read for this long makes room for another one. */
const stalledMs = 2 * keepAliveMs;
/** Together they bound the work for a follower to some 5000 events a second; the rest is told as lost. */
const gatherMs = 25;
const atOnce = 128;

interface Follower {
  askedMs: number;
  end(): void;
}

export class EventStreams {
  readonly #events: Events;
  readonly #nowMs: () => number;
  readonly #followers = new Set<Follower>();
  /** Of an event, for all followers: as long as it is in the ring. */
  readonly #texts = new WeakMap<GateEvent, string>();
  #closed = false;

  /** @param nowMs milliseconds since boot, as in the events. */
  constructor(events: Events, nowMs: () => number) {
    this.#events = events;
    this.#nowMs = nowMs;
  }

  get followers(): number {
    return this.#followers.size;
  }

  /** @param lastEventId as a browser sends it when it connects again; without it, from now on. */
  open(lastEventId: string | undefined): OpenedStream {
    if (lastEventId !== undefined && !/^\d{1,16}$/.test(lastEventId)) {
      const expected = "expected the number of an event of this gate";
      return { kind: "invalid", message: `Invalid Last-Event-ID "${lastEventId}": ${expected}` };
    }
    if (this.#closed) return { kind: "busy", message: "Stopping", retryAfterSeconds };
    if (this.#followers.size >= followersLimit && !this.#dropStalled()) {
      const message = `Too many follow the events: ${followersLimit}, try again later`;
      return { kind: "busy", message, retryAfterSeconds };
    }
    const from = lastEventId === undefined ? this.#events.lastId : Number(lastEventId);
    return { kind: "open", stream: this.#stream(from) };
  }

  /** What happened last, the newest first. */
  recent(count: number): readonly RecentEvent[] {
    return this.#views(this.#events.after(this.#events.lastId - count, count).events);
  }

  /** What happened last to an address, or to a range that it is in or that is in it: the newest first. */
  recentOf(prefix: Prefix, count: number): readonly RecentEvent[] {
    const concerns = ({ event }: Heard["events"][number]) => {
      const source = "source" in event ? parsePrefix(event.source) : undefined;
      return source !== undefined && overlap(source, prefix);
    };
    return this.#views(this.#events.after(0, Number.POSITIVE_INFINITY).events.filter(concerns).slice(-count));
  }

  #views(events: Heard["events"]): readonly RecentEvent[] {
    const bootMs = Date.now() - this.#nowMs();
    return events.map(({ id, event }) => ({ id, event: eventView(event, bootMs) })).reverse();
  }

  /** Ends every stream: an HTTP server that waits for its last reply stops at once. */
  close(): void {
    this.#closed = true;
    for (const follower of [...this.#followers]) follower.end();
  }

  #stream(from: number): ReadableStream<Uint8Array> {
    const encoder = new TextEncoder();
    let lastId = from;
    let greeted = false;
    let wake: (() => void) | undefined;
    const follower: Follower = { askedMs: this.#nowMs(), end() {} };
    const leave = () => {
      this.#followers.delete(follower);
      wake?.();
    };
    this.#followers.add(follower);
    return new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          follower.end = () => {
            if (!this.#followers.has(follower)) return;
            leave();
            controller.close();
          };
        },
        pull: async (controller) => {
          follower.askedMs = this.#nowMs();
          let text = ": this gate's events\nretry: 2000\n\n";
          if (greeted) {
            const happened = this.#events.lastId > lastId || (await this.#next(keepAliveMs, (stop) => (wake = stop)));
            if (happened) await this.#pause(gatherMs, (stop) => (wake = stop));
            wake = undefined;
            if (!this.#followers.has(follower)) return;
            const heard = this.#events.after(lastId, atOnce);
            lastId = heard.lastId;
            text = this.#text(heard);
          }
          greeted = true;
          controller.enqueue(encoder.encode(text));
        },
        cancel: leave,
      },
      // Nothing is made before it is asked for.
      { highWaterMark: 0 },
    );
  }

  /** Waits for an event. @returns false when the time is over or it was stopped. */
  #next(withinMs: number, stoppable: (stop: () => void) => void): Promise<boolean> {
    return new Promise((resolve) => {
      const over = (happened: boolean) => {
        clearTimeout(timer);
        takeBack();
        resolve(happened);
      };
      const timer = setTimeout(() => over(false), withinMs);
      const takeBack = this.#events.next(() => over(true));
      stoppable(() => over(false));
    });
  }

  #pause(forMs: number, stoppable: (stop: () => void) => void): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, forMs);
      stoppable(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  /** True when a follower who does not read had to go. */
  #dropStalled(): boolean {
    const nowMs = this.#nowMs();
    const stalled = [...this.#followers].find(({ askedMs }) => nowMs - askedMs > stalledMs);
    stalled?.end();
    return stalled !== undefined;
  }

  #text({ events, lost }: Heard): string {
    const bootMs = Date.now() - this.#nowMs();
    const told = events.map(({ id, event }) => {
      const text = this.#texts.get(event) ?? `id: ${id}\ndata: ${JSON.stringify(eventView(event, bootMs))}\n\n`;
      this.#texts.set(event, text);
      return text;
    });
    if (lost > 0) told.unshift(`event: lost\ndata: ${JSON.stringify({ count: lost })}\n\n`);
    return told.length === 0 ? ": nothing new\n\n" : told.join("");
  }
}
