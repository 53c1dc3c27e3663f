// SPDX-License-Identifier: Apache-2.0
// What a command printed, as a picture of a terminal. Of output that has a line a second first, the rest is shown.
//   COMMAND | terminal.ts "WHAT WAS TYPED" >FILE.svg
import process from "node:process";
import { escaped } from "./diagram.ts";

const lineHeight = 18;
/** Of DejaVu Sans Mono and its like at 13 px. */
const characterWidth = 7.83;
const margin = 16;
const barHeight = 28;

/** A terminal is dark on a light page too. */
const style = `
  text { font: 13px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; fill: #e6edf3; white-space: pre; }
  .banned { fill: #ff7b72; } .good { fill: #56d364; } .typed { fill: #79c0ff; }
`;

export function terminal(typed: string, output: string): string {
  const lines = [`$ ${typed}`, "", ...output.trimEnd().split("\n")];
  const width = Math.ceil(Math.max(...lines.map(({ length }) => length)) * characterWidth) + 2 * margin;
  const height = barHeight + lines.length * lineHeight + margin;
  const text = lines.map(
    (line, index) =>
      `<text x="${margin}" y="${barHeight + (index + 1) * lineHeight - 4}"${toneOf(line, index)}>${escaped(line)}</text>`,
  );
  const buttons = ["#ff5f57", "#febc2e", "#28c840"].map(
    (colour, index) => `<circle cx="${margin + 4 + index * 18}" cy="15" r="5" fill="${colour}"/>`,
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img">`,
    `<title>${escaped(typed)}</title>`,
    `<style>${style}</style>`,
    `<rect width="${width}" height="${height}" rx="8" fill="#0d1117" stroke="#8b949e"/>`,
    ...buttons,
    ...text,
    "</svg>\n",
  ].join("\n");
}

function toneOf(line: string, index: number): string {
  if (index === 0) return ' class="typed"';
  if (/ banned: /.test(line)) return ' class="banned"';
  return /0 failures|without a failure|no stranger/.test(line) ? ' class="good"' : "";
}

/** Progress comes first, then an empty line. */
function withoutProgress(output: string): string {
  return /^\s*\d+ s {2}\|/.test(output) ? output.slice(output.indexOf("\n\n") + 2) : output;
}

if (import.meta.main) {
  process.stdout.write(terminal(process.argv[2] ?? "", withoutProgress(await Bun.stdin.text())));
}
