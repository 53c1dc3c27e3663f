// SPDX-License-Identifier: Apache-2.0
// Every option once: flag, config key, default, check and help text. The command line, the config file,
// its JSON Schema and `--help` are all made from this table.
import { z } from "zod";
import { fewestStrikes } from "../core/bans/strikes.ts";
import { blocklistForm, parseBlocklist } from "./blocklist.ts";
import { crowdsecAddressForms, parseCrowdsecAddress } from "./crowdsec_address.ts";
import { parseHostName, parseListen, parseServer, parseStatus } from "./endpoints.ts";
import { fleetAddressForms, parseFleetAddress } from "./fleet_address.ts";
import {
  check,
  cidr,
  duration,
  durationWithin,
  factor,
  file,
  fleetName,
  name,
  oneOf,
  onOff,
  protocolTimeout,
  rate,
  several,
  severalBy,
  text,
  whole,
} from "./forms.ts";

export interface OptionDefinition<T> {
  /** What it describes: each gate has a value of its own, the process one for all. */
  readonly of: "gate" | "process";
  readonly short?: string;
  /** Shown in help; without it the option is a switch. */
  readonly value?: string;
  readonly repeats?: boolean;
  readonly help: string;
  /** For the default configuration, where there is no default. */
  readonly example?: string | number;
  /** A gate that runs takes another value over, with "kill -HUP" or "ttgate reload". */
  readonly reloads?: boolean;
  readonly schema: z.ZodType<T>;
}

