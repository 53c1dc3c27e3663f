// SPDX-License-Identifier: Apache-2.0
// The configuration: defaults, then the file, then flags. Reports every mistake at once, each with its place,
// the key, the value and what is expected.
import { Failure } from "../failure.ts";
import { type ConfigFile, findConfigFile, isTable } from "./config_file.ts";
import { formatServer, type HostPort, type ServerAddress } from "./endpoints.ts";
import { conflictsOf, defaultGateName, gateOptionNames, gatePrefix, gateSchema } from "./gates.ts";
import { mistakesIn } from "./mistakes.ts";
import { type Config, configSchema, type GateOptions, isGateOption, type OptionName } from "./options.ts";
import { contradictionIn, crowdsecContradiction, fleetContradiction } from "./sense.ts";
import { reaches } from "./servers.ts";

/** Values as they were typed, by option name. */
export type RawOptions = Partial<Record<OptionName, unknown>>;

/** One gate as it was written. */
interface RawGate {
  readonly name: string;
  /** Its own words: those of its table, or all where there is none. */
  readonly own: RawOptions;
  readonly all: RawOptions;
  /** Before what is wrong with one of its options, where that stands in a file. */
  placeOf(option: OptionName): string;
}

export interface RawConfig {
  readonly file: ConfigFile | undefined;
  readonly flags: RawOptions;
  /** At the top of the file. */
  readonly top: RawOptions;
  /** The [[gate]] tables. */
  readonly tables: readonly (RawOptions & { readonly name: string })[];
}

/**
 * @param flags as typed on the command line; they win over the file.
 * @param path given with --config; without it the default file is read if it is there.
 * @throws Failure with every mistake in the file and among the flags.
 */
export function loadConfig(flags: RawOptions, path: string | undefined): Config {
  return configOf(readRaw(flags, path));
}

/** @throws Failure with every value that cannot be. */
export function readRaw(flags: RawOptions, path: string | undefined): RawConfig {
  const file = findConfigFile(path);
  const { gate: tables, ...top } = file?.values ?? {};
  const problems: string[] = [];
  if (file !== undefined) {
    const inFile = [
      ...mistakesIn(configSchema, top, "", (key) => file.lineOf(key)),
      ...(tables === undefined ? [] : mistakesInTables(tables, file)),
    ].join("; ");
    if (inFile !== "") problems.push(`Cannot use config "${file.path}": ${inFile}`);
  }
  problems.push(...mistakesIn(configSchema, flags, "--"));
  const list = Array.isArray(tables) ? (tables as RawConfig["tables"]) : [];
  const stray = gateOptionNames.find((option) => flags[option] !== undefined);
  if (list.length > 1 && stray !== undefined) {
    const names = list.map(({ name }) => `"${name}"`).join(", ");
    problems.push(`Cannot use --${stray} with several gates (${names}): write ${stray} into their [[gate]] tables`);
  }
  if (problems.length > 0) throw new Failure(problems.join("; "), { exitCode: 2 });
  return { file, flags, top, tables: list };
}

function mistakesInTables(tables: unknown, file: ConfigFile): string[] {
  if (!Array.isArray(tables) || tables.length === 0 || !tables.every(isTable)) {
    const line = file.lineOf("gate");
    const place = line === undefined ? "" : `line ${line}: `;
    return [`${place}Invalid gate ${JSON.stringify(tables)}: expected [[gate]] tables, one at least`];
  }
  return tables.flatMap((table, index) => {
    const { name } = table;
    const which = typeof name === "string" ? `gate "${name}": ` : `[[gate]] table ${index + 1}: `;
    const lineOf = (key: string) => file.lineOf(`gate.${index}.${key}`);
    return mistakesIn(gateSchema, table, "", lineOf).map((mistake) => which + mistake);
  });
}

/** @throws Failure for what contradicts itself. */
export function configOf(raw: RawConfig): Config {
  const { top, flags, tables } = raw;
  const { timeout, ...process } = configSchema.parse({ ...top, ...flags });
  const gates = rawGates(raw).map((gate) => completeGate(gate, process));
  const given = { ...top, ...flags };
  const idle = fleetContradiction(process, given) ?? crowdsecContradiction(process, given);
  if (idle !== undefined) {
    const [option, message] = idle;
    const place = flags[option] === undefined ? placeOf(raw, option) : "";
    throw new Failure(`${place}Invalid --${option}${message}`, { exitCode: 2 });
  }
  const conflicts = conflictsOf(gates).map(({ text, index, key }) => placeOf(raw, `gate.${index}.${key}`) + text);
  if (conflicts.length > 0) throw new Failure(conflicts.join("; "), { exitCode: 2 });
  const ofProcess = Object.fromEntries(
    Object.entries(process).filter(([option]) => !isGateOption(option as OptionName)),
  ) as Omit<Config, "gates" | "timeout">;
  const [gate] = gates;
  return { ...ofProcess, timeout: tables.length === 0 && gate !== undefined ? gate.timeout : timeout, gates };
}

/** Before what is wrong with a key of the file. */
function placeOf({ file }: RawConfig, key: string): string {
  const line = file?.lineOf(key);
  return line === undefined ? "" : `Cannot use config "${file?.path}": line ${line}: `;
}

/** Those of a single gate win over its table. */
function rawGates(raw: RawConfig): RawGate[] {
  const { top, flags, tables } = raw;
  const isFlag = (option: OptionName) => flags[option] !== undefined;
  if (tables.length === 0) {
    const own = { ...top, ...flags };
    const inFile = (option: OptionName) => !isFlag(option) && own[option] !== undefined;
    return [
      { name: defaultGateName, own, all: own, placeOf: (option) => (inFile(option) ? placeOf(raw, option) : "") },
    ];
  }
  return tables.map(({ name, ...table }, index) => {
    const own = { ...table, ...flags };
    const key = (option: OptionName) => (table[option] === undefined ? option : `gate.${index}.${option}`);
    return {
      name,
      own,
      all: { ...top, ...own },
      placeOf: (option) => (isFlag(option) ? "" : placeOf(raw, key(option))),
    };
  });
}

function completeGate(raw: RawGate, process: Pick<Config, "block-map" | "fence" | "status" | "dry-run">): GateOptions {
  const { name, all } = raw;
  const parsed = configSchema.parse(all);
  const options = Object.fromEntries(gateOptionNames.map((option) => [option, parsed[option]]));
  const gate = { ...options, name } as GateOptions;
  const contradiction = contradictionIn(gate, raw.own, process);
  if (contradiction !== undefined) {
    const [option, message] = contradiction;
    throw new Failure(`${raw.placeOf(option)}${gatePrefix(name)}Invalid --${option}${message}`, { exitCode: 2 });
  }
  // The server is where the clients go.
  if (gate.mode === "inline") return { ...gate, upstream: [] };
  const loop = gate.upstream.find((upstream) => reachesItself(gate.listen, process.status, upstream));
  if (loop === undefined) return gate;
  // By default the server's port is one above the usual one.
  const written = all.upstream === undefined ? "listen" : "upstream";
  throw new Failure(
    `${raw.placeOf(written)}${gatePrefix(name)}Invalid --upstream "${formatServer(loop)}": the gate itself listens there, name the server's own address`,
    { exitCode: 2 },
  );
}

/** Such a gate would relay to itself until it is full. */
function reachesItself(listen: HostPort, status: Config["status"], upstream: ServerAddress): boolean {
  if ("path" in upstream) return status.kind === "unix" && status.path === upstream.path;
  return reaches(listen, upstream);
}
