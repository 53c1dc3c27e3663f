// SPDX-License-Identifier: Apache-2.0
// On which line of the configuration file each key stands.
import { parseTOML } from "toml-eslint-parser";

/** By key, `timeout`; in the second [[gate]] table `gate.1.timeout`. The text is TOML that was parsed before. */
export function keyLines(text: string): ReadonlyMap<string, number> {
  const lines = new Map<string, number>();
  const enter = (path: readonly (string | number)[], line: number) => {
    // A table begins with the first of its keys, wherever they stand.
    for (let count = 1; count <= path.length; count++) {
      const key = path.slice(0, count).join(".");
      if (!lines.has(key)) lines.set(key, line);
    }
  };
  for (const node of parseTOML(text).body[0].body) {
    if (node.type === "TOMLKeyValue") {
      enter(keyOf(node.key.keys), node.loc.start.line);
      continue;
    }
    enter(node.resolvedKey, node.loc.start.line);
    for (const { key, loc } of node.body) enter([...node.resolvedKey, ...keyOf(key.keys)], loc.start.line);
  }
  return lines;
}

type TomlKeys = readonly (
  | { readonly type: "TOMLBare"; readonly name: string }
  | { readonly type: "TOMLQuoted"; readonly value: string }
)[];

function keyOf(keys: TomlKeys): string[] {
  return keys.map((key) => (key.type === "TOMLBare" ? key.name : key.value));
}
