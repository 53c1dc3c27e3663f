// SPDX-License-Identifier: Apache-2.0
// The configuration as people give it: flags on a command line, keys in a TOML file.
import { afterAll, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { symlinkSync } from "node:fs";
import fc from "fast-check";
import { parse as parseToml } from "smol-toml";
import { z } from "zod";
import { parseCommandLine } from "../../src/cli/command_line.ts";
import { configFlags } from "../../src/cli/config_flags.ts";
import { run } from "../../src/commands/run.ts";
import { ConfigSource } from "../../src/config/config_source.ts";
import { parseHostPort, parseStatus } from "../../src/config/endpoints.ts";
import { soleGate } from "../../src/config/gates.ts";
import { loadConfig } from "../../src/config/load.ts";
import { masked } from "../../src/config/masked.ts";
import { configSchema, type OptionName, options } from "../../src/config/options.ts";
import { loadSniffer } from "../../src/config/profile.ts";
import { lacksProxies } from "../../src/config/sense.ts";
import { checkEvery } from "../../src/config/servers.ts";
import { writtenConfig } from "../../src/config/written.ts";
import { Failure } from "../../src/failure.ts";
import { ttgate } from "../commands/fake_env.ts";
import { TempDir } from "../harness/temp_dir.ts";

const directory = new TempDir();
afterAll(() => directory[Symbol.dispose]());

const empty = directory.write("empty.toml", "");

type Flat = ReturnType<typeof soleGate>;

/** As `ttgate ARGS` reads it, without a look at the host's own file. */
function byFlags(...args: readonly string[]): Flat {
  const { flags } = parseCommandLine(args, configFlags, "");
  const { config: file = empty, ...given } = flags;
  return soleGate(loadConfig(given, String(file)));
}

function byFile(toml: string): Flat {
  return soleGate(loadConfig({}, directory.write("ttgate.toml", toml)));
}

function failureOf(act: () => unknown): Failure {
  try {
    act();
  } catch (error) {
    if (error instanceof Failure) return error;
    throw error;
  }
  throw new Error("Nothing was wrong");
}

/** Prefixes as text, so that configurations can be compared. */
function plain(config: Flat): unknown {
  const texts = (prefixes: Flat["allow"]) => prefixes.map(({ text }) => text);
  return { ...config, allow: texts(config.allow), "accept-proxy": texts(config["accept-proxy"]) };
}

interface Row {
  readonly name: OptionName;
  readonly flags: readonly string[];
  readonly toml: string;
  readonly value: unknown;
}

function row(name: OptionName, text: string, value: unknown, toml = JSON.stringify(text)): Row {
  return { name, flags: [`--${name}`, text], toml: `${name} = ${toml}`, value };
}

/** Those that mean nothing without a fleet. */
function inFleet(name: OptionName, text: string, value: unknown): Row {
  const { flags, toml } = row(name, text, value);
  const url = "rediss://127.0.0.1";
  const other: Partial<Record<OptionName, string>> = { "fleet-cert": "fleet-key", "fleet-key": "fleet-cert" };
  const pair = other[name];
  return {
    ...{ name, value },
    flags: [...flags, "--fleet", url, ...(pair === undefined ? [] : [`--${pair}`, "/x"])],
    toml: `${toml}\nfleet = "${url}"${pair === undefined ? "" : `\n${pair} = "/x"`}`,
  };
}

/** Those that mean nothing without CrowdSec. */
function withCrowdsec(name: OptionName, text: string): Row {
  const { flags, toml, value } = row(name, text, text);
  const url = "https://127.0.0.1:8080";
  return { name, value, flags: [...flags, "--crowdsec", url], toml: `${toml}\ncrowdsec = "${url}"` };
}

const good: readonly Row[] = [
  row("crowdsec", "https://lapi.example/prefix/", {
    ...{ tls: true, server: { host: "lapi.example", port: 443 }, socket: undefined, path: "/prefix" },
    text: "https://lapi.example/prefix",
  }),
  row("crowdsec", "http://[::1]:8080", {
    ...{ tls: false, server: { host: "::1", port: 8080 }, socket: undefined, path: "", text: "http://[::1]:8080" },
  }),
  row("crowdsec", "unix:/run/crowdsec.sock", {
    ...{ tls: false, server: undefined, socket: "/run/crowdsec.sock", path: "", text: "unix:/run/crowdsec.sock" },
  }),
  withCrowdsec("crowdsec-key", "/etc/ttgate/crowdsec.key"),
  row("crowdsec-every", "500ms", 500),
  withCrowdsec("crowdsec-push", "/etc/ttgate/crowdsec.yaml"),
  withCrowdsec("crowdsec-ca", "/etc/ttgate/ca.pem"),
  row("fleet", "rediss://a:b@[::1]:7/2", {
    ...{ kind: "single", nodes: [{ host: "::1", port: 7 }], tls: true, user: "a", password: "b", database: 2 },
    text: "rediss://a@[::1]:7/2",
  }),
  row("fleet", "redis+sentinel://a,b:7/main", {
    ...{ kind: "sentinel", master: "main", tls: false, database: 0, text: "redis+sentinel://a,b:7/main" },
    nodes: [
      { host: "a", port: 26379 },
      { host: "b", port: 7 },
    ],
  }),
  row("fleet", "unix:/run/redis.sock", {
    ...{ kind: "single", nodes: [], socket: "/run/redis.sock", tls: false, database: 0, text: "unix:/run/redis.sock" },
  }),
  row("fleet-name", "web", "web"),
  inFleet("fleet-gate", "a.example", "a.example"),
  row("fleet-trust", "b", ["b"]),
  row("fleet-rate", "10", 10, "10"),
  row("fleet-most", "10", 10),
  inFleet("fleet-password", "/etc/ttgate/password", "/etc/ttgate/password"),
  inFleet("fleet-ca", "/x", "/x"),
  inFleet("fleet-cert", "/y", "/y"),
  inFleet("fleet-key", "/z", "/z"),
  row("block-map", "tapetrack_block_map", "tapetrack_block_map"),
  row("block-map", "id:17", "id:17"),
  { name: "prefilter", flags: ["--prefilter", "-B", "map"], toml: 'prefilter = true\nblock-map = "map"', value: true },
  row("listen", "5000", { host: "::", port: 5000 }),
  row("listen", "127.0.0.1:1", { host: "127.0.0.1", port: 1 }),
  row("listen", "[::1]:65535", { host: "::1", port: 65535 }),
  row("listen", "localhost:5000", { host: "127.0.0.1", port: 5000 }),
  row("listen", "[fe80::1%eth0]:5000", { host: "fe80::1%eth0", port: 5000 }),
  row("upstream", "10.0.0.1:80", [{ host: "10.0.0.1", port: 80 }]),
  row("upstream", "tape-track_1.example:80", [{ host: "tape-track_1.example", port: 80 }]),
  row("upstream", "[2001:db8::1]:80", [{ host: "2001:db8::1", port: 80 }]),
  row("upstream", "unix:/run/server.sock", [{ path: "/run/server.sock" }]),
  row("balance", "failover", "failover"),
  row("balance", "round-robin", "round-robin"),
  row("check", "off", "off"),
  row("check", "500ms", 500),
  row("check", "1h", 3_600_000),
  row("rise", "1", 1, "1"),
  row("fall", "100", 100),
  row("send-proxy", "off", "off"),
  row("send-proxy", "v1", "v1"),
  row("send-proxy", "v2", "v2"),
  row("accept-proxy", "192.0.2.7", ["192.0.2.7"]),
  row("accept-proxy", "2001:db8::/32", ["2001:db8::/32"]),
  row("mode", "proxy", "proxy"),
  row("profile", "ssh", "ssh"),
  row("timeout", "1h30m", 5_400_000),
  row("timeout", "1ms", 1),
  row("ban-scope", "gate", "gate"),
  row("timeout-for", "http=1h", [{ protocol: "http", timeoutMs: 3_600_000 }]),
  row("timeout-for", "excess=1m", [{ protocol: "excess", timeoutMs: 60_000 }]),
  row("escalate", "1.5", 1.5),
  row("escalate", "100", 100, "100"),
  row("escalate-max", "30d", 2_592_000_000),
  row("escalate-memory", "1h", 3_600_000),
  row("spare-friends", "3", 3, "3"),
  row("interface", "eth0", ["eth0"]),
  row("blocklist", "a=/x", [
    { name: "a", source: "/x", forMs: 86_400_000, everyMs: 3_600_000, wide: false, shrinking: false },
  ]),
  row("blocklist", "b.1=https://example.org/x?a=b  every=12h for=7d wide shrinking", [
    {
      ...{ name: "b.1", source: "https://example.org/x?a=b", forMs: 604_800_000, everyMs: 43_200_000 },
      ...{ wide: true, shrinking: true },
    },
  ]),
  row("allow", "192.0.2.0/24", ["192.0.2.0/24"]),
  row("allow", "fe80::1%eth0", ["fe80::1"]),
  row("allow", "2001:db8::1", ["2001:db8::1"]),
  row("fence", "nftables", "nftables"),
  row("never-ban", "none", "none"),
  row("scope", "host", "host"),
  row("reject", "reset", "reset"),
  row("fragments", "drop", "drop"),
  row("status", "off", { kind: "off" }),
  row("status", "unix:/run/ttgate/status", { kind: "unix", path: "/run/ttgate/status" }),
  row("status", "[::1]:9500", { kind: "tcp", host: "::1", port: 9500 }),
  row("status", "localhost:9500", { kind: "tcp", host: "localhost", port: 9500 }),
  row("status-host", "gate.example", ["gate.example"]),
  row("status-host", "[2001:db8::1]", ["2001:db8::1"]),
  row("status-host", "203.0.113.5", ["203.0.113.5"]),
  { name: "dry-run", flags: ["--dry-run"], toml: "dry-run = true", value: true },
  row("trial", "24h", 86_400_000),
  { name: "enforce-unproven", flags: ["--enforce-unproven"], toml: "enforce-unproven = true", value: true },
  { name: "keep", flags: ["--keep"], toml: "keep = true", value: true },
  row("user", "ttgate", "ttgate"),
  row("first-packet", "250ms", 250),
  row("idle", "1h", 3_600_000),
  row("greeting-pause", "2s", 2000),
  row("drain", "2m", 120_000),
  row("state", "/var/lib/ttgate", "/var/lib/ttgate"),
  { name: "forget", flags: ["--forget"], toml: "forget = true", value: true },
  row("max-connections", "1", 1),
  row("max-connections", "1000000", 1_000_000, "1000000"),
  row("max-per-source", "0", 0, "0"),
  row("max-rate", "20/10s", { connections: 20, periodMs: 10_000 }),
  {
    name: "excess-strikes",
    flags: ["--excess-strikes", "3", "--max-rate", "1/1s"],
    toml: "excess-strikes = 3\nmax-per-source = 1",
    value: 3,
  },
  row("max-bans", "16777216", 16_777_216),
  row("ipv6-prefix", "128", 128, "128"),
  row("judge", "upstream", "upstream"),
  row("strikes", "3", 3, "3"),
  row("record", "/var/lib/ttgate/recording", "/var/lib/ttgate/recording"),
  row("record-max", "1", 1, "1"),
  row("log", "json", "json"),
];

/** TOML is given where a flag has no way to say it. */
const bad: readonly (readonly [OptionName, string, string])[] = [
  ["block-map", '""', "expected a path, a name under /sys/fs/bpf, or id:N"],
  ["block-map", "7", 'expected text in quotes, "7"'],
  ["listen", '""', "expected [HOST:]PORT"],
  ["listen", '"0"', "expected [HOST:]PORT"],
  ["listen", '"65536"', "from 1 to 65535"],
  ["listen", '"::1:5000"', "expected [HOST:]PORT"],
  ["listen", '"[127.0.0.1]:5000"', "expected [HOST:]PORT"],
  ["listen", '"example.org:5000"', "with an IP address"],
  ["listen", '"[fe80::1]:5000"', "[fe80::1%eth0]:5000"],
  ["listen", '"[2001:db8::1%eth0]:5000"', "with an IP address"],
  ["upstream", '"[fe80::1]:5001"', "expected HOST:PORT"],
  ["listen", '"1.2.3:5000"', "expected [HOST:]PORT"],
  ["listen", '"127.0.0.1:"', "expected [HOST:]PORT"],
  ["listen", '" 5000"', "expected [HOST:]PORT"],
  ["listen", "5000", 'expected text in quotes, "5000"'],
  ["upstream", '"server"', "expected HOST:PORT"],
  ["upstream", '"server:0"', "expected HOST:PORT"],
  ["upstream", '":80"', "expected HOST:PORT"],
  ["upstream", '"300.1.1.1:80"', "expected HOST:PORT"],
  ["upstream", '"a b:80"', "expected HOST:PORT"],
  ["upstream", '"a/b:80"', "expected HOST:PORT"],
  ["upstream", '"a\\u001b[31m:80"', "expected HOST:PORT"],
  ["upstream", '"a\\nb:80"', "expected HOST:PORT"],
  ["upstream", "[]", "expected at least 1"],
  ["upstream", "80", "expected HOST:PORT"],
  ["upstream", '"unix:relative"', "expected HOST:PORT or unix:/PATH"],
  ["upstream", '"unix:"', "expected HOST:PORT or unix:/PATH"],
  ["balance", '"random"', 'expected "failover" or "round-robin"'],
  ["check", '"499ms"', "expected off or a duration from 500ms to 1h"],
  ["check", '"61m"', "expected off or a duration"],
  ["check", "2", "expected off or a duration"],
  ["rise", "0", "expected a whole number from 1 to 100"],
  ["fall", "101", "expected a whole number from 1 to 100"],
  ["send-proxy", '"2"', 'expected "off", "v1" or "v2"'],
  ["accept-proxy", '"proxy.example"', "expected an address or CIDR"],
  ["mode", '"inlin"', 'expected "proxy"'],
  ["profile", '""', "expected a profile's name or file"],
  ["timeout", '"10"', "expected a duration from 1ms to 3650d, such as 30s"],
  ["timeout", '"0s"', "expected a duration"],
  ["timeout", '"3651d"', "from 1ms to 3650d"],
  ["timeout", "600", "expected a duration"],
  ["ban-scope", '"port"', 'expected "all" or "gate"'],
  ["timeout-for", '"http"', "expected PROTOCOL=DURATION"],
  ["timeout-for", '"http=soon"', "expected PROTOCOL=DURATION"],
  ["timeout-for", '["http=1h","http=2h"]', "expected each protocol once"],
  ["escalate", '"0.5"', "expected a number from 1 to 100"],
  ["escalate", "101", "expected a number from 1 to 100"],
  ["escalate-max", '"ever"', "expected a duration"],
  ["escalate-memory", '"0s"', "expected a duration"],
  ["spare-friends", "-1", "expected a whole number from 0 to 1000"],
  ["interface", '""', "expected an interface's name"],
  ["interface", "3", 'expected text in quotes, "3"'],
  ...[
    ...["/x", "a=x", "a b=/x", "a=ftp://example.org/x", "a=https://", "a=https://me:word@example.org/x"],
    ...["a=/x every=0s", "a=/x for=1s", "a=/x every=soon", "a=/x whole", `${"a".repeat(65)}=/x`],
  ].map((list) => ["blocklist", JSON.stringify(list), "expected NAME=/FILE or NAME=https://URL"] as const),
  ["allow", '"192.0.2.0/33"', "expected an address or CIDR"],
  ["allow", '"2001:db8::1%eth0"', "expected an address or CIDR"],
  ["allow", '"example.org"', "expected an address or CIDR"],
  ["fence", '"nft"', 'expected "auto", "xdp" or "nftables"'],
  ["never-ban", '"some"', 'expected "auto" or "none"'],
  ["scope", '"Port"', 'expected "port" or "host"'],
  ["scope", '["port"]', 'expected "port" or "host"'],
  ["status", '"9500"', "expected HOST:PORT, unix:/PATH (107 bytes at most) or off"],
  ["status", '"unix:relative"', "expected HOST:PORT, unix:/PATH (107 bytes at most) or off"],
  ["status", `"unix:/${"x".repeat(107)}"`, "unix:/PATH (107 bytes at most)"],
  ["upstream", `"unix:/${"ä".repeat(54)}"`, "unix:/PATH (107 bytes at most)"],
  ["crowdsec", `"unix:/${"x".repeat(107)}"`, "unix:/PATH"],
  ["fleet", `"unix:///${"x".repeat(107)}"`, "unix:/PATH"],
  ["status", '"unix:"', "expected HOST:PORT, unix:/PATH (107 bytes at most) or off"],
  ["status-host", '"gate.example:9500"', "expected a host name or an IP address"],
  ["status-host", '"http://gate.example"', "expected a host name or an IP address"],
  ["status-host", '"1.2.3"', "expected a host name or an IP address"],
  ["reject", '"rst"', 'expected "reset" or "silent"'],
  ["fragments", '"keep"', 'expected "drop" or "pass"'],
  ["dry-run", '"yes"', "expected true or false"],
  ["prefilter", '"yes"', "expected true or false"],
  ["trial", '"a day"', "expected a duration"],
  ["enforce-unproven", '"yes"', "expected true or false"],
  ["keep", "1", "expected true or false"],
  ["user", '""', "expected a user's name"],
  ["user", "1000", 'expected text in quotes, "1000"'],
  ["first-packet", '"soon"', "expected a duration"],
  ["idle", '"soon"', "expected a duration"],
  ["greeting-pause", '"soon"', "expected a duration"],
  ["greeting-pause", '"25d"', "expected a duration from 1ms to 1m"],
  ["drain", '"soon"', "expected a duration"],
  ["state", '""', "expected a directory"],
  ["forget", '"yes"', "expected true or false"],
  ["crowdsec", '"127.0.0.1:8080"', "expected http://HOST:PORT"],
  ["crowdsec", '"http://u:p@127.0.0.1"', "expected http://HOST:PORT"],
  ["crowdsec", '"http://127.0.0.1/?a=b"', "expected http://HOST:PORT"],
  ["crowdsec", '"http://"', "expected http://HOST:PORT"],
  ["crowdsec-key", '""', "expected a file"],
  ["crowdsec-every", '"50ms"', "expected a duration from 100ms to 1h"],
  ["crowdsec-every", '"2h"', "expected a duration from 100ms to 1h"],
  ["crowdsec-push", '""', "expected a file"],
  ["crowdsec-ca", '""', "expected a file"],
  ["fleet", '"http://127.0.0.1"', "expected redis://"],
  ["fleet", '"redis://127.0.0.1:0"', "expected redis://"],
  ["fleet", '"redis://a,b"', "expected redis://"],
  ["fleet", '"redis+sentinel://a"', "expected redis://"],
  ["fleet-name", '"a:b"', "expected a name of at most 64 letters"],
  ["fleet-gate", '"a b"', "expected a name of at most 64 letters"],
  ["fleet-trust", '"{a}"', "expected a name of at most 64 letters"],
  ["fleet-rate", "0", "expected a whole number from 1"],
  ["fleet-most", '"all"', "expected a whole number from 1"],
  ["fleet-password", '""', "expected a file"],
  ["fleet-ca", '""', "expected a file"],
  ["fleet-cert", '""', "expected a file"],
  ["fleet-key", '""', "expected a file"],
  ["max-connections", "0", "expected a whole number from 1 to 1000000"],
  ["max-connections", "1.5", "expected a whole number"],
  ["max-connections", "inf", "expected a whole number"],
  ["max-connections", '"1e3"', "expected a whole number"],
  ["max-per-source", "-1", "expected a whole number from 0"],
  ["max-rate", '"20"', "expected N/DURATION, such as 20/10s"],
  ["max-rate", '"0/1s"', "expected N/DURATION"],
  ["excess-strikes", "2", "expected 0, or a whole number from 3 to 1000"],
  ["max-bans", '"many"', "expected a whole number"],
  ["ipv6-prefix", "129", "expected a whole number from 1 to 128"],
  ["ipv6-prefix", '"0"', "expected a whole number from 1 to 128"],
  ["judge", '"server"', 'expected "none" or "upstream"'],
  ["strikes", "2", "expected a whole number from 3 to 1000"],
  ["record", '""', "expected a file"],
  ["record-max", "0", "expected a whole number from 1 to 1048576"],
  ["log", `"xml"`, `expected "text", "logfmt" or "json"`],
];

describe("an option", () => {
  test.each(good)("$toml is understood, as a flag and in the file", ({ name, flags, toml, value }) => {
    expect(plain(byFlags(...flags))).toMatchObject({ [name]: value });
    expect(plain(byFile(toml))).toMatchObject({ [name]: value });
  });

  test("every option has a good case and a bad one", () => {
    const names = Object.keys(options).sort();
    expect([...new Set(good.map(({ name }) => name))].sort() as string[]).toEqual(names);
    expect([...new Set(bad.map(([name]) => name))].sort() as string[]).toEqual(names);
  });

  test.each(bad)("%s = %s is refused in the file, with the remedy, on one line", (name, toml, remedy) => {
    const path = directory.write("ttgate.toml", `${name} = ${toml}\n`);
    const { message, exitCode } = failureOf(() => loadConfig({}, path));
    expect(message).toStartWith(`Cannot use config "${path}": line 1: Invalid ${name} `);
    expect(message).toContain(remedy);
    expect(message).not.toMatch(/[\p{Cc}]/u);
    expect(exitCode).toBe(2);
    const value = toml === "inf" ? "Infinity" : masked(toml);
    expect(message).toContain(`Invalid ${name} ${value}: expected`);
  });

  test.each(bad.filter(([, toml]) => toml.startsWith('"')))(
    "--%s %s is refused as a flag, with the same remedy",
    (name, toml, remedy) => {
      if (options[name] !== undefined && !("value" in options[name])) return;
      const { message, exitCode } = failureOf(() => byFlags(`--${name}=${JSON.parse(toml)}`));
      expect(message).toStartWith(`Invalid --${name} ${masked(toml)}: `);
      expect(message).toContain(remedy);
      expect(exitCode).toBe(2);
    },
  );

  test("a switch takes no value, everything else wants one", () => {
    for (const [name, definition] of Object.entries(options)) {
      const args = "value" in definition ? [`--${name}`] : [`--${name}=true`];
      expect([name, failureOf(() => byFlags(...args)).exitCode]).toEqual([name, 2]);
    }
  });

  test("short flags mean the long ones", () => {
    const long = ["--listen", "1", "--upstream", "a:2", "--profile", "ssh", "--timeout", "1h", "--interface", "lo"];
    const short = ["-l1", "-u", "a:2", "-p", "ssh", "-t1h", "-i", "lo"];
    expect(plain(byFlags(...short))).toEqual(plain(byFlags(...long)));
    expect(plain(byFlags("-B", "m", "-m", "proxy", "-a", "::1", "-s", "off"))).toMatchObject({
      "block-map": "m",
      allow: ["::1"],
      status: { kind: "off" },
    });
  });
});

describe("the table [fleet]", () => {
  test("says the same as the keys that begin with fleet-", () => {
    const table = '[fleet]\nurl = "rediss://h:7"\nname = "web"\ntrust = ["a", "b"]\nrate = 5\n';
    const keys = 'fleet = "rediss://h:7"\nfleet-name = "web"\nfleet-trust = ["a", "b"]\nfleet-rate = 5\n';
    expect(plain(byFile(table))).toEqual(plain(byFile(keys)));
  });

  test("is told of with its line", () => {
    const path = directory.write("ttgate.toml", 'timeout = "1m"\n[fleet]\nurl = "redis://h"\nrate = 0\n');
    expect(failureOf(() => loadConfig({}, path)).message).toContain("line 4: Invalid fleet-rate 0");
  });

  test.each([
    [["--fleet-gate", "a"], "Invalid --fleet-gate: there is no fleet, name its server with --fleet"],
    [
      ["--fleet", "redis://h", "--fleet-ca", "/x"],
      'Invalid --fleet-ca: --fleet "redis://h" is without TLS, write rediss://',
    ],
    [
      ["--fleet", "rediss://h", "--fleet-cert", "/x"],
      "Invalid --fleet-cert: it needs its key, name it with --fleet-key",
    ],
  ])("%p contradict each other", (flags, message) => {
    expect(failureOf(() => byFlags(...flags)).message).toBe(message);
  });

  test("keeps the password to itself", () => {
    expect(JSON.stringify(writtenConfig(loadConfig({ fleet: "redis://u:secret@h" }, undefined)))).not.toContain(
      "secret",
    );
  });
});

test("a greeting pause that no client would wait for is refused, the default is not", () => {
  expect(failureOf(() => byFlags("--greeting-pause", "2s", "--first-packet", "1500ms")).message).toBe(
    'Invalid --greeting-pause "2s": no client would wait for it, make it shorter than --first-packet 1s500ms',
  );
  expect(byFlags("--first-packet", "250ms")["greeting-pause"]).toBe(300);
});

describe("the table [crowdsec]", () => {
  test("says the same as the keys that begin with crowdsec-", () => {
    const table = '[crowdsec]\nurl = "http://h:7"\nkey = "/k"\nevery = "5s"\npush = "/p"\n';
    const keys = 'crowdsec = "http://h:7"\ncrowdsec-key = "/k"\ncrowdsec-every = "5s"\ncrowdsec-push = "/p"\n';
    expect(plain(byFile(table))).toEqual(plain(byFile(keys)));
  });

  test("is told of with its line", () => {
    const path = directory.write("ttgate.toml", 'timeout = "1m"\n[crowdsec]\nurl = "http://h"\nevery = 0\n');
    expect(failureOf(() => loadConfig({}, path)).message).toContain("line 4: Invalid crowdsec-every 0");
  });

  test.each([
    [["--crowdsec-key", "/k"], "Invalid --crowdsec-key: CrowdSec is not asked, name its local API with --crowdsec"],
    [
      ["--crowdsec", "http://h", "--crowdsec-ca", "/x"],
      'Invalid --crowdsec-ca: --crowdsec "http://h" is without TLS, write https://',
    ],
  ])("%p contradict each other", (flags, message) => {
    expect(failureOf(() => byFlags(...flags)).message).toBe(message);
  });
});

describe("precedence", () => {
  test("defaults are what the help says", () => {
    expect(plain(byFlags())).toEqual({
      name: "default",
      listen: { host: "::", port: 5000 },
      upstream: [{ host: "127.0.0.1", port: 5001 }],
      balance: "failover",
      rise: 2,
      fall: 3,
      "send-proxy": "off",
      "accept-proxy": [],
      mode: "proxy",
      prefilter: false,
      profile: "tapetrack",
      timeout: 600_000,
      interface: [],
      allow: [],
      blocklist: [],
      fence: "auto",
      "never-ban": "auto",
      scope: "port",
      status: { kind: "tcp", host: "127.0.0.1", port: 9500 },
      "status-host": [],
      "dry-run": false,
      "enforce-unproven": false,
      fragments: "drop",
      keep: false,
      "first-packet": 10_000,
      "greeting-pause": 300,
      drain: 30_000,
      forget: false,
      "crowdsec-every": 2000,
      "fleet-name": "ttgate",
      "fleet-trust": [],
      "fleet-rate": 20_000,
      "fleet-most": 100_000,
      "timeout-for": [],
      escalate: 1,
      "escalate-max": 604_800_000,
      "escalate-memory": 86_400_000,
      "spare-friends": 0,
      "excess-strikes": 0,
      "max-per-source": 0,
      "max-bans": 1_048_576,
      "ipv6-prefix": 64,
      judge: "none",
      strikes: 5,
      "record-max": 64,
      log: "text",
      "ban-scope": "all",
    });
  });

  test("inline mode wants a map, and nothing that only a relay can do", () => {
    expect(byFlags("-m", "inline", "-B", "map")).toMatchObject({ mode: "inline", upstream: [] });
    const wrong = (...args: readonly string[]) => failureOf(() => byFlags("-m", "inline", ...args)).message;
    expect(wrong()).toBe(`Invalid --mode "inline": it needs the kernel's block map, name one with --block-map`);
    for (const option of ["--upstream=127.0.0.1:1", "--first-packet=1s", "--max-connections=1", "--prefilter"]) {
      const [name] = option.split("=");
      expect(wrong("-B", "map", option)).toStartWith(`Invalid ${name} with --mode "inline": nothing is relayed`);
    }
    expect(failureOf(() => byFlags("--prefilter")).message).toContain("--block-map");
    expect(failureOf(() => byFlags("--trial=1h", "--dry-run")).message).toContain("leave one of them out");
    expect(failureOf(() => byFlags("--trial=1h", "--prefilter", "-B=m")).message).toContain("after the trial");
  });

  test("no kernel judges what comes through a proxy", () => {
    for (const args of [
      ["-m", "inline", "-B", "map"],
      ["--prefilter", "-B", "map"],
    ]) {
      const { message, exitCode } = failureOf(() => byFlags(...args, "--accept-proxy", "192.0.2.7"));
      expect([message, exitCode]).toEqual([expect.stringContaining("do not show the client inside"), 2]);
      expect(message).toMatch(/use --mode proxy$|leave --prefilter out$/);
      expect(lacksProxies(byFlags(...args))).toBe(false);
    }
    expect(lacksProxies(byFlags())).toBe(true);
    expect(lacksProxies(byFlags("--accept-proxy", "192.0.2.7"))).toBe(false);
  });

  test("servers are looked at by default where there is a choice", () => {
    const every = (...args: readonly string[]) => checkEvery(byFlags(...args));
    expect(every()).toBeUndefined();
    expect(every("-u", "a:1", "-u", "b:2")).toBe(2000);
    expect(every("-u", "a:1", "-u", "b:2", "--check", "off")).toBeUndefined();
    expect(every("--check", "5s")).toBe(5000);
  });

  test("the gate's own status socket is no upstream", () => {
    const { message } = failureOf(() => byFlags("-s", "unix:/run/x", "-u", "unix:/run/x"));
    expect(message).toBe(
      'Invalid --upstream "unix:/run/x": the gate itself listens there, name the server\'s own address',
    );
  });

  test("what cannot be kept together, or names a protocol that there is not, is refused", () => {
    const wrong = (...args: readonly string[]) => failureOf(() => byFlags(...args)).message;
    expect(wrong("--timeout-for", "htp=1h")).toStartWith(
      'Invalid --timeout-for "htp=1h": there is no protocol "htp", use one of ',
    );
    expect(wrong("--excess-strikes", "3")).toContain("set one with --max-rate or --max-per-source");
    expect(wrong("-B", "map", "--prefilter", "--spare-friends", "3")).toContain("leave one of them out");
    expect(wrong("-B", "map", "-m", "inline", "--spare-friends", "3")).toContain("nothing is relayed");
  });

  test("silence is refused where no kernel would keep it", () => {
    expect(failureOf(() => byFlags("--reject", "silent"))).toMatchObject({
      message: `Invalid --reject "silent": only a kernel that blocks the source keeps silent, name its map with --block-map`,
      exitCode: 2,
    });
    expect(byFlags("--reject", "silent", "-B", "m").reject).toBe("silent");
    expect(byFlags("--reject", "reset").reject).toBe("reset");
    expect(byFlags().reject).toBeUndefined();
    expect(failureOf(() => byFlags("--fragments", "pass")).message).toStartWith(
      `Invalid --fragments "pass" with --mode`,
    );
    expect(byFlags("-m", "inline", "-B", "m", "--fragments", "pass").fragments).toBe("pass");
  });

  test("a flag wins over the file, the file over the default; a list is replaced, not added to", () => {
    const path = directory.write(
      "p.toml",
      'timeout = "1h"\nlisten = "6000"\nupstream = ["a:1", "b:2"]\nallow = "192.0.2.1"\ndry-run = true\n',
    );
    expect(plain(byFlags("-c", path, "-t", "2h", "-u", "c:3", "-u", "d:4"))).toMatchObject({
      timeout: 7_200_000,
      listen: { port: 6000 },
      upstream: [
        { host: "c", port: 3 },
        { host: "d", port: 4 },
      ],
      allow: ["192.0.2.1"],
      "dry-run": true,
      log: "text",
    });
  });

  test("of a flag that is given twice the last one counts, one that repeats is collected, said twice is once", () => {
    expect(byFlags("-t", "1h", "-t", "2h").timeout).toBe(7_200_000);
    expect(byFlags("-i", "a", "-i", "b", "-i", "a").interface).toEqual(["a", "b"]);
    expect(byFlags("-u", "a:1", "-u", "a:1").upstream).toEqual([{ host: "a", port: 1 }]);
    expect(plain(byFlags("-a", "::ffff:192.0.2.1", "-a", "192.0.2.1"))).toMatchObject({ allow: ["192.0.2.1"] });
  });
});

describe("a named pipe, which would be waited for", () => {
  test("is refused as configuration, profile and key", () => {
    const pipe = directory.file("pipe.toml");
    expect(spawnSync("mkfifo", [pipe]).status).toBe(0);
    const profile = directory.write("keyed.toml", `[expect]\nkind = "aes256"\nmode = "ecb"\nkeyFile = "${pipe}"\n`);
    const failures = [() => loadConfig({}, pipe), () => loadSniffer(pipe), () => loadSniffer(profile)].map(failureOf);
    for (const { message } of failures) expect(message).toContain("it is a named pipe");
    expect(failures[0]?.message).toStartWith(`Cannot read config "${pipe}": `);
  });
});

describe("what has no end, or is longer than anybody writes", () => {
  test("is refused as configuration, profile and key, and the gate goes on", () => {
    const endless = directory.file("endless.toml");
    symlinkSync("/dev/zero", endless);
    const long = directory.write("long.toml", "#".repeat(8 * 1024 * 1024 + 1));
    const profile = directory.write("zero.toml", `[expect]\nkind = "aes256"\nmode = "ecb"\nkeyFile = "${endless}"\n`);
    const readers = [endless, long].flatMap((path) => [() => loadConfig({}, path), () => loadSniffer(path)]);
    for (const { message } of [...readers, () => loadSniffer(profile)].map(failureOf)) {
      expect(message).toContain("it has more than 8 MiB, or no end");
    }
  });
});

describe("the configuration of a process that runs", () => {
  test("does not become the defaults when its file is emptied; a comment says that they are meant", () => {
    const path = directory.write("emptied.toml", 'timeout = "1h"\n');
    const source = new ConfigSource({}, path);
    expect(source.read().timeout).toBe(3_600_000);
    directory.write("emptied.toml", "\n");
    expect(failureOf(() => source.read()).message).toBe(
      `Cannot use config "${path}": it is empty, and was not before; write what it is to hold, or a comment if the defaults are meant`,
    );
    directory.write("emptied.toml", "# as it comes\n");
    expect(source.read().timeout).toBe(600_000);
  });
});

describe("mistakes", () => {
  test("are told all at once, of the file and of the flags, on one line", () => {
    const path = directory.write(
      "m.toml",
      'timeout = "soon"\ncolour = "red"\ntimout = "1h"\nallow = ["192.0.2.1", "here", "there"]\nmax-bans = 0\n[table]\n',
    );
    const { message } = failureOf(() => byFlags("-c", path, "--listen", "x", "--scope", "y", "-u", "a", "-u", "b:1"));
    for (const part of [
      `Cannot use config "${path}": `,
      'Invalid timeout "soon": expected a duration',
      'line 2: Unknown key "colour": "ttgate config schema" lists them',
      'line 3: Unknown key "timout": did you mean "timeout"? "ttgate config schema" lists them',
      'line 6: Unknown key "table": ',
      'Invalid allow "here": expected',
      'Invalid allow "there": expected',
      "Invalid max-bans 0: expected",
      'Invalid --listen "x": expected',
      'Invalid --scope "y": expected',
      'Invalid --upstream "a": expected',
    ]) {
      expect(message).toContain(part);
    }
    expect(message).not.toContain("\n");
    expect(message).not.toContain("192.0.2.1");
  });

  test.each([
    ["listen = ", "line 1, column "],
    ['timeout = "1h"\nlisten = "5000\n', "line 2, column "],
    ['log = "text"\nlog = "json"\n', "line 2, column "],
    ["\u0000", "line 1, column "],
  ])("of syntax have their line: %j", (toml, where) => {
    const { message, exitCode } = failureOf(() => byFile(toml));
    expect(message).toStartWith(`Cannot read config "${directory.file("ttgate.toml")}": ${where}`);
    expect(message).not.toMatch(/[\p{Cc}]/u);
    expect(exitCode).toBe(2);
  });

  test.each([
    ["timeout = 10m", 'write timeout = "10m"'],
    ["upstream = 127.0.0.1:5001 # the server", 'write upstream = "127.0.0.1:5001"'],
    ["mode = inline", 'write mode = "inline"'],
    ["block-map: ttgate", 'write block-map = "ttgate"'],
    ["keep: true", "write keep = true"],
  ])("of those who know other formats have their remedy: %j", (line, remedy) => {
    expect(failureOf(() => byFile(`log = "text"\n${line}\n`)).message).toEndWith(`; ${remedy}`);
  });

  test.each(['listen = "5000', "rise = 2\nrise = 3", "[fleet", "= 5"])("of another kind have none: %j", (line) => {
    expect(failureOf(() => byFile(line)).message).not.toContain("write");
  });

  test.each([
    "fleet = redis://gate:hunter2@192.0.2.1",
    'fleet = "redis://gate:hunter2@192.0.2.1:port"',
    'fleet = "redis://:hunter2@192.0.2.1/a b"',
    'blocklist = ["drop=https://me:hunter2@example.org/list often"]',
  ])("do not have the password of a URL, since they end in a log: %j", (line) => {
    const { message } = failureOf(() => byFile(line));
    expect(message).toContain(":…@");
    expect(message).not.toContain("hunter2");
  });

  test("tables that are misspelt are known too", () => {
    const { message } = failureOf(() => byFile("[[gates]]\n[fleets]\n"));
    expect(message).toContain('Unknown key "gates": did you mean "gate"?');
    expect(message).toContain('Unknown key "fleets": did you mean "fleet"?');
  });

  test("a file that cannot be read is named, with what to do", () => {
    for (const [path, remedy] of [
      [directory.file("missing.toml"), "name a file that is there"],
      [directory.path, "it is a directory; name a file"],
    ] as const) {
      const { message, exitCode } = failureOf(() => loadConfig({}, path));
      expect(message).toStartWith(`Cannot read config "${path}": `);
      expect(message).toEndWith(remedy);
      expect(exitCode).toBe(2);
    }
  });

  test.each([
    [["--colour"], "Unknown option '--colour'"],
    [["-x"], "Unknown option '-x'"],
    [["--timeout"], "'-t, --timeout <value>' argument missing"],
    [["-t", "-5"], `'-t' argument is ambiguous: write "--timeout=-…" for a value that begins with a dash; see`],
    [["--keep=yes"], "'--keep' does not take an argument"],
  ])("of the command line %j name the flag and the help", (args, words) => {
    const { message, exitCode } = failureOf(() => byFlags(...args));
    expect(message).toContain(words);
    expect(message).toEndWith('see "ttgate --help"');
    expect(message).not.toMatch(/\n|\.:/);
    expect(exitCode).toBe(2);
  });

  test.each([
    [["-l", "5000", "-u", "127.0.0.1:5000"]],
    [["-l", "5000", "-u", "[::1]:5000"]],
    [["-l", "5000", "-u", "localhost:5000"]],
    [["-l", "0.0.0.0:5000", "-u", "127.0.0.1:5000"]],
    [["-l", "127.0.0.1:5000", "-u", "127.0.0.1:5000"]],
    [["-l", "192.0.2.1:5000", "-u", "a:1", "-u", "192.0.2.1:5000"]],
  ])("a gate that is its own upstream is refused: %j", (args) => {
    expect(failureOf(() => byFlags(...args)).message).toContain("the gate itself listens there");
  });

  test("another port or another address is no loop", () => {
    expect(byFlags("-l", "5000", "-u", "127.0.0.1:5001").upstream).toHaveLength(1);
    expect(byFlags("-l", "127.0.0.1:5000", "-u", "127.0.0.2:5000").upstream).toHaveLength(1);
    expect(byFlags("-l", "5000", "-u", "server.example:5000").upstream).toHaveLength(1);
  });
});

describe("addresses", () => {
  test("nothing that drives a terminal or makes a line is a host", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 20 }), fc.nat(70_000), (host, port) => {
        const parsed = parseHostPort(`${host}:${port}`);
        if (parsed === undefined) return;
        expect(parsed.host).toMatch(/^[\w.:-]+$/);
        expect(parsed.port).toBe(port);
        expect(port >= 1 && port <= 65535).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });

  test("a status address is read or refused, never thrown at", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const parsed = parseStatus(text);
        if (parsed?.kind === "unix") expect(parsed.path).toStartWith("/");
      }),
    );
  });
});

