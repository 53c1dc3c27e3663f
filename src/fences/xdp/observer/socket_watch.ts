// SPDX-License-Identifier: Apache-2.0
// Follows the kernel's own sockets beside the program that judges: connections to the guarded port that got
// bytes which the judge never saw, whatever way they came. bpf/observer.bpf.c does it; this loads and attaches
// it, and fetches what it found. Attached as long as this process lives.
import type { Prefix } from "../../../core/address.ts";
import { type BpfMap, openMap, updateAny } from "../../../kernel/bpf_map.ts";
import { type BpfObject, loadObject, requireSizes } from "../../../kernel/bpf_object.ts";
import { closeFd } from "../../../kernel/bpffs.ts";
import { check } from "../../../kernel/errno.ts";
import { type Libraries, openLibraries } from "../../../kernel/libraries.ts";
import { cString, nativeBytes } from "../../../kernel/native_bytes.ts";
import type { Native, NativeBuffer } from "../../../runtime/types.ts";
import { indexKey } from "../maps/counters.ts";
import {
  readUnseen,
  type UnseenConnection,
  type WatchCount,
  watchCounts,
  watchStructBytes,
  writeWatchSettings,
} from "./watch_layout.ts";

const enoent = -2;
/** The judge counts in ticks of up to 10 ms what is from before it began: those connections are not followed. */
const settleMs = 50;

export interface SocketWatchOptions {
  readonly native: Native;
  /** Of the judge's map ttgate_seen. */
  readonly seenFd: number;
  /** Number of this network namespace. */
  readonly netns: number;
  readonly ports: readonly number[];
  /** The guarded address; undefined: all of this host. */
  readonly address: Prefix | undefined;
  /** Loopback is guarded too. */
  readonly loopback: boolean;
  readonly nowMs: number;
}

export class SocketWatch implements Disposable {
  readonly #libraries: Libraries;
  readonly #object: BpfObject;
  readonly #counts: BpfMap;
  readonly #settings: { readonly map: BpfMap; readonly value: NativeBuffer };
  readonly #linkFd: number;
  readonly #unseen = nativeBytes(watchStructBytes.unseen);
  /** struct bpf_test_run_opts: a program that takes nothing is run once. */
  readonly #once = nativeBytes(80);
  #closed = false;

  private constructor(libraries: Libraries, object: BpfObject, settings: NativeBuffer) {
    this.#libraries = libraries;
    this.#object = object;
    this.#settings = { map: openMap(libraries, object.mapFd("ttgate_watch")), value: settings };
    this.#writeSettings();
    this.#counts = openMap(libraries, object.mapFd("ttgate_watch_counts"));
    const name = cString("inet_sock_set_state");
    const linkFd = libraries.bpf.bpf_raw_tracepoint_open(name, object.programFd("watch_state"));
    this.#linkFd = check("Attach the observer to inet_sock_set_state", linkFd);
    new DataView(this.#once.buffer).setBigUint64(0, 80n, true);
  }

  /** @throws KernelError where raw tracepoints are not allowed, or the kernel has no BTF. */
  static async open(options: SocketWatchOptions): Promise<SocketWatch> {
    const libraries = await openLibraries(options.native);
    const { bpfObject } = await import("../../../generated/observer_object.ts");
    const object = loadObject(libraries, Uint8Array.fromBase64(bpfObject), {
      reuse: { ttgate_seen: options.seenFd },
      create: ["ttgate_watch", "ttgate_followed", "ttgate_unseen", "ttgate_watch_counts"],
      programs: { watch_state: 0, watch_open: 0 },
      constants: {},
    });
    try {
      requireSizes(object, watchStructBytes);
      const settings = nativeBytes(watchStructBytes.watch_settings);
      writeWatchSettings({ ...options, sinceMs: options.nowMs + settleMs }, settings);
      return new SocketWatch(libraries, object, settings);
    } catch (error) {
      object[Symbol.dispose]();
      throw error;
    }
  }

  /** What another tool may have written over as well. @throws KernelError */
  #writeSettings(): void {
    const { map, value } = this.#settings;
    check("Write the observer's settings", map.update(indexKey(0), value, updateAny));
  }

  /** Looks at the connections that are open; those that close are looked at by themselves. @throws KernelError */
  look(): void {
    this.#writeSettings();
    const { bpf } = this.#libraries;
    const programFd = this.#object.programFd("watch_open");
    check("Look at open connections", bpf.bpf_prog_test_run_opts(programFd, this.#once));
  }

  /** What was found since the last call, at most `limit`. @throws KernelError */
  fetch(limit: number): UnseenConnection[] {
    const fd = this.#object.mapFd("ttgate_unseen");
    const found: UnseenConnection[] = [];
    while (found.length < limit) {
      const result = this.#libraries.bpf.bpf_map_lookup_and_delete_elem(fd, null, this.#unseen);
      if (result === enoent) break;
      check("Fetch connections that nobody judged", result);
      found.push(readUnseen(this.#unseen));
    }
    return found;
  }

  /** Connections since it is attached. */
  counts(): Readonly<Record<WatchCount, number>> {
    const counted = watchCounts.map((name, index) => {
      const value = this.#counts.lookup(indexKey(index));
      return [name, value === undefined ? 0 : Number(new DataView(value.buffer).getBigUint64(0, true))];
    });
    return Object.fromEntries(counted) as Record<WatchCount, number>;
  }

  /** Idempotent. */
  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    closeFd(this.#libraries, this.#linkFd);
    this.#object[Symbol.dispose]();
  }
}
