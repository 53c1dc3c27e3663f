// SPDX-License-Identifier: Apache-2.0
// Where each value of a configuration comes from: default, file and line, flag, environment.
import type { ConfigFile } from "./config_file.ts";
import { gateOptionNames } from "./gates.ts";
import { configOf, type RawConfig } from "./load.ts";
import { isGateOption, optionNames } from "./options.ts";
import { proxyOnly } from "./sense.ts";
import { type Written, writtenConfig } from "./written.ts";

export interface ShownValue {
  readonly key: string;
  /** Undefined: not set. */
  readonly value: unknown;
  /** `default`, `flag`, `FILE:LINE`, `environment NAME`. */
  readonly origin: string;
}

export interface ShownConfig {
  /** Of the process, and of its gate where that stands at the top. */
  readonly top: readonly ShownValue[];
  /** Each [[gate]] table. */
  readonly gates: readonly (readonly ShownValue[])[];
}

/** The variables of the environment that stand in for an option. */
const variables: Readonly<Record<string, string>> = { state: "STATE_DIRECTORY" };

/** @throws Failure when the configuration contradicts itself. */
export function shownConfig(raw: RawConfig, environment: Readonly<Record<string, string | undefined>>): ShownConfig {
  const { file, flags, top, tables } = raw;
  const written = writtenConfig(configOf(raw));
  const atTop = (key: string): string => {
    if (Object.hasOwn(flags, key)) return "flag";
    return Object.hasOwn(top, key) ? placeIn(file, key) : "default";
  };
  const gates = (written["gate"] ?? []) as readonly Written[];
  const ofTop = optionNames.filter((name) => tables.length === 0 || name === "timeout" || !isGateOption(name));
  return {
    top: meaningful(ofTop, written).map((key) =>
      inEnvironment({ key, value: written[key], origin: atTop(key) }, environment),
    ),
    gates: gates.map((gate, index) =>
      ["name", ...meaningful(gateOptionNames, gate)].map((key) => {
        const isFlag = Object.hasOwn(flags, key);
        const isOwn = !isFlag && Object.hasOwn(tables[index] ?? {}, key);
        return { key, value: gate[key], origin: isOwn ? placeIn(file, `gate.${index}.${key}`) : atTop(key) };
      }),
    ),
  };
}

/** Without what has no meaning where nothing is relayed. */
function meaningful<N extends string>(names: readonly N[], { mode }: Written): readonly N[] {
  return mode === "inline" ? names.filter((name) => !(proxyOnly as readonly string[]).includes(name)) : names;
}

function placeIn(file: ConfigFile | undefined, key: string): string {
  const line = file?.lineOf(key);
  return line === undefined ? (file?.path ?? "file") : `${file?.path}:${line}`;
}

function inEnvironment(shown: ShownValue, environment: Readonly<Record<string, string | undefined>>): ShownValue {
  const variable = variables[shown.key];
  const [value = ""] = (variable === undefined ? undefined : environment[variable])?.split(":") ?? [];
  return shown.value !== undefined || value === "" ? shown : { ...shown, value, origin: `environment ${variable}` };
}
