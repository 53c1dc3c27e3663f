// SPDX-License-Identifier: Apache-2.0
// Two configurations compared: which options differ, of the process and of each gate, which gates came and
// went, and what of it a process that runs can take over.
import { defaultGateName, gateOptionNames } from "./gates.ts";
import {
  type Config,
  type GateOptions,
  isGateOption,
  type OptionDefinition,
  type OptionName,
  optionNames,
  options,
} from "./options.ts";
import { type Written, writtenConfig, writtenGate } from "./written.ts";

export interface Difference {
  /** `gate`: the gate itself came or went. */
  readonly option: OptionName | "gate";
  /** Of an option of a gate, or the gate that came or went. */
  readonly gate?: string;
  /** As they would be written into the file; null is none. */
  readonly before: unknown;
  readonly after: unknown;
}

export interface Differences {
  /** Taken over by a process that runs. */
  readonly applied: readonly Difference[];
  /** Wait for the next start. */
  readonly waiting: readonly Difference[];
  /** What the process runs by from now on. */
  readonly config: Config;
}

/** @param canOpen whether a gate can be added to the process that runs. */
export function differencesOf(before: Config, after: Config, canOpen: (gate: GateOptions) => boolean): Differences {
  const ofProcess = comparedOptions(optionsOfProcess, writtenConfig(before), writtenConfig(after));
  const took = ofProcess
    .filter(({ option }) => isReloadable(option))
    .map(({ option }) => [option, after[option as keyof Config]]);
  const gates = after.gates.map((next) => comparedGate(before.gates.find(isNamed(next.name)), next, canOpen));
  const removed = before.gates.filter(({ name }) => !after.gates.some(isNamed(name)));
  return {
    applied: [
      ...ofProcess.filter(({ option }) => isReloadable(option)),
      ...gates.flatMap(({ applied }) => applied),
      ...removed.map((gate) => ({ option: "gate" as const, ...named(gate), before: listenOf(gate), after: null })),
    ],
    waiting: [...ofProcess.filter(({ option }) => !isReloadable(option)), ...gates.flatMap(({ waiting }) => waiting)],
    config: {
      ...before,
      ...Object.fromEntries(took),
      timeout: after.timeout,
      gates: gates.flatMap(({ gate }) => gate ?? []),
    },
  };
}

interface ComparedGate extends Pick<Differences, "applied" | "waiting"> {
  /** As it runs from now on; undefined: it is not opened. */
  readonly gate: GateOptions | undefined;
}

function comparedGate(
  running: GateOptions | undefined,
  next: GateOptions,
  canOpen: (gate: GateOptions) => boolean,
): ComparedGate {
  if (running === undefined) {
    const came: Difference = { option: "gate", ...named(next), before: null, after: listenOf(next) };
    return canOpen(next)
      ? { gate: next, applied: [came], waiting: [] }
      : { gate: undefined, applied: [], waiting: [came] };
  }
  const all = comparedOptions(gateOptionNames, writtenGate(running), writtenGate(next)).map((difference) => ({
    ...difference,
    ...named(next),
  }));
  // What the rest of a gate means depends on its mode.
  if (running.mode !== next.mode) return { gate: running, applied: [], waiting: all };
  const applied = all.filter(({ option }) => isReloadable(option));
  const taken = applied.map(({ option }) => [option, next[option as keyof GateOptions]]);
  return {
    gate: { ...running, ...Object.fromEntries(taken) },
    applied,
    waiting: all.filter(({ option }) => !isReloadable(option)),
  };
}

const optionsOfProcess = optionNames.filter((option) => !isGateOption(option));

/** A gate that was given no name needs none here. */
function named({ name }: GateOptions): { readonly gate?: string } {
  return name === defaultGateName ? {} : { gate: name };
}

function isNamed(wanted: string): (gate: GateOptions) => boolean {
  return ({ name }) => name === wanted;
}

function listenOf(gate: GateOptions): unknown {
  return writtenGate(gate)["listen"];
}

function comparedOptions(
  names: readonly OptionName[],
  before: Written,
  after: Written,
): (Difference & { readonly option: OptionName })[] {
  return names
    .map((option) => ({ option, before: before[option], after: after[option] }))
    .filter((difference) => JSON.stringify(difference.before) !== JSON.stringify(difference.after));
}

/** Both lists together. */
const shownWhole = 40;
const shownOfEach = 10;

/** What became of a value, for people: of long lists what came and what went, and of that the first. */
export function changeText(before: unknown, after: unknown): string {
  if (!Array.isArray(before) || !Array.isArray(after) || before.length + after.length <= shownWhole) {
    return `${JSON.stringify(before)} is now ${JSON.stringify(after)}`;
  }
  const [had, has] = [new Set<unknown>(before), new Set<unknown>(after)];
  const came = after.filter((value) => !had.has(value));
  const gone = before.filter((value) => !has.has(value));
  return [someOf(came, "came"), someOf(gone, "went")].filter((text) => text !== "").join(", ");
}

function someOf(values: readonly unknown[], what: string): string {
  if (values.length === 0) return "";
  const shown = values.slice(0, shownOfEach).map((value) => JSON.stringify(value));
  const more = values.length > shown.length ? [`${values.length - shown.length} more`] : [];
  return `${values.length} ${what} (${[...shown, ...more].join(", ")})`;
}

export function isReloadable(option: OptionName): boolean {
  const definition: OptionDefinition<unknown> = options[option];
  return definition.reloads === true;
}
