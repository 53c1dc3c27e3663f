// SPDX-License-Identifier: Apache-2.0
// The completions in the real shells, on a terminal: what is typed with a tab, and what the command then
// gets. zsh and fish where they are installed.
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, rmSync } from "node:fs";
import process from "node:process";
import { commands as table } from "../../src/main.ts";
import { Child, run } from "../harness/child.ts";
import { bpftool } from "../harness/gate.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { Undo } from "../harness/undo.ts";
import { waitFor } from "../harness/wait.ts";
import { ttgate } from "./fake_env.ts";

setDefaultTimeout(30_000);

const commands = Object.keys(table);

async function scriptOf(shell: string): Promise<string> {
  const { code, stdout } = await ttgate(["completion", shell]);
  expect(code).toBe(0);
  return stdout;
}

interface Shell {
  readonly name: string;
  readonly argv: readonly string[];
  /** Before the script is read. */
  readonly before: string;
  /** Makes `ttgate` say what it was given. */
  readonly stub: string;
}

const stub = 'ttgate() { echo "given[$*]"; }';
const shells: readonly Shell[] = [
  { name: "bash", argv: ["bash", "--norc", "--noprofile", "-i"], before: "set +o history", stub },
  {
    name: "zsh",
    argv: ["zsh", "-f", "-i"],
    before: "autoload -U compinit; compinit -u -D; unsetopt zle_bracketed_paste",
    stub,
  },
  { name: "fish", argv: ["fish", "-N", "-i", "-P"], before: "true", stub: 'function ttgate; echo "given[$argv]"; end' },
];

/** Maps of nobody, pinned where completion looks for them. */
class Pins implements Disposable {
  readonly #undo = new Undo();

  make(name: string): void {
    const path = `/sys/fs/bpf/${name}`;
    bpftool(["map", "create", path, "type", "hash", "key", "4", "value", "4", "entries", "1", "name", "ttg_pin"]);
    this.#undo.push(() => rmSync(path, { force: true }));
  }

  [Symbol.dispose](): void {
    this.#undo[Symbol.dispose]();
  }
}

/** A tab is where the shell is asked. */
const typed: readonly (readonly [line: string, given: string])[] = [
  ["sta\t", "status"],
  ["comp\tba\t", "completion bash"],
  ["config sch\t", "config schema"],
  ["--dry\t", "--dry-run"],
  ["--log js\t", "--log json"],
  ["--log=te\t", "--log=text"],
  ["run --reject si\t", "run --reject silent"],
  ["--scope h\t", "--scope host"],
  ["--never-ban a\t", "--never-ban auto"],
  ["-p tapet\t", "-p tapetrack"],
  ["--interface l\t", "--interface lo"],
  ["--user roo\t", "--user root"],
  ["--config FILES/pla\t", "--config FILES/plain.toml"],
  ["check FILES/pla\t", "check FILES/plain.toml"],
  ["replay FILES/pla\t", "replay FILES/plain.toml"],
  ["check --profile FILES/pla\t", "check --profile FILES/plain.toml"],
  ["ban --from FILES/pla\t", "ban --from FILES/plain.toml"],
  ["status --js\t", "status --json"],
  ["ban --forc\t", "ban --force"],
  ["doctor --kee\t", "doctor --keep"],
  ["help sta\t", "help status"],
  ["lift 203\t", "lift 203.0.113.7"],
  ["why 192.0.2.1 203\t", "why 192.0.2.1 203.0.113.7"],
  ["lift 2001:db8:7\t", "lift 2001:db8:7::/64"],
  ["unban 203\t", "unban 203.0.113.7"],
  ["detach ttg_comp\t", "detach ttg_completed"],
  ["-B ttg_comp\t", "-B ttg_completed"],
];

describe.each(
  shells.filter(({ name }) => {
    if (Bun.which(name) !== null) return true;
    console.log(`Skipped tests/commands/completion with ${name}: it is not installed`);
    return false;
  }),
)("$name", ({ name, argv, before, stub }) => {
  test("completes what is typed", async () => {
    using directory = new TempDir();
    directory.write("plain.toml", "");
    const script = directory.write("script", await scriptOf(name));
    // What the completion asks for the banned; commands that are typed go to the stub.
    directory.write("ttgate", "#!/bin/sh\n[ \"$1\" = bans ] && printf '%s\\n' 203.0.113.7 2001:db8:7::/64\n");
    chmodSync(directory.file("ttgate"), 0o755);
    using pins = new Pins();
    pins.make("ttg_completed");
    for (const sibling of ["settings", "link_7", "cidr"]) pins.make(`ttg_completed_${sibling}`);
    await using terminal = new Child(["script", "-qec", argv.join(" "), "/dev/null"], {
      holdInput: true,
      env: {
        PATH: `${directory.path}:${process.env["PATH"]}`,
        ...{ TERM: "dumb", HOME: directory.path, XDG_CONFIG_HOME: directory.path, XDG_DATA_HOME: directory.path },
      },
    });
    terminal.send(`${before}; source ${script}; ${stub}; echo re""ady\n`);
    await terminal.said(/ready/);
    for (const [line, given] of typed) {
      const expected = given.replace("FILES", directory.path);
      const from = terminal.stdout.length;
      terminal.send(`ttgate ${line.replace("FILES", directory.path)}`);
      // Typed ahead: the shell answers the tabs before it comes to the end of the line.
      terminal.send("\n");
      const [, got = ""] = await waitFor(`the end of "ttgate ${line}"`, () => {
        return /given\[([^\]]*)\]/.exec(terminal.stdout.slice(from)) ?? undefined;
      });
      expect(got.trim()).toBe(expected);
    }
  });
});

describe("completion", () => {
  test.each(commands)("for bash has every flag of %s and no other", async (command) => {
    const flags = Object.keys((await table[command]?.())?.flags ?? {}).map((long) => `--${long}`);
    expect(flags).toContain("--help");
    const ask = `COMP_WORDS=(ttgate ${command} --); COMP_CWORD=2; _ttgate; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { stdout } = await run(["bash", "-c", `${await scriptOf("bash")}\n${ask}`]);
    expect(stdout.trim().split("\n").sort()).toEqual(flags.sort());
  });

  test("for bash offers the commands first", async () => {
    const ask = `COMP_WORDS=(ttgate ""); COMP_CWORD=1; _ttgate; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { stdout } = await run(["bash", "-c", `${await scriptOf("bash")}\n${ask}`]);
    expect(stdout.trim().split("\n").sort()).toEqual([...commands, "help"].sort());
  });
});
