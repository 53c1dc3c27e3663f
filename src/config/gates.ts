// SPDX-License-Identifier: Apache-2.0
// The [[gate]] tables of the file: what may stand in one, and what two of them must not have in common.
import { z } from "zod";
import { formatEndpoint, isWildcard } from "../core/address.ts";
import { Failure } from "../failure.ts";
import { tableNames } from "./config_file.ts";
import { type Config, configSchema, type GateOption, type GateOptions, isGateOption, optionNames } from "./options.ts";

/** Of a process that is described by flags, or by a file without [[gate]]. */
export const defaultGateName = "default";

export const gateOptionNames = optionNames.filter(isGateOption);

const namePattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$/;
const nameMessage = "expected at most 32 letters, digits, dots, hyphens and underscores, such as web-1";

/** What a table leaves out it takes from the top of the file. */
function withoutDefault(schema: z.ZodType): z.ZodType {
  return schema instanceof z.ZodDefault ? (schema.unwrap() as z.ZodType) : schema;
}

export const gateSchema = z.strictObject({
  name: z.string(nameMessage).regex(namePattern, nameMessage).describe("of the gate, in log, status and metrics"),
  ...(Object.fromEntries(
    gateOptionNames.map((option) => [option, withoutDefault(configSchema.shape[option]).optional()]),
  ) as unknown as Record<GateOption, z.ZodType>),
});

/** The table of the options that begin with a name: `url` stands for the key of that name itself. */
function optionTable(name: (typeof tableNames)[number]) {
  const url: z.ZodType = configSchema.shape[name];
  const others = Object.entries(configSchema.shape).flatMap(([key, schema]) =>
    key.startsWith(`${name}-`) ? [[key.slice(name.length + 1), withoutDefault(schema).optional()] as const] : [],
  );
  const table = z.strictObject({ url, ...Object.fromEntries(others) });
  return z.union([url, table]).describe(url.description ?? "");
}

export const fileSchema = configSchema.extend({
  ...Object.fromEntries(tableNames.map((name) => [name, optionTable(name)])),
  gate: z
    .array(gateSchema, "expected [[gate]] tables")
    .min(1, "expected at least 1 [[gate]] table")
    .describe("several gates in one process; options of a gate at the top are what tables leave out")
    .optional(),
});

/** A gate as a sentence begins with it; one that was given no name needs none. */
export function gatePrefix(name: string): string {
  return name === defaultGateName ? "" : `Gate "${name}": `;
}

/** For what concerns one gate only. @throws Failure when there are several. */
export function soleGate({ gates, ...process }: Config): Omit<Config, "gates"> & GateOptions {
  const [gate, ...others] = gates;
  if (gate !== undefined && others.length === 0) return { ...process, ...gate };
  const names = gates.map(({ name }) => `"${name}"`).join(", ");
  throw new Failure(
    `The configuration has several gates (${names}): describe the one that is meant by flags, with --config /dev/null`,
    { exitCode: 2 },
  );
}

/** The kernel judges what goes to its port. */
export function isJudgedInKernel({ mode, prefilter }: Pick<GateOptions, "mode" | "prefilter">): boolean {
  return mode === "inline" || prefilter;
}

/** What two gates cannot have in common. */
export interface Conflict {
  /** A sentence. */
  readonly text: string;
  /** Place of the second gate, and the key that it shares with the first. */
  readonly index: number;
  readonly key: string;
}

export function conflictsOf(gates: readonly GateOptions[]): Conflict[] {
  return gates.flatMap((gate, index) =>
    gates
      .slice(0, index)
      .flatMap((other) => conflictsBetween(other, gate))
      .map(([key, text]) => ({ key, text, index })),
  );
}

function conflictsBetween(one: GateOptions, other: GateOptions): [key: string, text: string][] {
  const both = `Gates "${one.name}" and "${other.name}"`;
  const conflicts: [string, string][] = [];
  if (one.name === other.name) {
    conflicts.push(["name", `Two gates have the name "${one.name}": give each a name of its own`]);
  }
  if (overlap(one, other)) {
    const where = `${listenText(one)}${sameText(one, other)}`;
    conflicts.push(["listen", `${both} both listen on ${where}: give each a port of its own`]);
  }
  if (one.record !== undefined && one.record === other.record) {
    conflicts.push(["record", `${both} both record to "${one.record}": give each a file of its own`]);
  }
  return conflicts;
}

function listenText({ listen }: GateOptions): string {
  return formatEndpoint({ address: listen.host, port: listen.port });
}

function sameText(one: GateOptions, other: GateOptions): string {
  return listenText(one) === listenText(other) ? "" : ` and ${listenText(other)}`;
}

/** The kernel tells gates apart by their ports alone. */
function overlap(one: GateOptions, other: GateOptions): boolean {
  if (one.listen.port !== other.listen.port) return false;
  if (isJudgedInKernel(one) || isJudgedInKernel(other)) return true;
  return isWildcard(one.listen.host) || isWildcard(other.listen.host) || one.listen.host === other.listen.host;
}
