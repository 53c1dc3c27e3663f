// SPDX-License-Identifier: Apache-2.0
// The entry: picks the command, prints a failure in one line, sets the exit code.
import process from "node:process";
import type { Flag } from "./cli.ts";
import type { CommandUsage } from "./completion.ts";
import { Failure, messageOf } from "./failure.ts";
import { oneLine } from "./log.ts";

type Command = (args: readonly string[]) => Promise<number>;

interface Entry {
  readonly usage: string;
  readonly about: string;
  load(): Promise<Command>;
  /** For completion. */
  flags(): Promise<Readonly<Record<string, Flag>>>;
}

const commands: Readonly<Record<string, Entry>> = {
  run: {
    usage: "[run] [options]",
    about: "guard a port (default)",
    load: async () => (await import("./commands/run.ts")).run,
    flags: async () => (await import("./commands/run.ts")).runFlags,
  },
  status: {
    usage: "status",
    about: "what the gate does at the moment",
    load: async () => (await import("./commands/status.ts")).status,
    flags: async () => (await import("./commands/status.ts")).statusFlags,
  },
  bans: {
    usage: "bans",
    about: "who is out, why, and for how long",
    load: async () => (await import("./commands/bans.ts")).bans,
    flags: async () => (await import("./commands/bans.ts")).bansFlags,
  },
  events: {
    usage: "events",
    about: "bans, lifts and their like as they happen",
    load: async () => (await import("./commands/events.ts")).events,
    flags: async () => (await import("./commands/events.ts")).eventsFlags,
  },
  ban: {
    usage: "ban ADDR|CIDR",
    about: "ban a source, --for 1h",
    load: async () => (await import("./commands/ban.ts")).ban,
    flags: async () => (await import("./commands/ban.ts")).banFlags,
  },
  lift: {
    usage: "lift ADDR|CIDR",
    about: "end a ban",
    load: async () => (await import("./commands/ban.ts")).lift,
    flags: async () => (await import("./commands/ban.ts")).liftFlags,
  },
  why: {
    usage: "why ADDR",
    about: "all that is known of an address, and what the kernel does with it",
    load: async () => (await import("./commands/why.ts")).why,
    flags: async () => (await import("./commands/why.ts")).whyFlags,
  },
  check: {
    usage: "check FILE...",
    about: "what would these first bytes get?",
    load: async () => (await import("./commands/check.ts")).check,
    flags: async () => (await import("./commands/check.ts")).checkFlags,
  },
  learn: {
    usage: "learn -o FILE",
    about: "derive a profile from real traffic or recordings",
    load: async () => (await import("./commands/learn.ts")).learn,
    flags: async () => (await import("./commands/learn.ts")).learnFlags,
  },
  replay: {
    usage: "replay RECORDING -p NEW",
    about: "what would another profile have said of recorded connections?",
    load: async () => (await import("./commands/replay.ts")).replay,
    flags: async () => (await import("./commands/replay.ts")).replayFlags,
  },
  doctor: {
    usage: "doctor",
    about: "is this host ready, and if not, what to type",
    load: async () => (await import("./commands/doctor.ts")).doctor,
    flags: async () => (await import("./commands/doctor.ts")).doctorFlags,
  },
  detach: {
    usage: "detach [MAP...]",
    about: "remove program and pins left behind",
    load: async () => (await import("./commands/detach.ts")).detach,
    flags: async () => (await import("./commands/detach.ts")).detachFlags,
  },
  config: {
    usage: "config check|schema|show",
    about: "look at the configuration",
    load: async () => (await import("./commands/config.ts")).config,
    flags: async () => (await import("./commands/config.ts")).configFlags,
  },
  completion: {
    usage: "completion bash|zsh|fish",
    about: "completion of all this for a shell",
    load: async () => {
      const { completion } = await import("./commands/completion.ts");
      return async (args) => completion(args, await usages());
    },
    flags: async () => (await import("./commands/completion.ts")).completionFlags,
  },
  version: {
    usage: "version",
    about: "version and runtime",
    load: async () => (await import("./commands/version.ts")).version,
    flags: async () => (await import("./commands/version.ts")).versionFlags,
  },
};

function usages(): Promise<CommandUsage[]> {
  return Promise.all(
    Object.entries(commands).map(async ([name, { usage, about, flags }]) => ({
      ...{ name, usage, about },
      flags: await flags(),
    })),
  );
}

async function help(): Promise<number> {
  const { runHelp } = await import("./commands/run.ts");
  const rows = Object.values(commands).map(({ usage, about }) => `  ttgate ${usage.padEnd(26)} ${about}`);
  console.log(`${runHelp.trimEnd()}

Commands ("ttgate COMMAND --help" tells more; those that read have --json):
${rows.join("\n")}

Exit codes: 0 done, 1 the thing asked about is bad, 2 usage or configuration, 3 runtime error.`);
  return 0;
}

async function dispatch(args: readonly string[]): Promise<number> {
  const [first, ...rest] = args;
  if (first === "help" || ((first === "--help" || first === "-h") && rest.length === 0)) return help();
  if (first === "--version") return (await commands["version"]?.load())?.(rest) ?? 0;
  const entry = first !== undefined && Object.hasOwn(commands, first) ? commands[first] : undefined;
  if (entry !== undefined) return (await entry.load())(rest);
  const { run } = await import("./commands/run.ts");
  return run(args);
}

async function main(): Promise<void> {
  try {
    process.exit(await dispatch(process.argv.slice(2)));
  } catch (error) {
    process.stderr.write(`ttgate: ${oneLine(messageOf(error).replaceAll("\n", " "))}\n`);
    if (!(error instanceof Failure) && error instanceof Error) process.stderr.write(`${error.stack}\n`);
    process.exit(error instanceof Failure ? error.exitCode : 3);
  }
}

void main();
