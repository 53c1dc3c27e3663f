// SPDX-License-Identifier: Apache-2.0
// Every option once: flag, config key, default, check and help text. The command line, the config file,
// its JSON Schema and `--help` are all made from this table.
import { isIP } from "node:net";
import { z } from "zod";
import { formatEndpoint, parsePrefix } from "../core/address.ts";
import { fewestStrikes } from "../core/bans/strikes.ts";
import { parseDuration } from "../core/duration.ts";

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

export type StatusAddress =
  | { readonly kind: "off" }
  | { readonly kind: "tcp"; readonly host: string; readonly port: number }
  | { readonly kind: "unix"; readonly path: string };

export interface OptionDefinition<T> {
  readonly short?: string;
  /** Shown in help; without it the option is a switch. */
  readonly value?: string;
  readonly repeats?: boolean;
  readonly help: string;
  /** A gate that runs takes another value over, with "kill -HUP" or "ttgate reload". */
  readonly reloads?: boolean;
  readonly schema: z.ZodType<T>;
}

/** A text that `parse` understands; `expected` is the remedy when it does not. */
function text<T>(expected: string, parse: (text: string) => T | undefined) {
  return z.string(`expected ${expected}`).transform((given, context) => {
    const value = parse(given);
    if (value !== undefined) return value;
    context.addIssue({ code: "custom", message: `expected ${expected}`, input: given });
    return z.NEVER;
  });
}

/** One value or several, in the file as a string or a list of strings; said twice is said once. */
function several<T>(one: z.ZodType<T, string>, least = 0) {
  const list = z.array(one).min(least, `expected at least ${least}`);
  return z
    .union([one.transform((value) => [value]), list])
    .transform((values) => [...new Map(values.map((value) => [JSON.stringify(value), value])).values()]);
}

/** In the file a number is welcome as well. */
function whole(least: number, most: number) {
  const message = `expected a whole number from ${least} to ${most}`;
  return z.union([z.string(message), z.number(message)]).transform((given, context) => {
    const value = typeof given === "number" ? given : /^\d+$/.test(given) ? Number(given) : Number.NaN;
    if (Number.isInteger(value) && value >= least && value <= most) return value;
    context.addIssue({ code: "custom", message, input: given });
    return z.NEVER;
  });
}

function portOf(given: string): number | undefined {
  const port = /^\d{1,5}$/.test(given) ? Number(given) : 0;
  return port >= 1 && port <= 65535 ? port : undefined;
}

/** `HOST:PORT` with IPv6 in brackets; a name of letters, digits, hyphens and underscores (RFC 1123, RFC 2782). */
export function parseHostPort(given: string): HostPort | undefined {
  const [, bracketed, plain, portText] = /^(?:\[([^\]]+)\]|([\w.-]{1,253})):(\d+)$/.exec(given) ?? [];
  const host = bracketed ?? plain;
  const port = portOf(portText ?? "");
  if (host === undefined || port === undefined || (bracketed !== undefined && isIP(bracketed) !== 6)) return undefined;
  if (/^[\d.]+$/.test(host) && isIP(host) !== 4) return undefined;
  return { host, port };
}

/** As a browser writes it into its Host header, without a port. */
function parseHostName(given: string): string | undefined {
  const bare = /^\[(.*)\]$/.exec(given)?.[1] ?? given;
  return isIP(bare) > 0 || /^(?=.*[A-Za-z_-])[\w.-]{1,253}$/.test(bare) ? bare : undefined;
}

function parseListen(given: string): HostPort | undefined {
  const port = portOf(given);
  if (port !== undefined) return { host: "::", port };
  const parsed = parseHostPort(given);
  return parsed !== undefined && isIP(parsed.host) > 0 ? parsed : undefined;
}

export function parseStatus(given: string): StatusAddress | undefined {
  if (given === "off") return { kind: "off" };
  if (given.startsWith("unix:/")) return { kind: "unix", path: given.slice("unix:".length) };
  const parsed = parseHostPort(given);
  return parsed === undefined ? undefined : { kind: "tcp", ...parsed };
}

