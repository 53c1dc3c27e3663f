// SPDX-License-Identifier: Apache-2.0
// The whole command line without a process: help, mistakes in one line, exit codes, and what is loaded.
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { runProgram } from "../../src/cli/program.ts";
import { options } from "../../src/config/options.ts";
import { Failure } from "../../src/failure.ts";
import { commands } from "../../src/main.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { type Given, ttgate } from "./fake_env.ts";

const names = Object.keys(commands);

async function text(...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await ttgate(args);
  expect([args, code, stderr]).toEqual([args, 0, ""]);
  return stdout;
}

/** @returns the one line on stderr. */
async function refused(code: number, args: readonly string[], given: Given = {}): Promise<string> {
  const { stderr, ...rest } = await ttgate(args, given);
  const lines = stderr.split("\n");
  expect([args, rest.code, rest.stdout, lines.length, lines[1]]).toEqual([args, code, "", 2, ""]);
  expect(lines[0]).toMatch(/^ttgate: [^\p{Cc}]+$/u);
  return lines[0] ?? "";
}

describe("help", () => {
  test("fits 80 columns, ends with the exit codes, and is what help COMMAND prints too", async () => {
    for (const name of [undefined, ...names]) {
      const help = await text(...(name === undefined ? ["--help"] : [name, "--help"]));
      expect(await text("help", ...(name === undefined ? [] : [name]))).toBe(help);
      const long = help.split("\n").filter((line) => line.length > 80);
      expect([name, long]).toEqual([name, []]);
      expect(help).toMatch(/\n\nExit codes:\n( {2}[0-3] {2}[^\n]+(\n {5}[^\n]+)*\n){4}$/);
    }
  });

  test("names every command and every option", async () => {
    const help = await text("--help");
    for (const same of [["help"], ["-h"]]) expect(await text(...same)).toBe(help);
    for (const name of Object.keys(options)) expect(help).toContain(`--${name}`);
    const listed = [...help.matchAll(/^ {2}ttgate \[?([a-z]+)/gm)].map(([, name = ""]) => name);
    expect(listed).toEqual(names);
  });

  test.each(names)("of %s begins with its usage, and has each of its flags", async (name) => {
    const command = await commands[name]?.();
    expect(command?.name).toBe(name);
    const help = await text(name, "--help");
    expect(await text(name, "-h")).toBe(help);
    expect(help).toStartWith(name === "run" ? "Usage: ttgate [run]" : `Usage: ttgate ${name}`);
    for (const [long, { help: words }] of Object.entries(command?.flags ?? {})) {
      expect(help).toMatch(new RegExp(`^ {2}(-\\w, | {4})--${long} `, "m"));
      expect(help.replaceAll(/\s+/g, " ")).toContain(words);
    }
  });

  test("is one line for each command, and every command that reads has --json", async () => {
    for (const name of names) {
      const { about, flags } = (await commands[name]?.()) ?? {};
      expect([name, about]).toEqual([name, expect.stringMatching(/^[a-z][^\n]*[^.\n]$/)]);
      expect([name, Object.keys(flags ?? {})]).toEqual([name, expect.arrayContaining(["help"])]);
      const writes = ["run", "completion"].includes(name);
      expect([name, Object.hasOwn(flags ?? {}, "json")]).toEqual([name, !writes]);
    }
  });
});

test("version", async () => {
  expect(await text("version")).toMatch(/^ttgate \d+\.\d+\.\d+\S* \(test 1\.2\.3\)\n$/);
  for (const flag of ["--version", "-V"]) expect(await text(flag)).toBe(await text("version"));
  expect(JSON.parse(await text("version", "--json"))).toEqual({
    version: expect.stringMatching(/^\d/),
    runtime: "test 1.2.3",
  });
});

test("config show, check and schema", async () => {
  using directory = new TempDir();
  const file = directory.write("ttgate.toml", 'timeout = "1h"\n');
  expect(await text("config", "show", "-c", file)).toMatch(/^timeout = "1h" +# .*ttgate\.toml:1$/m);
  expect(JSON.parse(await text("config", "show", "-c", file, "-t", "2h", "--json"))).toMatchObject({ timeout: "2h" });
  expect(await text("config", "check", "-c", file)).toBe(`${file} is valid\n`);
  expect(JSON.parse(await text("config", "check", "-c", file, "--json"))).toEqual({ valid: true, file, warnings: [] });
  expect(JSON.parse(await text("config", "schema"))).toMatchObject({
    type: "object",
    properties: { listen: { type: "string" } },
  });
});

test.each<[readonly string[], string]>([
  [["ban"], "wants ADDR|CIDR, none was given"],
  [["ban", ""], 'wants ADDR|CIDR, given: ""'],
  [["ban", "192.0.2.1", "--for", "1h", "--until", "18:30"], "contradicts --for"],
  [["ban", "192.0.2.1", "--until", "soon"], 'Invalid --until "soon": expected such as 2026-'],
  [["ban", "192.0.2.1", "--until", "2001-01-01"], 'Invalid --until "2001-01-01": it is past'],
  [["ban", "192.0.2.1", "--until", "2199-01-01"], "use --for ever"],
  [["help", "nosuch"], 'Unknown command "nosuch"'],
  [["help", "ban", "lift"], 'takes one COMMAND, given: "ban lift"'],
  [["ban", "192.0.2.1", "--from", "-"], 'takes no operand, given: "192.0.2.1"'],
  [["why", ""], 'wants ADDR|CIDR, given: ""'],
  [["bans", "--limit", "-5"], "--limit"],
  [["bans", "192.0.2.1"], "takes no operand"],
  [["status", "now"], 'takes no operand, given: "now"'],
  [["status", "--jsn"], `'--jsn': did you mean "--json"? see "ttgate status --help"`],
  [["--lisen", "5000"], `'--lisen': did you mean "--listen"? see "ttgate --help"`],
  [["run", "--verbose"], `'--verbose': see "ttgate --help"`],
  [["run", "now"], 'takes no operand, given: "now"'],
  [["-B", "map", "now"], 'takes no operand, given: "now"'],
  [["doctor", "now"], 'ttgate doctor takes no operand, given: "now"'],
  [["version", "now"], 'ttgate version takes no operand, given: "now"'],
  [["licences", "now"], 'ttgate licences takes no operand, given: "now"'],
  [["lift", "--all", "192.0.2.1"], 'ttgate lift takes no operand, given: "192.0.2.1"'],
  [["lift", "--all", "--from", "-"], 'Invalid --from "-": it contradicts --all'],
  [["status", "-s", "here"], 'Invalid --status "here"'],
  [["status", "-s", "off"], 'Invalid --status "off"'],
  [["config"], "expected check, show or schema"],
  [["config", "chek"], 'Unknown "config chek"'],
  [["config", "show", "more"], 'ttgate config show takes no operand, given: "more"'],
  [["config", "show", "--timeout", "x", "--scope", "y"], 'Invalid --timeout "x"'],
  [["config", "check", "-c", "/nonexistent"], '"/nonexistent"'],
  [["config", "check", "-c", "/dev/null", "-p", "nosuch"], '"nosuch"'],
  [["completion"], 'Unknown shell "": expected bash, zsh or fish'],
  [["completion", "csh"], 'Unknown shell "csh": expected bash, zsh or fish'],
  [["completion", "bash", "zsh"], 'Unknown shell "bash zsh": expected bash, zsh or fish'],
  [["doctor", "--nope"], "--nope"],
  [["version", "--nope"], "--nope"],
  [["version", "more"], '"more"'],
  [["detach", "--nope"], "--nope"],
  [["stauts"], 'Unknown command "stauts": did you mean "status"? see "ttgate --help"'],
  [["unbn"], 'did you mean "unban"?'],
  [["hlep"], 'did you mean "help"?'],
  [["elephant"], 'Unknown command "elephant": see "ttgate --help"'],
  [["constructor"], '"constructor"'],
  [["__proto__"], '"__proto__"'],
  [["foo\nbar\u001b[31m\u009b2J"], "foo bar\\u001b[31m\\u009b2J"],
  [["-p", "a\nb\u001b.toml"], "a b\\u001b.toml"],
  [["-u", "a\u001b[1m:80"], "Invalid --upstream"],
])("%j is a usage error in one line", async (args, words) => {
  expect(await refused(2, args)).toContain(words);
});

test.each<[readonly string[], string]>([
  [["ban", "--from", "/nonexistent"], '"/nonexistent"'],
  [["status", "-s", "127.0.0.1:1"], '"127.0.0.1:1"'],
  [["status", "-s", "unix:/nonexistent"], '"unix:/nonexistent"'],
  [["bans", "-s", "nosuch.invalid:1"], '"nosuch.invalid:1"'],
])("%j was understood and did not work: one line", async (args, words) => {
  expect(await refused(3, args)).toContain(words);
});

describe("what a command throws", () => {
  async function thrown(error: unknown, isColoured = false): Promise<{ code: number; stderr: string }> {
    const version = await commands["version"]?.();
    if (version === undefined) throw new Error("There is no version");
    const table = { ...commands, version: async () => ({ ...version, run: () => Promise.reject(error) }) };
    let stderr = "";
    const code = await runProgram(table, ["version"], {
      stdout: { line: () => {} },
      stderr: {
        isColoured,
        line(written) {
          stderr += `${written}\n`;
        },
      },
      ...{ variables: {}, runtime: "", bpffs: "", runDirectory: "", nowMs: () => 0 },
      stdin() {
        throw new Error("Nobody reads it");
      },
    });
    return { code, stderr };
  }

  test("as a Failure is one line and its exit code", async () => {
    expect(await thrown(new Failure("Bad\nluck\u001b", { exitCode: 2 }))).toEqual({
      ...{ code: 2, stderr: "ttgate: Bad luck\\u001b\n" },
    });
    expect((await thrown(new Failure("x", { exitCode: 3 }))).code).toBe(3);
    expect((await thrown(new Failure("x"), true)).stderr).toBe("\u001b[31mttgate:\u001b[0m x\n");
  });

  test("as anything else is a defect: exit code 3, with the stack", async () => {
    const { code, stderr } = await thrown(new TypeError("x is undefined"));
    expect([code, stderr]).toEqual([3, expect.stringMatching(/^ttgate: x is undefined\nTypeError[\s\S]* at /)]);
    expect(await thrown("text")).toEqual({ code: 3, stderr: "ttgate: text\n" });
  });
});

describe("detach", () => {
  test("finds nothing where there is no bpf file system", async () => {
    expect(await text("detach")).toBe("Nothing of ttgate was left behind\n");
    expect(await text("detach", "--json")).toBe("[]\n");
  });
});

describe("what is loaded", () => {
  /** Every file of src/ that is evaluated when this one is. */
  function evaluated(file: string, seen = new Set<string>()): Set<string> {
    if (seen.has(file)) return seen;
    seen.add(file);
    const source = readFileSync(file, "utf8");
    for (const [, path = ""] of source.matchAll(/^(?:import|export) (?!type )[^;]*?from "(\.[^"]+)";/gm)) {
      evaluated(normalize(join(dirname(file), path)), seen);
    }
    return seen;
  }

  test("for version is next to nothing", () => {
    const files = [...evaluated("src/main.ts"), ...evaluated("src/commands/version.ts")];
    const others = files.filter(
      (file) =>
        !/^src\/(cli\/|main|log|failure|generated\/version|core\/closest|host\/(run_directory|write_all))/.test(file),
    );
    expect(others).toEqual(["src/commands/version.ts"]);
  });

  test.each(names)("for the help of %s is no gate and no fence", (name) => {
    const rooms = new Set([...evaluated(`src/commands/${name}.ts`)].map((file) => file.split("/")[1]));
    for (const room of ["kernel", "fences", "sources", "gate", "status"])
      expect([name, room, rooms.has(room)]).toEqual([name, room, false]);
  });
});