export const options = {
  "block-map": {
    of: "process",
    short: "B",
    value: "MAP",
    help: "block banned sources in the kernel: a map's path, its name under /sys/fs/bpf, or id:N",
    example: "ttgate",
    schema: name("a path, a name under /sys/fs/bpf, or id:N").optional(),
  },
  fence: {
    of: "process",
    value: "auto|xdp|nftables",
    help: "with -B: what blocks in the kernel; auto: XDP or tc, and nftables where an interface takes neither (default auto)",
    schema: oneOf("auto", "xdp", "nftables").default("auto"),
  },
  listen: {
    of: "gate",
    short: "l",
    value: "[HOST:]PORT",
    help: "where clients connect: an IP address, or localhost for 127.0.0.1; [::] accepts IPv4 too; a link-local address names its interface, [fe80::1%eth0]:5000 (default [::]:5000)",
    reloads: true,
    schema: text(
      "[HOST:]PORT with an IP address or localhost and a port from 1 to 65535, such as 5000, [::]:5000 or [fe80::1%eth0]:5000",
      parseListen,
    ).default({
      host: "::",
      port: 5000,
    }),
  },
  upstream: {
    of: "gate",
    short: "u",
    value: "HOST:PORT|unix:PATH",
    repeats: true,
    help: "the server behind the gate; several by --balance (default 127.0.0.1:5001)",
    reloads: true,
    schema: several(
      text(
        "HOST:PORT or unix:/PATH (107 bytes at most), such as 127.0.0.1:5001, [::1]:5001 or unix:/run/server.sock",
        parseServer,
      ),
      1,
    ).default([{ host: "127.0.0.1", port: 5001 }]),
  },
  balance: {
    of: "gate",
    value: "failover|round-robin",
    help: "of several upstreams: the first one that is up, or one after the other (default failover)",
    reloads: true,
    schema: oneOf("failover", "round-robin").default("failover"),
  },
  check: {
    of: "gate",
    value: "DURATION|off",
    help: "connect to each upstream this often to see whether it is up (default 2s with several upstreams, else off)",
    reloads: true,
    example: "2s",
    schema: check.optional(),
  },
  rise: {
    of: "gate",
    value: "N",
    help: "with --check: so many successes in a row, and an upstream is up again (default 2)",
    reloads: true,
    schema: whole(1, 100).default(2),
  },
  fall: {
    of: "gate",
    value: "N",
    help: "with --check: so many failures in a row, and an upstream is down (default 3)",
    reloads: true,
    schema: whole(1, 100).default(3),
  },
  "send-proxy": {
    of: "gate",
    value: "off|v1|v2",
    help: "tell the upstream each client's address by PROXY protocol (default off)",
    reloads: true,
    schema: oneOf("off", "v1", "v2").default("off"),
  },
  "accept-proxy": {
    of: "gate",
    value: "CIDR",
    repeats: true,
    help: "proxies in front of the gate: each must begin with a PROXY protocol header, and is never banned",
    reloads: true,
    schema: several(cidr).default([]),
  },
  mode: {
    of: "gate",
    short: "m",
    value: "proxy|inline",
    help: "relay to --upstream, or leave the port to the server and judge in the kernel (default proxy)",
    schema: oneOf("proxy", "inline").default("proxy"),
  },
  prefilter: {
    of: "gate",
    help: "with --mode proxy and -B: the kernel judges first bytes too, before they reach the gate",
    schema: onOff.default(false),
  },
  profile: {
    of: "gate",
    short: "p",
    value: "NAME|FILE",
    help: "the expected protocol (default tapetrack)",
    reloads: true,
    schema: name("a profile's name or file").default("tapetrack"),
  },
  timeout: {
    of: "gate",
    short: "t",
    value: "DURATION",
    help: "how long a ban lasts (default 10m)",
    reloads: true,
    schema: duration.default(600_000),
  },
  "ban-scope": {
    of: "gate",
    value: "all|gate",
    help: "where a ban that this gate asks for holds: at all gates, or at this one alone, in user space (default all)",
    reloads: true,
    schema: oneOf("all", "gate").default("all"),
  },
  "timeout-for": {
    of: "gate",
    value: "PROTOCOL=DURATION",
    repeats: true,
    help: "how long a ban for this protocol lasts, instead of --timeout; such as http=1h",
    reloads: true,
    schema: severalBy(({ protocol }) => protocol, protocolTimeout, "each protocol once").default([]),
  },
  escalate: {
    of: "process",
    value: "FACTOR",
    help: "each further ban of a source lasts FACTOR times as long (default 1: all last the same)",
    reloads: true,
    schema: factor(1, 100).default(1),
  },
  "escalate-max": {
    of: "process",
    value: "DURATION",
    help: "with --escalate: no ban grows beyond this (default 7d)",
    reloads: true,
    schema: duration.default(604_800_000),
  },
  "escalate-memory": {
    of: "process",
    value: "DURATION",
    help: "with --escalate: how long after its end a ban counts (default 1d)",
    reloads: true,
    schema: duration.default(86_400_000),
  },
  "spare-friends": {
    of: "gate",
    value: "N",
    help: "spare a source N times within ten minutes while it has friendly connections open (default 0)",
    reloads: true,
    schema: whole(0, 1000).default(0),
  },
  interface: {
    of: "process",
    short: "i",
    value: "NAME",
    repeats: true,
    help: "where XDP attaches (default: the interfaces that carry the listen address)",
    reloads: true,
    schema: several(name("an interface's name")).default([]),
  },
  allow: {
    of: "process",
    short: "a",
    value: "CIDR",
    repeats: true,
    help: "never ban these; added to the computed never-ban list",
    reloads: true,
    schema: several(cidr).default([]),
  },
  blocklist: {
    of: "process",
    value: "NAME=FILE|URL",
    repeats: true,
    help: "ban what a list names, and look at it again: docs/lists.md",
    reloads: true,
    schema: severalBy(
      (list) => list.name,
      text(blocklistForm, parseBlocklist),
      "a name of its own for each list",
    ).default([]),
  },
  "never-ban": {
    of: "process",
    value: "auto|none",
    help: "auto: never ban loopback, own addresses, gateways, upstreams and SSH sessions that a ban would end (docs/policy.md); or none (default auto)",
    reloads: true,
    schema: oneOf("auto", "none").default("auto"),
  },
  scope: {
    of: "process",
    value: "port|host",
    help: "what a kernel ban blocks: TCP to the port, or everything from the source (default port)",
    reloads: true,
    schema: oneOf("port", "host").default("port"),
  },
  status: {
    of: "process",
    short: "s",
    value: "ADDR",
    help: "status endpoint: HOST:PORT, unix:PATH or off (default 127.0.0.1:9500)",
    schema: text("HOST:PORT, unix:/PATH (107 bytes at most) or off", parseStatus).default({
      kind: "tcp",
      host: "127.0.0.1",
      port: 9500,
    }),
  },
  "status-host": {
    of: "process",
    value: "NAME",
    repeats: true,
    help: "answer at --status by this name too, besides loopback's and the address that it is bound to",
    reloads: true,
    schema: several(text("a host name or an IP address", parseHostName)).default([]),
  },
  "dry-run": {
    of: "process",
    help: "relay everybody and ban nobody; count who would have been banned",
    schema: onOff.default(false),
  },
  trial: {
    of: "gate",
    value: "DURATION",
    help: "ban nobody for so long and watch; then enforce, unless a good client would have been banned",
    schema: duration.optional(),
    example: "24h",
  },
  "enforce-unproven": {
    of: "gate",
    help: "enforce a learned profile although too little was seen to prove it",
    reloads: true,
    schema: onOff.default(false),
  },
  reject: {
    of: "gate",
    value: "reset|silent",
    help: "how connections of banned sources end: reset, or silent: no packet at all, requires -B (default reset, inline silent)",
    example: "silent",
    reloads: true,
    schema: oneOf("reset", "silent").optional(),
  },
  fragments: {
    of: "gate",
    value: "drop|pass",
    help: "with --mode inline: TCP to the port in IP fragments, which cannot be judged (default drop)",
    reloads: true,
    schema: oneOf("drop", "pass").default("drop"),
  },
  keep: {
    of: "process",
    help: "leave the kernel block in place when ttgate stops; every ban still ends on time",
    reloads: true,
    schema: onOff.default(false),
  },
  drain: {
    of: "process",
    value: "DURATION",
    help: "with --takeover: how long connections of the gate before may go on (default 30s)",
    schema: duration.default(30_000),
  },
  state: {
    of: "process",
    value: "DIR",
    help: "keep bans here over restarts; it is made, and none above it (default: STATE_DIRECTORY, or /var/lib/ttgate if it is there)",
    example: "/var/lib/ttgate",
    schema: name("a directory").optional(),
  },
  forget: {
    of: "process",
    help: "forget all bans when ttgate stops, also those of earlier runs",
    schema: onOff.default(false),
  },
  fleet: {
    of: "process",
    value: "URL",
    help: "share bans with other gates over this Redis or Valkey: redis://, rediss://, unix:/PATH, redis+sentinel:// or redis+cluster://",
    example: "rediss://redis.example:6379",
    schema: text(fleetAddressForms, parseFleetAddress).optional(),
  },
  "fleet-name": {
    of: "process",
    value: "NAME",
    help: "with --fleet: which fleet, where one server has several (default ttgate)",
    schema: fleetName.default("ttgate"),
  },
  "fleet-gate": {
    of: "process",
    value: "NAME",
    help: "with --fleet: the name of this gate, which no other gate has (default: the host's name)",
    example: "web-1",
    schema: fleetName.optional(),
  },
  "fleet-trust": {
    of: "process",
    value: "NAME",
    repeats: true,
    help: "with --fleet: take the bans and lifts of these gates only (default: of all)",
    reloads: true,
    schema: several(fleetName).default([]),
  },
  "fleet-rate": {
    of: "process",
    value: "N",
    help: "with --fleet: take at most so many bans and lifts a minute from each gate (default 20000)",
    reloads: true,
    schema: whole(1, 10_000_000).default(20_000),
  },
  "fleet-most": {
    of: "process",
    value: "N",
    help: "with --fleet: hold at most so many bans of each gate (default 100000)",
    reloads: true,
    schema: whole(1, 16_777_216).default(100_000),
  },
  "fleet-password": {
    of: "process",
    value: "FILE",
    help: "with --fleet: the password is in this file, rather than in the URL",
    example: "/etc/ttgate/fleet.password",
    schema: file.optional(),
  },
  "fleet-ca": {
    of: "process",
    value: "FILE",
    help: "with --fleet over TLS: certificates that sign the server's (default: those of the system)",
    example: "/etc/ttgate/fleet-ca.pem",
    schema: file.optional(),
  },
  "fleet-cert": {
    of: "process",
    value: "FILE",
    help: "with --fleet over TLS: the certificate of this gate; requires --fleet-key",
    example: "/etc/ttgate/fleet.pem",
    schema: file.optional(),
  },
  "fleet-key": {
    of: "process",
    value: "FILE",
    help: "with --fleet over TLS: the key of --fleet-cert",
    example: "/etc/ttgate/fleet.key",
    schema: file.optional(),
  },
  crowdsec: {
    of: "process",
    value: "URL",
    help: "ban what CrowdSec decides, from its local API: http://, https:// or unix:/PATH; see docs/crowdsec.md",
    example: "http://127.0.0.1:8080",
    schema: text(crowdsecAddressForms, parseCrowdsecAddress).optional(),
  },
  "crowdsec-key": {
    of: "process",
    value: "FILE",
    help: 'with --crowdsec: the key that "cscli bouncers add" printed (default: systemd\'s credential crowdsec-key, or TTGATE_CROWDSEC_KEY)',
    example: "/etc/ttgate/crowdsec.key",
    schema: file.optional(),
  },
  "crowdsec-every": {
    of: "process",
    value: "DURATION",
    help: "with --crowdsec: ask for new decisions this often (default 2s)",
    reloads: true,
    schema: durationWithin(100, 3_600_000).default(2000),
  },
  "crowdsec-push": {
    of: "process",
    value: "FILE",
    help: 'with --crowdsec: tell CrowdSec of own bans, with the credentials that "cscli machines add --file FILE" wrote',
    example: "/etc/ttgate/crowdsec.yaml",
    schema: file.optional(),
  },
  "crowdsec-ca": {
    of: "process",
    value: "FILE",
    help: "with --crowdsec over TLS: certificates that sign the server's (default: those of the system)",
    example: "/etc/ttgate/crowdsec-ca.pem",
    schema: file.optional(),
  },
  user: {
    of: "process",
    value: "NAME",
    help: "run as this user once everything is attached; requires a start as root",
    example: "nobody",
    schema: name("a user's name").optional(),
  },
  "first-packet": {
    of: "gate",
    value: "DURATION",
    help: "time limit for the first packet; then the client is closed, not banned (default 10s)",
    reloads: true,
    schema: duration.default(10_000),
  },
  idle: {
    of: "gate",
    value: "DURATION",
    help: "end a relayed connection when neither side has sent anything for so long (default: never)",
    reloads: true,
    example: "1h",
    schema: duration.optional(),
  },
  "greeting-pause": {
    of: "gate",
    value: "DURATION",
    help: "with a server that speaks first: how long a client must be silent before the server is connected (default 300ms)",
    reloads: true,
    // Longer ones a client would notice.
    schema: durationWithin(1, 60_000).default(300),
  },
  "max-connections": {
    of: "gate",
    value: "N",
    help: "connections at a time; when full, an undecided one of the source with most of them makes room (default: from the open-files limit)",
    reloads: true,
    example: 10_000,
    schema: whole(1, 1_000_000).optional(),
  },
  "max-per-source": {
    of: "gate",
    value: "N",
    help: "connections at a time from one source, 0 for no limit (default 0)",
    reloads: true,
    schema: whole(0, 1_000_000).default(0),
  },
  "max-rate": {
    of: "gate",
    value: "N/DURATION",
    help: "new connections from one source, such as 20/10s: N at once, and as many again in DURATION (default: no limit)",
    reloads: true,
    example: "20/10s",
    schema: rate.optional(),
  },
  "excess-strikes": {
    of: "gate",
    value: "N",
    help: "ban a source that runs into --max-per-source or --max-rate N times within ten minutes, at least 3; 0: never (default 0)",
    reloads: true,
    schema: whole(0, 1000)
      .refine(
        (strikes) => strikes === 0 || strikes >= fewestStrikes,
        `expected 0, or a whole number from ${fewestStrikes} to 1000`,
      )
      .default(0),
  },
  "max-bans": {
    of: "process",
    value: "N",
    help: "bans at a time; when full, the one that ends soonest makes room, an operator's last (default 1048576)",
    schema: whole(1, 16_777_216).default(1_048_576),
  },
  "ipv6-prefix": {
    of: "process",
    value: "BITS",
    help: "an IPv6 ban covers the client's network of this length, behind NAT64 the address alone (default 64)",
    schema: whole(1, 128).default(64),
  },
  judge: {
    of: "gate",
    value: "none|upstream",
    help: "upstream: ban a source when the server hangs up on it without a byte, --strikes times (default none)",
    reloads: true,
    schema: oneOf("none", "upstream").default("none"),
  },
  strikes: {
    of: "gate",
    value: "N",
    help: "with --judge upstream: how many hang-ups within ten minutes lead to a ban, at least 3 (default 5)",
    reloads: true,
    schema: whole(fewestStrikes, 1000).default(5),
  },
  record: {
    of: "gate",
    value: "FILE",
    help: "append the first bytes of clients to FILE, for learn and replay; it holds clients' data",
    example: "/var/lib/ttgate/recording",
    schema: file.optional(),
  },
  "record-max": {
    of: "gate",
    value: "MIB",
    help: "stop recording when FILE has this many MiB (default 64)",
    schema: whole(1, 1_048_576).default(64),
  },
  log: {
    of: "process",
    value: "text|logfmt|json",
    help: "form of the log on stderr (default text)",
    reloads: true,
    schema: oneOf("text", "logfmt", "json").default("text"),
  },
} as const satisfies Record<string, OptionDefinition<unknown>>;

export type OptionName = keyof typeof options;

type OptionsOf<O extends "gate" | "process"> = {
  [N in OptionName]: (typeof options)[N]["of"] extends O ? N : never;
}[OptionName];

export type GateOption = OptionsOf<"gate">;
export type ProcessOption = OptionsOf<"process">;

export const optionNames = Object.keys(options) as readonly OptionName[];

export function isGateOption(option: OptionName): option is GateOption {
  return options[option].of === "gate";
}

/** One value for each option: of a process with one gate. */
export const configSchema = z.strictObject(
  Object.fromEntries(Object.entries(options).map(([key, { schema, help }]) => [key, schema.describe(help)])) as {
    [N in OptionName]: (typeof options)[N]["schema"];
  },
);

export type Options = z.output<typeof configSchema>;

/** What one gate runs by. */
export type GateOptions = Pick<Options, GateOption> & { readonly name: string };

/** What the process runs by, complete and checked. */
export type Config = Pick<Options, ProcessOption> & {
  /** One at least; names are unique. */
  readonly gates: readonly GateOptions[];
  /** Of bans for which neither a gate nor whoever asks says how long. */
  readonly timeout: number;
};
