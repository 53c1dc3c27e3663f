// SPDX-License-Identifier: Apache-2.0
// Draws boxes and arrows as an SVG that suits a light and a dark page. The description says where everything is.

/** `friend`, `stranger` and `plain` have colours of their own. */
export type Tone = "friend" | "stranger" | "plain";

export interface Box {
  readonly at: readonly [x: number, y: number, width: number, height: number];
  readonly title: string;
  readonly lines?: readonly string[];
  readonly tone?: Tone;
  /** An area that other boxes lie in. */
  readonly isArea?: boolean;
}

export interface Arrow {
  /** Corners of a line; the last one is its point. */
  readonly path: readonly (readonly [x: number, y: number])[];
  readonly tone: Tone;
  readonly label?: { readonly at: readonly [x: number, y: number]; readonly text: string };
  /** Ends in a cross: nothing goes on from here. */
  readonly isStopped?: boolean;
}

export interface Diagram {
  readonly title: string;
  readonly size: readonly [width: number, height: number];
  readonly boxes: readonly Box[];
  readonly arrows: readonly Arrow[];
}

/** GitHub's own colours, so that it looks at home there; each has a contrast of 4.5 or more on its ground. */
const style = `
  svg { --ground: #ffffff; --box: #f6f8fa; --line: #57606a; --text: #1f2328; --friend: #116329; --stranger: #a40e26; }
  @media (prefers-color-scheme: dark) {
    svg { --ground: #0d1117; --box: #161b22; --line: #8b949e; --text: #e6edf3; --friend: #56d364; --stranger: #ff7b72; }
  }
  text { font: 14px system-ui, "Segoe UI", "DejaVu Sans", sans-serif; fill: var(--text); }
  .title { font-weight: 600; } .label { font-size: 13px; }
  rect { fill: var(--box); stroke: var(--line); } .area { fill: none; stroke-dasharray: 5 4; } .ground { fill: var(--ground); stroke: none; }
  path { fill: none; stroke-width: 2; } .plain path { stroke: var(--line); } .friend path, .friend rect { stroke: var(--friend); }
  .stranger path, .stranger rect { stroke: var(--stranger); }
  .friend .label { fill: var(--friend); } .stranger .label { fill: var(--stranger); }
`;

const lineHeight = 19;
const headLength = 8;

export function drawn({ title, size: [width, height], boxes, arrows }: Diagram): string {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img">`,
    `<title>${escaped(title)}</title>`,
    `<style>${style}</style>`,
    `<rect class="ground" width="${width}" height="${height}" rx="6"/>`,
    ...boxes.map(boxDrawn),
    ...arrows.map(arrowDrawn),
    "</svg>\n",
  ].join("\n");
}

function boxDrawn({ at: [x, y, width, height], title, lines = [], tone = "plain", isArea = false }: Box): string {
  const rect = `<rect x="${x}" y="${y}" width="${width}" height="${height}" rx="6"${isArea ? ' class="area"' : ""}/>`;
  const top = isArea ? y + 20 : y + (height - lines.length * lineHeight) / 2 + 5;
  const anchor = isArea ? "start" : "middle";
  const left = isArea ? x + 12 : x + width / 2;
  const text = [title, ...lines].map(
    (line, index) =>
      `<text${index === 0 ? ' class="title"' : ' class="label"'} x="${left}" y="${top + index * lineHeight}" text-anchor="${anchor}">${escaped(line)}</text>`,
  );
  return `<g class="${tone}">${rect}${text.join("")}</g>`;
}

function arrowDrawn({ path, tone, label, isStopped = false }: Arrow): string {
  const [end = [0, 0], before = [0, 0]] = path.toReversed();
  const [dx, dy] = [Math.sign(end[0] - before[0]), Math.sign(end[1] - before[1])];
  const [x, y] = end;
  const side = (sign: 1 | -1) =>
    `M${x - headLength * dx + (sign * headLength * dy) / 2},${y - headLength * dy + (sign * headLength * dx) / 2}L${x},${y}`;
  const head = isStopped
    ? `M${x - 6},${y - 6}L${x + 6},${y + 6}M${x - 6},${y + 6}L${x + 6},${y - 6}`
    : side(1) + side(-1);
  const line = `M${path.map((point) => point.join(",")).join("L")}`;
  const text =
    label === undefined
      ? ""
      : `<text class="label" x="${label.at[0]}" y="${label.at[1]}">${escaped(label.text)}</text>`;
  return `<g class="${tone}"><path d="${line}"/><path d="${head}"/>${text}</g>`;
}

export function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
