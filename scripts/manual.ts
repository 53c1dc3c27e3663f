// SPDX-License-Identifier: Apache-2.0
// The manual pages, in the macros of man(7).
import { type Command, defaultCommand, type Flags } from "../src/cli/command.ts";
import { configFlags } from "../src/cli/config_flags.ts";
import { defaultConfigFile } from "../src/config/config_file.ts";
import { options } from "../src/config/options.ts";
import { defaultConfig, keys } from "./default_config.ts";

const description = `Accepts connections, relays clients that speak the expected protocol to the server, and bans all other sources
for a time. With --block-map the kernel drops the packets of banned sources (XDP); with --mode inline it judges the
first bytes of each connection itself, and nothing is relayed.`;

const exitCodes: readonly (readonly [string, string])[] = [
  ["0", "done"],
  ["1", "the check failed or the gate refused"],
  ["2", "usage or configuration error"],
  ["3", "runtime error"],
];

const files: readonly (readonly [string, string])[] = [
  [defaultConfigFile, "the configuration: ttgate.toml(5)"],
  ["/var/lib/ttgate", "bans, which outlive a restart"],
  ["/run/ttgate", "a file for each gate that runs, for the commands that ask it"],
  ["/sys/fs/bpf", "where the maps and programs of the kernel block are pinned"],
];

export function commandManual(commands: readonly Command[], date: string): string {
  const others = commands.filter(({ name }) => name !== defaultCommand);
  return page("TTGATE", 1, date, [
    section("NAME", text("ttgate - guard a port: strangers are banned, and stay out in the kernel")),
    section("SYNOPSIS", ["ttgate [run] [OPTION]...", "ttgate COMMAND [OPTION]..."].map(bold).join("\n.br\n")),
    section("DESCRIPTION", text(description)),
    section("OPTIONS", flagList(configFlags)),
    section("COMMANDS", [text("Every read-only command accepts --json."), ...others.map(commandEntry)].join("\n")),
    section("EXIT STATUS", exitCodes.map(([code, means]) => tagged(code, means)).join("\n")),
    section("FILES", files.map(([path, what]) => tagged(path, what)).join("\n")),
    section("ENVIRONMENT", tagged("TTGATE_TOKEN", "the token by which commands may change what a running gate does")),
    section("SEE ALSO", text("ttgate.toml(5), systemctl(1), bpftool(8)")),
  ]);
}

export function configManual(date: string): string {
  const entries = keys().map(({ name, help, reloads, line }) => {
    const change = reloads ? "A gate that runs takes a change over on reload." : "A change takes a restart.";
    return `${tagged(name, `${help}. ${change}`)}\n.br\n${text(line)}`;
  });
  const about = `The configuration of ttgate(1), in TOML. Each key is a long option of the command line, which wins. Keys that
repeat are lists of strings; one string will do. "ttgate config check" says whether a file is valid, "ttgate config
schema" prints its JSON Schema.`;
  return page("TTGATE.TOML", 5, date, [
    section("NAME", text("ttgate.toml - configuration of ttgate(1)")),
    section("SYNOPSIS", bold(defaultConfigFile)),
    section("DESCRIPTION", text(about)),
    section("KEYS", entries.join("\n")),
    section("EXAMPLE", `.nf\n${text(defaultConfig().split("\n\n")[1] ?? "")}\n.fi`),
    section("SEE ALSO", text("ttgate(1)")),
  ]);
}

function page(title: string, number: number, date: string, sections: readonly string[]): string {
  const head = `.\\" SPDX-License-Identifier: Apache-2.0\n.\\" Made by scripts/manual.ts.`;
  return `${head}\n.TH ${title} ${number} ${date} ttgate "ttgate"\n.nh\n.ad l\n${sections.join("\n")}\n`;
}

function section(title: string, body: string): string {
  return `.SH ${title}\n${body}`;
}

function commandEntry({ name, usage, about, flags }: Command): string {
  const own = Object.fromEntries(
    Object.entries(flags).filter(([flag]) => flag !== "help" && flag !== "config" && !Object.hasOwn(options, flag)),
  );
  const asRun = Object.hasOwn(flags, "config") ? " Takes the options of run too." : "";
  const head = tagged(`${name} ${usage}`.trim(), `${about}.${asRun}`);
  return Object.keys(own).length === 0 ? head : `${head}\n.RS\n${flagList(own)}\n.RE`;
}

function flagList(flags: Flags): string {
  return Object.entries(flags)
    .map(([name, { short, value, help }]) => {
      const long = `--${name}${value === undefined ? "" : ` ${value}`}`;
      return tagged(short === undefined ? long : `-${short}, ${long}`, help);
    })
    .join("\n");
}

function tagged(tag: string, words: string): string {
  return `.TP\n${bold(tag)}\n${text(words)}`;
}

function bold(words: string): string {
  return `\\fB${text(words)}\\fR`;
}

/** Nothing in it is a macro, and a hyphen stays one when it is copied. */
function text(words: string): string {
  return words
    .replaceAll("\\", "\\e")
    .replaceAll("-", "\\-")
    .replaceAll(/^(?=[.'])/gm, "\\&");
}
