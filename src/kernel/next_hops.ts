// SPDX-License-Identifier: Apache-2.0
// The routers that this network namespace sends by: the next hops of every route of every table, whatever the family of
// the route and of the hop, and the next-hop objects that routes may name instead (ip-nexthop(8)).
import { type Prefix, parsePrefix, prefixFromBytes } from "../core/address.ts";
import type { Work } from "../core/work.ts";
import type { Native } from "../runtime/types.ts";
import { KernelError } from "./errno.ts";
import type { Libc } from "./libc.ts";
import { eachAttribute, NetlinkSocket, padded } from "./netlink.ts";
import { interfaceName } from "./xdp_query.ts";

/** linux/rtnetlink.h: the messages, the structures that they begin with, the attributes. */
const newRoute = 24;
const getRoute = 26;
const newNextHop = 104;
const getNextHop = 106;
const routeBytes = 12;
const nextHopBytes = 8;
const ofRoute = { device: 4, gateway: 5, multipath: 9, via: 18, forwarding: -1 } as const;
/** linux/nexthop.h: a gateway of a forwarding database (NHA_FDB) is a tunnel's far end, and no router. */
const ofNextHop = { device: 5, gateway: 6, multipath: -1, via: -1, forwarding: 11 } as const;
/** A copy of a route for one destination, with what ICMP said of it. */
const cloned = 0x200;
/** struct rtnexthop: length, flags, hops, interface. */
const hopBytes = 8;
/** struct rtvia: the family, then the address. */
const familyBytes = 2;
/** Kernels before 5.3 have no next-hop objects. */
const eopnotsupp = 95;

export interface NextHop {
  readonly prefix: Prefix;
  /** "?" for one that went meanwhile. */
  readonly interfaceName: string;
}

export interface NextHops {
  /** Each once: a router has a million routes, by a few of them. */
  readonly hops: readonly NextHop[];
  /** False: the tables changed while they were read, and some may be missing. */
  readonly isWhole: boolean;
}

/** @throws KernelError */
export function* readNextHops(native: Native, libc: Libc): Work<NextHops> {
  using socket = new NetlinkSocket(libc);
  const found = new Found(socket.view);
  // Of all families at once.
  const routes = yield* socket.dump("Read the routes", getRoute, new Uint8Array(routeBytes), (type, from, end) => {
    if (type === newRoute) found.route(from, end);
  });
  const objects = yield* nextHopObjects(socket, found);
  return { hops: found.named((index) => interfaceName({ libc, native }, index) ?? "?"), isWhole: routes && objects };
}

function* nextHopObjects(socket: NetlinkSocket, found: Found): Work<boolean> {
  try {
    return yield* socket.dump(
      "Read the next-hop objects",
      getNextHop,
      new Uint8Array(nextHopBytes),
      (type, from, end) => {
        if (type === newNextHop) found.nextHop(from, end);
      },
    );
  } catch (error) {
    if (error instanceof KernelError && error.errno === eopnotsupp) return true;
    throw error;
  }
}

class Found {
  readonly #view: DataView;
  readonly #hops = new Map<string, { readonly index: number; readonly prefix: Prefix }>();

  constructor(view: DataView) {
    this.#view = view;
  }

  route(from: number, end: number): void {
    if ((this.#view.getUint32(from + 8, true) & cloned) === 0) this.#hop(ofRoute, from + routeBytes, end);
  }

  nextHop(from: number, end: number): void {
    this.#hop(ofNextHop, from + nextHopBytes, end);
  }

  named(nameOf: (index: number) => string): NextHop[] {
    return [...this.#hops.values()].map(({ index, prefix }) => ({ prefix, interfaceName: nameOf(index) }));
  }

  /** Attributes of a route, of one of its several hops, of a next-hop object. */
  #hop(types: typeof ofRoute | typeof ofNextHop, from: number, end: number, index = 0): void {
    let device = index;
    let gatewayAt = 0;
    let gatewayLength = 0;
    let isRouter = true;
    eachAttribute(this.#view, from, end, (type, at, length) => {
      if (type === types.device) device = this.#view.getUint32(at, true);
      if (type === types.gateway) [gatewayAt, gatewayLength] = [at, length];
      if (type === types.via) [gatewayAt, gatewayLength] = [at + familyBytes, length - familyBytes];
      if (type === types.multipath) this.#hopsOf(at, at + length);
      if (type === types.forwarding) isRouter = false;
    });
    if (isRouter) this.#add(device, gatewayAt, gatewayLength);
  }

  #hopsOf(from: number, end: number): void {
    for (let at = from; at + hopBytes <= end; ) {
      const length = this.#view.getUint16(at, true);
      if (length < hopBytes || at + length > end) return;
      this.#hop(ofRoute, at + hopBytes, at + length, this.#view.getUint32(at + 4, true));
      at += padded(length);
    }
  }

  #add(index: number, at: number, length: number): void {
    if (length !== 4 && length !== 16) return;
    let key = `${index}`;
    for (let word = at; word < at + length; word += 4) key += ` ${this.#view.getUint32(word, true)}`;
    if (this.#hops.has(key)) return;
    const bytes = new Uint8Array(this.#view.buffer.slice(at, at + length));
    const prefix = length === 4 ? parsePrefix(bytes.join(".")) : prefixFromBytes(bytes);
    if (prefix !== undefined && bytes.some((byte) => byte !== 0)) this.#hops.set(key, { index, prefix });
  }
}
