// SPDX-License-Identifier: Apache-2.0
// The configuration: defaults, then the file, then flags. Reports every mistake at once, each with the
// key, the value and what is expected.
import { existsSync, readFileSync } from "node:fs";
import { parse as parseToml, TomlError } from "smol-toml";
import type { z } from "zod";
import { isLoopback, isWildcard } from "../core/address.ts";
import { conducts } from "../core/bans/strikes.ts";
import { closestWord } from "../core/closest.ts";
import { spellDuration } from "../core/duration.ts";
import { Failure, messageOf } from "../failure.ts";
import { formatServer, type HostPort, type ServerAddress } from "./endpoints.ts";
import { type Config, configSchema, type OptionName, options } from "./options.ts";
import { loadSniffer } from "./profile.ts";

export const defaultConfigFile = "/etc/ttgate/ttgate.toml";

/** Values as they were typed, by option name. */
export type RawOptions = Partial<Record<OptionName, unknown>>;

/**
 * @param flags as typed on the command line; they win over the file.
 * @param file given with --config; without it the default file is read if it is there.
 * @throws Failure with every mistake in the file and among the flags.
 */
export function loadConfig(flags: RawOptions, file: string | undefined): Config {
  const path = file ?? (existsSync(defaultConfigFile) ? defaultConfigFile : undefined);
  const fromFile = path === undefined ? {} : readConfigFile(path);
  const inFile = mistakesIn(fromFile, "").join("; ");
  const parts = inFile === "" ? [] : [`Cannot use config "${path}": ${inFile}`];
  parts.push(...mistakesIn(flags, "--"));
  if (parts.length > 0) throw new Failure(parts.join("; "), { exitCode: 2 });
  const config = configSchema.parse({ ...fromFile, ...flags });
  requireSense(config, { ...fromFile, ...flags });
  // The server is where the clients go.
  if (config.mode === "inline") return { ...config, upstream: [] };
  const loop = config.upstream.find((upstream) => reachesItself(config, upstream));
  if (loop === undefined) return config;
  throw new Failure(
    `Invalid --upstream "${formatServer(loop)}": the gate itself listens there, name the server's own address`,
    { exitCode: 2 },
  );
}

/** Why a proxy in front is not for the kernel's judge. */
const packetsOnly = "the kernel judges packets, and those of a proxy do not show the client inside";

/** What only a relay can do. */
const proxyOnly = [
  "upstream",
  "balance",
  "check",
  "rise",
  "fall",
  "send-proxy",
  "first-packet",
  "greeting-pause",
  "max-connections",
  "max-per-source",
  "max-rate",
  "excess-strikes",
  "spare-friends",
  "prefilter",
  "judge",
  "strikes",
  "record",
  "record-max",
] as const;

/** @throws Failure for what a trial does not go with. */
function requireTrial(config: Config): void {
  if (config.trial === undefined) return;
  const other = config["dry-run"]
    ? "--dry-run: a dry run never enforces, leave one of them out"
    : "--prefilter: what the kernel drops cannot be watched, add --prefilter after the trial";
  if (config["dry-run"] || config.prefilter) throw new Failure(`Invalid --trial with ${other}`, { exitCode: 2 });
}

/** @throws Failure for options that contradict each other. */
function requireSense(config: Config, given: RawOptions): void {
  const fail = (message: string) => {
    throw new Failure(message, { exitCode: 2 });
  };
  const hasMap = config["block-map"] !== undefined;
  if (config.mode === "inline") {
    if (!hasMap) fail(`Invalid --mode "inline": it needs the kernel's block map, name one with --block-map`);
    if (config["accept-proxy"].length > 0) {
      fail(`Invalid --accept-proxy with --mode "inline": ${packetsOnly}, use --mode proxy`);
    }
    const senseless = proxyOnly.find((name) => given[name] !== undefined && given[name] !== false);
    if (senseless !== undefined) {
      fail(`Invalid --${senseless} with --mode "inline": nothing is relayed, leave it out or use --mode proxy`);
    }
  }
  if (config.mode === "proxy" && config.reject === "silent" && !hasMap) {
    fail(`Invalid --reject "silent": only a kernel that blocks the source keeps silent, name its map with --block-map`);
  }
  if (config.mode === "proxy" && config.fragments === "pass") {
    fail(`Invalid --fragments "pass" with --mode "proxy": they always pass to a relay, leave it out`);
  }
  requireTrial(config);
  if (config["accept-proxy"].length > 0 && config.prefilter) {
    fail(`Invalid --prefilter with --accept-proxy: ${packetsOnly}, leave --prefilter out`);
  }
  if (config.prefilter && config["spare-friends"] > 0) {
    fail("Invalid --spare-friends with --prefilter: the kernel bans at once, leave one of them out");
  }
  if (config["excess-strikes"] > 0 && config["max-per-source"] === 0 && config["max-rate"] === undefined) {
    fail("Invalid --excess-strikes: there is no limit to run into, set one with --max-rate or --max-per-source");
  }
  requireProtocols(config);
  if (config.prefilter && !hasMap) {
    fail("Invalid --prefilter: it needs the kernel's block map, name one with --block-map");
  }
}

