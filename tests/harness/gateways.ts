// SPDX-License-Identifier: Apache-2.0
// One route of every kind, made by ip(8) in the gate's namespace of a `Network`, and whom it leads by.

export interface RoutesOfKind {
  readonly kind: string;
  routes(device: string): {
    readonly commands: readonly (readonly string[])[];
    readonly gateways: readonly string[];
  };
}

function words(...lines: readonly string[]): readonly (readonly string[])[] {
  return lines.map((line) => line.split(" "));
}

/** Client addresses of the network; no two kinds share one. */
export const routesByKind: readonly RoutesOfKind[] = [
  {
    kind: "main table",
    routes: () => ({
      commands: words("route add 198.51.100.0/24 via 10.77.1.1", "-6 route add 2001:db8:1::/48 via fd77:0:1::2"),
      gateways: ["10.77.1.1", "fd77:0:1::2"],
    }),
  },
  {
    kind: "another table, by a rule",
    routes: () => ({
      commands: words(
        "rule add from 10.77.0.1 table 77",
        "route add default via 10.77.1.2 table 77",
        "-6 rule add from fd77::1 table 77",
        "-6 route add default via fd77:0:2::2 table 77",
      ),
      gateways: ["10.77.1.2", "fd77:0:2::2"],
    }),
  },
  {
    kind: "multipath",
    routes: () => ({
      commands: words("route add 198.51.101.0/24 nexthop via 10.77.1.3 nexthop via 10.77.1.4"),
      gateways: ["10.77.1.3", "10.77.1.4"],
    }),
  },
  {
    kind: "IPv6 multipath",
    routes: () => ({
      commands: words("-6 route add 2001:db8:2::/48 nexthop via fd77:0:3::2 nexthop via fd77:0:4::2"),
      gateways: ["fd77:0:3::2", "fd77:0:4::2"],
    }),
  },
  {
    kind: "an IPv6 hop of an IPv4 route, alone and of several",
    routes: (device) => ({
      commands: words(
        `route add 198.51.102.0/24 via inet6 fd77:0:5::2 dev ${device}`,
        `route add 198.51.103.0/24 nexthop via 10.77.1.5 nexthop via inet6 fd77:0:6::2 dev ${device}`,
      ),
      gateways: ["fd77:0:5::2", "10.77.1.5", "fd77:0:6::2"],
    }),
  },
  {
    kind: "a next-hop object",
    routes: (device) => ({
      commands: words(
        `nexthop add id 6 via 10.77.1.6 dev ${device}`,
        "route add 198.51.104.0/24 nhid 6",
        `nexthop add id 7 via fd77:0:7::2 dev ${device}`,
        "-6 route add 2001:db8:3::/48 nhid 7",
      ),
      gateways: ["10.77.1.6", "fd77:0:7::2"],
    }),
  },
  {
    kind: "a group of next-hop objects",
    routes: (device) => ({
      commands: words(
        `nexthop add id 17 via 10.77.1.7 dev ${device}`,
        `nexthop add id 18 via fd77:0:8::2 dev ${device}`,
        "nexthop add id 19 group 17/18",
        "route add 198.51.105.0/24 nhid 19",
      ),
      gateways: ["10.77.1.7", "fd77:0:8::2"],
    }),
  },
  {
    kind: "onlink",
    routes: (device) => ({
      commands: words(
        `route add 198.51.106.0/24 via 192.0.2.8 dev ${device} onlink`,
        `-6 route add 2001:db8:4::/48 via 2001:db8:ff::8 dev ${device} onlink`,
      ),
      gateways: ["192.0.2.8", "2001:db8:ff::8"],
    }),
  },
];
