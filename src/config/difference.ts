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
  const took = Object.fromEntries(
    ofProcess.filter(({ option }) => isReloadable(option)).map(({ option }) => [option, after[option as keyof Config]]),
  );
  const stayed = before.gates.flatMap((gate) => {
    const next = after.gates.find(({ name }) => name === gate.name);
    return next === undefined ? [] : [{ gate, next }];
  });
  const ofGates = stayed.flatMap(({ gate, next }) =>
    comparedOptions(gateOptionNames, writtenGate(gate), writtenGate(next)).map((difference) => ({
      ...difference,
      ...named(gate),
    })),
  );
  const removed = before.gates.filter(({ name }) => after.gates.every((gate) => gate.name !== name));
  const added = after.gates.filter(({ name }) => before.gates.every((gate) => gate.name !== name));
  const all = [...ofProcess, ...ofGates];
  const gates = after.gates.flatMap((gate) => {
    const running = stayed.find(({ next }) => next === gate)?.gate;
    if (running !== undefined) return [withReloadable(running, gate)];
    return canOpen(gate) ? [gate] : [];
  });
  return {
    applied: [
      ...all.filter(({ option }) => isReloadable(option)),
      ...removed.map((gate) => ({
        option: "gate" as const,
        ...named(gate),
        before: writtenGate(gate)["listen"],
        after: null,
      })),
      ...added.filter(canOpen).map(cameOf),
    ],
    waiting: [
      ...all.filter(({ option }) => !isReloadable(option)),
      ...added.filter((gate) => !canOpen(gate)).map(cameOf),
    ],
    config: { ...before, ...took, timeout: after.timeout, gates },
  };
}

const optionsOfProcess = optionNames.filter((option) => !isGateOption(option));

/** A gate that was given no name needs none here. */
function named({ name }: GateOptions): { readonly gate?: string } {
  return name === defaultGateName ? {} : { gate: name };
}

function cameOf(gate: GateOptions): Difference {
  return { option: "gate", ...named(gate), before: null, after: writtenGate(gate)["listen"] };
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

/** The gate as it runs, with what it can take over of the new one. */
function withReloadable(running: GateOptions, next: GateOptions): GateOptions {
  const taken = gateOptionNames.filter(isReloadable).map((option) => [option, next[option]]);
  return { ...running, ...Object.fromEntries(taken) };
}

export function isReloadable(option: OptionName): boolean {
  const definition: OptionDefinition<unknown> = options[option];
  return definition.reloads === true;
}