describe("what is made from the table of options", () => {
  const schema = z.fromJSONSchema(JSON.parse(JSON.stringify(z.toJSONSchema(configSchema, { io: "input" }))));

  function written(toml: string): unknown {
    return parseToml(toml);
  }

  test.each(good)("the JSON Schema takes $toml", ({ toml }) => {
    expect(schema.safeParse(written(toml)).error?.message).toBeUndefined();
  });

  test.each([
    "colour = 1",
    "listen = 5000",
    'mode = "x"',
    'scope = "x"',
    "dry-run = 1",
    'allow = [1, "192.0.2.1"]',
    'profile = ""',
    "[table]\na = 1",
  ])("the JSON Schema refuses %j, as the loader does", (toml) => {
    expect(schema.safeParse(written(toml)).success).toBe(false);
    expect(failureOf(() => byFile(toml)).exitCode).toBe(2);
  });

  test("the schema tells what each key is for", () => {
    const { properties = {} } = z.toJSONSchema(configSchema, { io: "input" });
    expect(Object.keys(properties).sort()).toEqual(Object.keys(options).sort());
    for (const [key, { help }] of Object.entries(options)) expect(properties[key]).toMatchObject({ description: help });
  });

  test("the help has a line for every option, with its short flag and its value", () => {
    const options = run.help.slice(run.help.indexOf("Options:\n"), run.help.indexOf("\n\nExit codes:"));
    const lines = options.split(/\n(?= {2}(?:-| {4}--))/).map((line) => line.replaceAll(/\n +/g, " "));
    for (const [name, definition] of Object.entries<{ short?: string; value?: string; help: string }>(configFlags)) {
      const { short, value, help } = definition;
      const line = lines.find((text) => text.includes(`--${name}${value === undefined ? " " : ` ${value}`}`));
      expect([name, line?.endsWith(help)]).toEqual([name, true]);
      expect([name, line?.startsWith(short === undefined ? "      --" : `  -${short}, --`)]).toEqual([name, true]);
    }
    expect(run.help).not.toContain("undefined");
  });

  async function show(...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await ttgate(["config", "show", "-c", empty, ...args]);
    expect([code, stderr]).toEqual([0, ""]);
    return stdout;
  }

  test.each<[readonly string[]]>([
    [[]],
    [["-t", "1h30m5s7ms", "--first-packet", "1500ms", "-l", "[2001:db8::1]:7", "-s", "unix:/run/a b"]],
    [
      [
        "-u",
        "[::1]:2",
        "-u",
        "server.example:3",
        "-u",
        "unix:/run/s",
        "--check",
        "1500ms",
        "--accept-proxy",
        "10.0.0.0/8",
        "-a",
        "192.0.2.0/24",
        "-a",
        "2001:db8::/32",
        "-i",
        'e"\\0',
      ],
    ],
    [["-B", "/sys/fs/bpf/m", "--max-connections", "7", "--max-per-source", "2", "--dry-run", "--keep", "-s", "off"]],
    [["-t", "3650d", "--scope", "host", "--never-ban", "none", "--log", "json", "--ipv6-prefix", "48"]],
  ])("config show %j is a file that gives the same configuration", async (args) => {
    const wanted = plain(byFlags(...args));
    expect(plain(byFile(await show(...args)))).toEqual(wanted);
    expect(plain(soleGate(loadConfig(JSON.parse(await show(...args, "--json")), empty)))).toEqual(wanted);
  });
});
