// SPDX-License-Identifier: Apache-2.0
// Several gates in a file: what each takes from where, what they must not have in common, and what a reload makes
// of two such configurations.
import { afterAll, describe, expect, test } from "bun:test";
import { adviceOn } from "../../src/config/advice.ts";
import { differencesOf } from "../../src/config/difference.ts";
import { loadConfig, type RawOptions } from "../../src/config/load.ts";
import type { Config } from "../../src/config/options.ts";
import { Failure } from "../../src/failure.ts";
import { ttgate } from "../commands/fake_env.ts";
import { TempDir } from "../harness/temp_dir.ts";

const directory = new TempDir();
afterAll(() => directory[Symbol.dispose]());

function load(toml: string, flags: RawOptions = {}): Config {
  return loadConfig(flags, directory.write("ttgate.toml", toml));
}

function mistake(toml: string, flags: RawOptions = {}): string {
  try {
    load(toml, flags);
  } catch (error) {
    if (error instanceof Failure) {
      expect(error.exitCode).toBe(2);
      return error.message.replace(`"${directory.file("ttgate.toml")}"`, "FILE");
    }
    throw error;
  }
  throw new Error("Nothing was wrong");
}

const two = `timeout = "1h"
block-map = "m"
[[gate]]
name = "a"
listen = "5000"
[[gate]]
name = "b"
listen = "6000"
timeout = "2h"
mode = "inline"
`;

describe("gates", () => {
  test("take what they leave out from the top of the file, and that from the defaults", () => {
    const { gates, timeout } = load(two);
    expect(gates.map(({ name, mode, ...gate }) => [name, mode, gate.timeout, gate.listen.port, gate.profile])).toEqual([
      ["a", "proxy", 3_600_000, 5000, "tapetrack"],
      ["b", "inline", 7_200_000, 6000, "tapetrack"],
    ]);
    expect(timeout).toBe(3_600_000);
  });

  test("one without a table has its options at the top", () => {
    const { gates, timeout } = load('timeout = "1h"\n', { timeout: "2h" });
    expect(gates).toMatchObject([{ name: "default", timeout: 7_200_000 }]);
    expect(timeout).toBe(7_200_000);
  });

  test("a flag wins over one table, belongs to none of several, and to the process always", () => {
    const one = '[[gate]]\nname = "a"\ntimeout = "2h"\n';
    expect(load(one, { timeout: "3h" }).gates).toMatchObject([{ name: "a", timeout: 10_800_000 }]);
    expect(mistake(two, { timeout: "3h" })).toBe(
      'Cannot use --timeout with several gates ("a", "b"): write timeout into their [[gate]] tables',
    );
    expect(load(two, { scope: "host" }).scope).toBe("host");
  });

  const inTable = (line: string) => `[[gate]]\nname = "a"\n${line}\n`;

  test.each([
    ["[[gate]]\nlisten = '1'\n", "[[gate]] table 1: line 1: Missing name: expected at most 32 letters"],
    ['[[gate]]\nname = "a b"\n', 'gate "a b": line 2: Invalid name "a b": expected at most 32 letters'],
    ["gate = 7\n", "line 1: Invalid gate 7: expected [[gate]] tables"],
    ["gate = []\n", "line 1: Invalid gate []: expected [[gate]] tables"],
    [inTable('scope = "host"'), 'gate "a": line 3: Key "scope" is for all gates: move it above the first [[gate]]'],
    [inTable("strikes = 2"), 'gate "a": line 3: Invalid strikes 2: expected a whole number from 3'],
    [`${inTable("")}${inTable('listen = "1"')}`, 'line 5: Two gates have the name "a"'],
    [two.replace("6000", "5000"), 'line 8: Gates "a" and "b" both listen on [::]:5000: give each a port'],
    [
      two.replace('"6000"', '"10.0.0.1:5000"').replace('mode = "inline"', ""),
      'line 8: Gates "a" and "b" both listen on [::]:5000 and 10.0.0.1:5000',
    ],
    [
      `record = "r"\n${inTable('listen = "1"')}${inTable('listen = "2"').replace('"a"', '"b"')}`,
      'Gates "a" and "b" both record to "r"',
    ],
    [`${two}upstream = "127.0.0.1:1"\n`, 'line 11: Gate "b": Invalid --upstream with --mode "inline"'],
    [`${two}ban-scope = "gate"\n`, 'line 11: Gate "b": Invalid --ban-scope "gate" with --mode "inline"'],
    [`block-map = "m"\nprefilter = true\nban-scope = "gate"\n`, 'line 3: Invalid --ban-scope "gate" with --prefilter'],
  ])("%j is refused, with its place", (toml, words) => {
    expect(mistake(toml)).toContain(words);
  });

  test("two that relay may share a port at different addresses", () => {
    const toml = two
      .replace('mode = "inline"', "")
      .replace('"5000"', '"10.0.0.1:5000"')
      .replace('"6000"', '"10.0.0.2:5000"');
    expect(load(toml).gates).toHaveLength(2);
    expect(mistake(toml.replace('timeout = "2h"', "prefilter = true"))).toContain("both listen on");
  });

  test("options at the top that a gate has no use for are no mistake", () => {
    expect(load(`upstream = "127.0.0.1:1"\n${two}`).gates[1]?.upstream).toEqual([]);
  });
});

