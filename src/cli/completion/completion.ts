// SPDX-License-Identifier: Apache-2.0
// What a shell can complete on ttgate's command line, taken from the tables that help is made from. Each
// shell's own language has a file of its own.
import { profileLibrary } from "../../core/profile/library.ts";
import type { Command } from "../command.ts";

/** What may stand in a place. `any`: nothing that a shell could know. */
export type Completion =
  | { readonly kind: "words"; readonly words: readonly string[] }
  | { readonly kind: "any" | "banned" | "files" | "interfaces" | "maps" | "profiles" | "users" };

export interface FlagCompletion {
  readonly long: string;
  readonly short: string | undefined;
  readonly help: string;
  readonly repeats: boolean;
  /** Name of the value in help and what it may be; undefined for a switch. */
  readonly value: { readonly name: string; readonly completion: Completion } | undefined;
}

export interface CommandCompletion {
  readonly name: string;
  readonly about: string;
  readonly flags: readonly FlagCompletion[];
  readonly operand: Completion;
}

/** Asks the gate that runs; without one it says nothing. */
export const bannedCommand = "command ttgate bans -q -n 1000 2>/dev/null";
/** The pins beside a map are not maps to name: docs/map.md. */
export const siblingPins = "_(link_[0-9]+|settings|counters|cidr|v6)$";

export const profileNames: readonly string[] = [...profileLibrary.keys()];

export function completionsOf(commands: readonly Command[]): CommandCompletion[] {
  return commands.map(({ name, usage, about, flags }) => ({
    name,
    about,
    // Whom to ban, nobody but the person who types knows.
    operand: usage.startsWith("ADDR") && name !== "ban" ? { kind: "banned" } : completionOf(usage),
    flags: Object.entries(flags).map(([long, { short, help, repeats, value }]) => ({
      ...{ long, short, help },
      repeats: repeats ?? false,
      value: value === undefined ? undefined : { name: value, completion: completionOf(value, long) },
    })),
  }));
}

/** @param placeholder as help shows it: words to choose from are in small letters, names of things in capitals. */
function completionOf(placeholder: string, flag = ""): Completion {
  if (/^[a-z]+(\|[a-z]+)*$/.test(placeholder)) return { kind: "words", words: placeholder.split("|") };
  if (flag === "profile") return { kind: "profiles" };
  if (flag === "interface") return { kind: "interfaces" };
  if (flag === "user") return { kind: "users" };
  if (placeholder.includes("MAP")) return { kind: "maps" };
  return { kind: /FILE|RECORDING/.test(placeholder) ? "files" : "any" };
}
