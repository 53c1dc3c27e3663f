// SPDX-License-Identifier: Apache-2.0
// Configuration files as they are written, and how they go wrong: seeded and pure.
import { pick, type Random } from "../harness/random.ts";
import { mutateBytes } from "./mutate.ts";

/** What a key is given where it does not belong, or is not meant so. */
const values = [
  '""',
  '"x"',
  "0",
  "-1",
  "1.5",
  "nan",
  "inf",
  "9223372036854775807",
  "1e400",
  "true",
  "[]",
  "[[]]",
  "{}",
  '{ url = "x" }',
  '[ "x", 1 ]',
  "[ {} ]",
  "[ 1979-05-27 ]",
  "1979-05-27T07:32:00Z",
  '"\\u0000"',
  '"\\ud7ff \\U0010FFFF"',
  "'''\n\n'''",
  '"""\\\n   """',
  "0x1F",
  '"127.0.0.1:5001"',
  '"[::]:5000"',
  '"unix:/tmp/x"',
  '"10m"',
  '"0s"',
  '"10.0.0.0/8"',
  '"::/0"',
  '"inline"',
  '"off"',
] as const;

const headers = [
  "[[gate]]",
  "[gate]",
  "[fleet]",
  "[gate.0]",
  "[[fleet]]",
  "[[gate.gate]]",
  '["gate"]',
  "[a.b]",
] as const;

const places = [
  "fleet",
  "gate",
  '"a b"',
  "a.b",
  "'gate'",
  "__proto__",
  "constructor",
  "gate.name",
  "fleet.url",
  "listen.port",
  "ü",
] as const;

/** Lines of the shipped file, of which some are no comments any more; tables of gates and of a fleet. */
export function configText(random: Random, shipped: readonly string[]): string {
  const top = shipped.filter(() => random(12) === 0);
  const gates = Array.from({ length: random(3) }, (_, index) => {
    const listen = `listen = "127.0.0.1:${6000 + index}"`;
    return ["", "[[gate]]", `name = "gate-${index}"`, listen, ...shipped.filter(() => random(40) === 0)];
  });
  const fleet = random(5) === 0 ? ["[fleet]", 'url = "redis://127.0.0.1:6379"', 'name = "here"', 'gate = "one"'] : [];
  return [...top, ...fleet, ...gates.flat(), ""].join("\n");
}

export function mutatedConfig(random: Random, text: string, other: string): Uint8Array {
  const encoder = new TextEncoder();
  if (random(4) === 0) return mutateBytes(random, encoder.encode(text), encoder.encode(other));
  const lines = text.split("\n");
  for (let count = random(4); count > 0; count--) {
    const at = random(lines.length);
    const [key = "", value = ""] = (lines[at] ?? "").split(/ = (.*)/s);
    switch (random(8)) {
      case 0:
        lines[at] = `${key} = ${pick(random, values)}`;
        break;
      case 1:
        lines.splice(at, 0, `${pick(random, places)} = ${value === "" ? pick(random, values) : value}`);
        break;
      case 2:
        lines.splice(at, 0, pick(random, headers));
        break;
      case 3:
        lines.splice(at, 0, lines[random(lines.length)] ?? "");
        break;
      case 4:
        lines.splice(at, 1);
        break;
      case 5:
        lines[at] = `${key.slice(1)} = ${value}`;
        break;
      case 6:
        lines[at] = `${key} = [ ${value}, ${pick(random, values)} ]`;
        break;
      default:
        lines[at] = `${lines[at]}\r`;
    }
  }
  return encoder.encode(lines.join("\n"));
}