/** @throws Failure when a protocol is named that nobody can be banned for. */
function requireProtocols({ profile, "timeout-for": timeouts }: Config): void {
  if (timeouts.length === 0) return;
  const known = [...loadSniffer(profile).protocols, ...conducts];
  for (const { protocol, timeoutMs } of timeouts) {
    if (known.includes(protocol)) continue;
    const given = `${protocol}=${spellDuration(timeoutMs)}`;
    throw new Failure(
      `Invalid --timeout-for "${given}": there is no protocol "${protocol}", use one of ${known.join(", ")}`,
      {
        exitCode: 2,
      },
    );
  }
}

/** Such a gate would relay to itself until it is full. */
function reachesItself({ listen, status }: Config, upstream: ServerAddress): boolean {
  if ("path" in upstream) return status.kind === "unix" && status.path === upstream.path;
  return reachesPort(listen, upstream);
}

function reachesPort(listen: HostPort, upstream: HostPort): boolean {
  if (listen.port !== upstream.port) return false;
  if (isWildcard(upstream.host)) return true;
  return isWildcard(listen.host) ? isLoopback(upstream.host) : listen.host === upstream.host;
}

export function readConfigFile(path: string): Record<string, unknown> {
  let content: string;
  try {
    content = readFileSync(path, "utf8");
  } catch (error) {
    throw new Failure(`Cannot read config "${path}": ${messageOf(error)}`, { exitCode: 2, cause: error });
  }
  try {
    return parseToml(content);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const reason = error.message.split("\n")[0]?.replace("Invalid TOML document: ", "") ?? "";
    throw new Failure(`Cannot read config "${path}": line ${error.line}, column ${error.column}: ${reason}`, {
      exitCode: 2,
      cause: error,
    });
  }
}

/** @param dashes what stands before a key, as its writer typed it. */
function mistakesIn(raw: Record<string, unknown>, dashes: string): string[] {
  const result = configSchema.safeParse(raw);
  return result.success ? [] : result.error.issues.flatMap((issue) => mistakesOf(issue, raw, dashes));
}

function mistakesOf(issue: z.core.$ZodIssue, raw: Record<string, unknown>, dashes: string): string[] {
  if (issue.code === "unrecognized_keys") {
    const meant = issue.keys.flatMap((key) => closestWord(key, Object.keys(options)) ?? []);
    const hint = meant.length === 0 ? "" : `did you mean ${meant.map((key) => `"${key}"`).join(", ")}? `;
    return [`Unknown key ${issue.keys.map((key) => `"${key}"`).join(", ")}: ${hint}"ttgate config schema" lists them`];
  }
  const key = String(issue.path[0]);
  const value = raw[key];
  return closest(issue).map((inner) => {
    const index = issue.path[1] ?? inner.path[0];
    const shown = Array.isArray(value) && typeof index === "number" ? value[index] : value;
    return `Invalid ${dashes}${key} ${typeof shown === "number" ? shown : JSON.stringify(shown)}: ${inner.message}`;
  });
}

/** What is wrong by that one of the ways to write a value that this one came closest to. */
function closest(issue: z.core.$ZodIssue): readonly z.core.$ZodIssue[] {
  if (issue.code !== "invalid_union") return [issue];
  const inList = issue.errors.find((way) => way.some(({ code, path }) => code !== "invalid_type" || path.length > 0));
  return inList ?? issue.errors[0] ?? [issue];
}
