// SPDX-License-Identifier: Apache-2.0
// Help as a terminal of 80 columns shows it: paragraphs are filled, and what is beside a column stays there.

export const columns = 80;

/** Usage, lists and what is indented keep their lines; the lines of a paragraph are joined and filled. */
export function reflowed(text: string): string {
  const blocks: string[] = [];
  let paragraph: string[] = [];
  const end = () => {
    if (paragraph.length > 0) blocks.push(filled(paragraph.join(" ")));
    paragraph = [];
  };
  for (const line of text.split("\n")) {
    if (isProse(line)) {
      paragraph.push(line);
      // A list follows.
      if (line.endsWith(":")) end();
      continue;
    }
    end();
    blocks.push(filled(line));
  }
  end();
  return blocks.join("\n");
}

function isProse(line: string): boolean {
  return line !== "" && !line.startsWith("Usage:") && !/^\s|\S {2,}\S/.test(line);
}

/** One line, broken between words; what goes on stands below the text of the last column. */
function filled(line: string): string {
  if (line.length <= columns) return line;
  const indent = /^(?:.*\S)? {2,}(?=\S)/.exec(line)?.[0].length ?? 0;
  const lines: string[] = [];
  let rest = line;
  while (rest.length > columns) {
    const space = rest.lastIndexOf(" ", columns);
    // A word that is longer than the column is not cut.
    const at = space > indent ? space : rest.indexOf(" ", columns);
    if (at < 0) break;
    lines.push(rest.slice(0, at));
    rest = " ".repeat(indent) + rest.slice(at + 1);
  }
  return [...lines, rest].join("\n");
}