describe("config show", () => {
  test("prints a file that gives the same configuration, with the origin of each value", async () => {
    const path = directory.write("shown.toml", two);
    const { code, stdout } = await ttgate(["config", "show", "-c", path, "--scope", "host"]);
    expect(code).toBe(0);
    const lineOf = (start: string) => stdout.split("\n").findLast((line) => line.startsWith(start));
    expect(lineOf("scope")).toMatch(/^scope = "host" +# flag$/);
    expect(lineOf("block-map")).toEndWith(`# ${path}:2`);
    expect(lineOf("log")).toEndWith("# default");
    expect(lineOf("listen")).toEndWith(`# ${path}:8`);
    expect(lineOf("timeout =")).toEndWith(`# ${path}:9`);
    expect(stdout.split("\n").filter((line) => line.endsWith(`# ${path}:1`))).toHaveLength(2);
    expect(load(stdout)).toEqual(load(two, { scope: "host" }));
    const json = JSON.parse((await ttgate(["config", "show", "-c", path, "--json"])).stdout) as { gate: unknown[] };
    expect(json.gate).toMatchObject([{ name: "a" }, { name: "b", timeout: "2h" }]);
    const origins = await ttgate(["config", "show", "-c", path, "--json", "--origins"]);
    expect(JSON.parse(origins.stdout)).toMatchObject({
      top: expect.arrayContaining([{ key: "block-map", value: "m", origin: `${path}:2` }]),
    });
  });
});

describe("config check", () => {
  test.each([
    ['status = "0.0.0.0:9500"', "status"],
    ['allow = "0.0.0.0/0"', "allow"],
    ['allow = "::/0"', "allow"],
    ['timeout = "5s"', "timeout"],
    ['timeout = "365d"', "timeout"],
    ['never-ban = "none"', "never-ban"],
    ["dry-run = true", "dry-run"],
    ['keep = true\nblock-map = "m"', "keep without state"],
    ["keep = true", "keep has no effect"],
    ['fence = "nftables"', "fence has no effect"],
    ['scope = "host"', "scope has no effect"],
    ['interface = "eth0"', "interface has no effect"],
    ['accept-proxy = "0.0.0.0/0"', "accept-proxy"],
    ['first-packet = "10m"', "first-packet"],
    ['max-bans = 2000000\nblock-map = "m"', "max-bans"],
    ['scope = "host"\nblock-map = "m"', "scope"],
    ['forget = true\nstate = "/var/lib/ttgate"', "forget"],
    ["strikes = 9", "strikes"],
  ])("warns of %j, and passes it", async (toml, words) => {
    expect(adviceOn(load(toml))).toEqual([expect.stringContaining(words)]);
    const path = directory.write("unwise.toml", toml);
    const { code, stdout, stderr } = await ttgate(["config", "check", "-c", path]);
    expect([code, stdout]).toEqual([0, `${path} is valid\n`]);
    expect(stderr).toMatch(new RegExp(`^ttgate: Warning: ${words}`));
  });

  test("of gates that are each other's upstream, of each of them", () => {
    const gate = (name: string, listen: number, upstream: number) =>
      `[[gate]]\nname = "${name}"\nlisten = "${listen}"\nupstream = "127.0.0.1:${upstream}"\n`;
    const ring = adviceOn(load(gate("a", 5000, 5002) + gate("b", 5002, 5004) + gate("c", 5004, 5000)));
    expect(ring).toEqual(["a", "b", "c"].map((name) => expect.stringContaining(`Gate "${name}": upstream leads back`)));
    expect(adviceOn(load(gate("a", 5000, 5002) + gate("b", 5002, 5004)))).toEqual([]);
  });

  test("has nothing to say of the defaults, nor of networks that are a site's own", () => {
    expect(adviceOn(load(""))).toEqual([]);
    const own = '["10.0.0.0/8", "fd00::/8"]';
    expect(adviceOn(load(`allow = ${own}\naccept-proxy = ${own}\n`))).toEqual([]);
    expect(adviceOn(load('[[gate]]\nname = "a"\ntimeout = "1s"\n'))).toEqual([expect.stringMatching(/^Gate "a": /)]);
  });
});

describe("of two configurations", () => {
  const between = (before: string, after: string, canOpen = true) => {
    const { applied, waiting, config } = differencesOf(load(before), load(after), () => canOpen);
    const short = (list: typeof applied) =>
      list.map(({ option, gate }) => (gate === undefined ? option : `${gate} ${option}`));
    return { applied: short(applied), waiting: short(waiting), config };
  };

  test("each gate's options are told by its name, those of the process without", () => {
    const after = two.replace("6000", "6001").replace('"2h"', '"3h"').replace('"m"', '"n"');
    const { applied, waiting, config } = between(two, after);
    expect([applied, waiting]).toEqual([["b listen", "b timeout"], ["block-map"]]);
    expect(config["block-map"]).toBe("m");
    expect(config.gates[1]).toMatchObject({ listen: { port: 6001 }, timeout: 10_800_000 });
  });

  test("a gate that comes or goes is told; one that cannot be opened waits", () => {
    const more = `${two}[[gate]]\nname = "c"\nlisten = "7000"\n`;
    expect(between(two, more)).toMatchObject({ applied: ["c gate"], waiting: [] });
    const { waiting, config } = between(two, more, false);
    expect([waiting, config.gates.length]).toEqual([["c gate"], 2]);
    const fewer = between(more, two);
    expect([fewer.applied, fewer.config.gates.map(({ name }) => name)]).toEqual([["c gate"], ["a", "b"]]);
  });

  test("of a gate whose mode changes nothing is taken over before the restart", () => {
    const after = two.replace('mode = "inline"', "").replace("6000", "6001");
    const { applied, waiting, config } = between(two, after);
    expect([applied, waiting]).toEqual([[], ["b listen", "b upstream", "b mode"]]);
    expect(config.gates[1]).toMatchObject({ listen: { port: 6000 }, mode: "inline" });
  });
});
