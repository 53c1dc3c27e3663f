// SPDX-License-Identifier: Apache-2.0
// Reads Prometheus' text format 0.0.4 and takes nothing that is not in its rules.

export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface Family {
  readonly name: string;
  readonly type: string;
  readonly help: string;
  readonly samples: readonly Sample[];
}

const sampleLine = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/s;
const label = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(?:,|$)/;
const value = /^[+-]?(?:Inf|NaN|\d+(?:\.\d+)?(?:e[+-]?\d+)?|\.\d+)$/i;

/** @throws Error that names the line. */
export function parsePrometheus(text: string): Family[] {
  if (!text.endsWith("\n")) throw new Error("The last line does not end");
  const families: Family[] = [];
  const seen = new Set<string>();
  const lines = text.slice(0, -1).split("\n");
  for (let index = 0; index < lines.length; ) {
    const [, name = "", help = ""] = required(/^# HELP (\S+) (.+)$/, lines[index++]);
    const [, typed, type = ""] = required(/^# TYPE (\S+) (counter|gauge|histogram)$/, lines[index++]);
    if (typed !== name) throw new Error(`TYPE of ${typed} after HELP of ${name}`);
    if (families.some((family) => family.name === name)) throw new Error(`${name} is there twice`);
    const samples: Sample[] = [];
    for (; index < lines.length && lines[index]?.startsWith("#") === false; index++) {
      const sample = parseSample(lines[index] ?? "");
      const key = JSON.stringify([sample.name, Object.entries(sample.labels).sort()]);
      if (seen.has(key)) throw new Error(`The series ${key} is there twice`);
      seen.add(key);
      samples.push(sample);
    }
    const family = { name, type, help, samples };
    checkNames(family);
    if (type === "histogram") checkHistogram(family);
    families.push(family);
  }
  return families;
}

function required(pattern: RegExp, line: string | undefined): RegExpExecArray {
  const found = pattern.exec(line ?? "");
  if (found === null) throw new Error(`Expected ${pattern}: "${line}"`);
  return found;
}

function parseSample(line: string): Sample {
  const [, name = "", labelText = "", number = ""] = required(sampleLine, line);
  required(value, number);
  const labels: Record<string, string> = {};
  for (let rest = labelText; rest !== ""; ) {
    const [whole, key = "", escaped = ""] = required(label, rest);
    if (key in labels) throw new Error(`The label ${key} is there twice: "${line}"`);
    labels[key] = escaped.replace(/\\(.)/g, (_, character: string) => (character === "n" ? "\n" : character));
    rest = rest.slice(whole.length);
  }
  return { name, labels, value: Number(number.replace("Inf", "Infinity")) };
}

function checkNames({ name, type, samples }: Family): void {
  const allowed = type === "histogram" ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name];
  for (const sample of samples) {
    if (!allowed.includes(sample.name)) throw new Error(`${sample.name} stands among ${name}`);
    if (type === "counter" && !(sample.value >= 0)) throw new Error(`The counter ${name} is ${sample.value}`);
  }
  if ((type === "counter") !== name.endsWith("_total")) throw new Error(`${name} is a ${type}`);
}

function checkHistogram({ name, samples }: Family): void {
  const buckets = samples.filter((sample) => sample.name === `${name}_bucket`);
  const bounds = buckets.map(({ labels }) => Number(labels["le"]?.replace("+Inf", "Infinity")));
  const counts = buckets.map((sample) => sample.value);
  const ascending = (list: readonly number[]) => list.every((item, at) => at === 0 || item >= (list[at - 1] ?? 0));
  const total = samples.find((sample) => sample.name === `${name}_count`)?.value;
  if (!ascending(bounds) || !ascending(counts)) throw new Error(`The buckets of ${name} do not ascend`);
  if (bounds.at(-1) !== Number.POSITIVE_INFINITY) throw new Error(`${name} has no bucket of +Inf`);
  if (counts.at(-1) !== total) throw new Error(`The +Inf bucket of ${name} is not its count`);
  if (!samples.some((sample) => sample.name === `${name}_sum`)) throw new Error(`${name} has no sum`);
}