export function formatStatus(address: StatusAddress): string {
  switch (address.kind) {
    case "off":
      return "off";
    case "unix":
      return `unix:${address.path}`;
    case "tcp":
      return formatEndpoint({ address: address.host, port: address.port });
    default:
      return address satisfies never;
  }
}

const duration = text("a duration such as 30s, 10m or 1h30m, at most 3650d", parseDuration);

const name = (what: string) => z.string(`expected ${what}`).min(1, `expected ${what}`);

export const options = {
  "block-map": {
    short: "B",
    value: "MAP",
    help: "block banned sources in the kernel: a map's path, its name under /sys/fs/bpf, or id:N",
    schema: name("a path, a name under /sys/fs/bpf, or id:N").optional(),
  },
  listen: {
    short: "l",
    value: "[HOST:]PORT",
    help: "where clients connect; [::] accepts IPv4 too (default [::]:5000)",
    schema: text(
      "[HOST:]PORT with an IP address and a port from 1 to 65535, such as 5000 or [::]:5000",
      parseListen,
    ).default({
      host: "::",
      port: 5000,
    }),
  },
  upstream: {
    short: "u",
    value: "HOST:PORT",
    repeats: true,
    help: "the server behind the gate; the first one that answers is used (default 127.0.0.1:5001)",
    reloads: true,
    schema: several(text("HOST:PORT, such as 127.0.0.1:5001 or [::1]:5001", parseHostPort), 1).default([
      { host: "127.0.0.1", port: 5001 },
    ]),
  },
  mode: {
    short: "m",
    value: "proxy|inline",
    help: "relay to --upstream, or leave the port to the server and judge in the kernel (default proxy)",
    schema: z.enum(["proxy", "inline"], `expected "proxy" or "inline"`).default("proxy"),
  },
  prefilter: {
    help: "with --mode proxy and -B: the kernel judges first bytes too, before they reach the gate",
    schema: z.boolean(`expected true or false`).default(false),
  },
  profile: {
    short: "p",
    value: "NAME|FILE",
    help: "the expected protocol (default tapetrack)",
    reloads: true,
    schema: name("a profile's name or file").default("tapetrack"),
  },
  timeout: {
    short: "t",
    value: "DURATION",
    help: "how long a ban lasts (default 10m)",
    reloads: true,
    schema: duration.default(600_000),
  },
  interface: {
    short: "i",
    value: "NAME",
    repeats: true,
    help: "where XDP attaches (default: the interfaces that carry the listen address)",
    schema: several(name("an interface's name")).default([]),
  },
  allow: {
    short: "a",
    value: "CIDR",
    repeats: true,
    help: "never ban these; added to the computed never-ban list",
    reloads: true,
    schema: several(text("an address or CIDR, such as 192.0.2.0/24 or 2001:db8::/32", parsePrefix)).default([]),
  },
  "never-ban": {
    value: "auto|none",
    help: "auto: never ban own addresses, gateways, upstreams and, with --scope host, SSH peers; or none (default auto)",
    reloads: true,
    schema: z.enum(["auto", "none"], `expected "auto" or "none"`).default("auto"),
  },
  scope: {
    value: "port|host",
    help: "what a kernel ban blocks: TCP to the port, or everything from the source (default port)",
    schema: z.enum(["port", "host"], `expected "port" or "host"`).default("port"),
  },
  status: {
    short: "s",
    value: "ADDR",
    help: "status endpoint: HOST:PORT, unix:PATH or off (default 127.0.0.1:9500)",
    schema: text("HOST:PORT, unix:/PATH or off", parseStatus).default({ kind: "tcp", host: "127.0.0.1", port: 9500 }),
  },
  "status-host": {
    value: "NAME",
    repeats: true,
    help: "answer at --status by this name too, besides loopback's and the address that it is bound to",
    reloads: true,
    schema: several(text("a host name or an IP address", parseHostName)).default([]),
  },
  "dry-run": {
    help: "relay everybody and ban nobody; count who would have been banned",
    schema: z.boolean(`expected true or false`).default(false),
  },
  trial: {
    value: "DURATION",
    help: "ban nobody for so long and watch; then enforce, unless a good client would have been banned",
    schema: duration.optional(),
  },
  "enforce-unproven": {
    help: "enforce a learned profile although too little was seen to prove it",
    reloads: true,
    schema: z.boolean(`expected true or false`).default(false),
  },
  reject: {
    value: "reset|silent",
    help: "how connections of banned sources end: reset, or silent: no packet at all, requires -B (default reset, inline silent)",
    schema: z.enum(["reset", "silent"], `expected "reset" or "silent"`).optional(),
  },
  fragments: {
    value: "drop|pass",
    help: "with --mode inline: TCP to the port in IP fragments, which cannot be judged (default drop)",
    schema: z.enum(["drop", "pass"], `expected "drop" or "pass"`).default("drop"),
  },
  keep: {
    help: "leave the kernel block in place when ttgate stops; every ban still ends on time",
    reloads: true,
    schema: z.boolean(`expected true or false`).default(false),
  },
  state: {
    value: "DIR",
    help: "keep bans here over restarts (default: STATE_DIRECTORY, or /var/lib/ttgate if it is there)",
    schema: name("a directory").optional(),
  },
  forget: {
    help: "forget all bans when ttgate stops, also those of earlier runs",
    schema: z.boolean(`expected true or false`).default(false),
  },
  user: {
    value: "NAME",
    help: "run as this user once everything is attached; requires a start as root",
    schema: name("a user's name").optional(),
  },
  "first-packet": {
    value: "DURATION",
    help: "time limit for the first packet; then the client is closed, not banned (default 10s)",
    reloads: true,
    schema: duration.default(10_000),
  },
  "greeting-pause": {
    value: "DURATION",
    help: "with a server that speaks first: how long a client must be silent before the server is connected (default 300ms)",
    reloads: true,
    schema: duration.default(300),
  },
  "max-connections": {
    value: "N",
    help: "connections at a time; when full, the one undecided longest is closed (default: from the open-files limit)",
    reloads: true,
    schema: whole(1, 1_000_000).optional(),
  },
  "max-per-source": {
    value: "N",
    help: "connections at a time from one source, 0 for no limit (default 0)",
    reloads: true,
    schema: whole(0, 1_000_000).default(0),
  },
  "max-bans": {
    value: "N",
    help: "bans at a time; when full, the one that ends soonest makes room (default 1048576)",
    schema: whole(1, 16_777_216).default(1_048_576),
  },
  "ipv6-prefix": {
    value: "BITS",
    help: "an IPv6 ban covers the client's network of this length (default 64)",
    schema: whole(1, 128).default(64),
  },
  judge: {
    value: "none|upstream",
    help: "upstream: ban a source when the server hangs up on it without a byte, --strikes times (default none)",
    reloads: true,
    schema: z.enum(["none", "upstream"], `expected "none" or "upstream"`).default("none"),
  },
  strikes: {
    value: "N",
    help: "with --judge upstream: how many hang-ups within ten minutes lead to a ban, at least 3 (default 5)",
    reloads: true,
    schema: whole(fewestStrikes, 1000).default(5),
  },
  record: {
    value: "FILE",
    help: "append the first bytes of clients to FILE, for learn and replay; it holds clients' data",
    schema: name("a file").optional(),
  },
  "record-max": {
    value: "MIB",
    help: "stop recording when FILE has this many MiB (default 64)",
    schema: whole(1, 1_048_576).default(64),
  },
  log: {
    value: "text|json",
    help: "form of the log on stderr (default text)",
    reloads: true,
    schema: z.enum(["text", "json"], `expected "text" or "json"`).default("text"),
  },
} as const satisfies Record<string, OptionDefinition<unknown>>;

export type OptionName = keyof typeof options;

export const configSchema = z.strictObject(
  Object.fromEntries(Object.entries(options).map(([key, { schema, help }]) => [key, schema.describe(help)])) as {
    [N in OptionName]: (typeof options)[N]["schema"];
  },
);

/** What the gate runs by, complete and checked. */
export type Config = z.output<typeof configSchema>;
