// SPDX-License-Identifier: Apache-2.0
// All that the executable carries, each with its version and licence: what `ttgate licences` prints, and what the
// software bill of materials lists. Nothing of it is typed in where it can be read: npm's lock file, the licences of
// the packages, the libraries that are embedded, and Bun's own page about what is linked into it.
import { existsSync, globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Library } from "./libraries.ts";

export interface Component {
  readonly name: string;
  readonly version: string;
  /** An SPDX expression, or the words of whoever publishes it. */
  readonly licence: string;
  readonly source: string;
  /** The licence itself, with its copyright notices. */
  readonly text: string;
}

interface LockedPackage {
  readonly version: string;
  readonly license?: string;
  readonly dev?: boolean;
}

interface NativeSource {
  readonly name: string;
  readonly licence: string;
  readonly source: string;
  /** What Debian and Ubuntu call it: the copyright file is there. */
  readonly packages: readonly string[];
}

const nativeSources: Readonly<Record<string, NativeSource>> = {
  "libbpf.so.1": {
    name: "libbpf",
    licence: "LGPL-2.1-only OR BSD-2-Clause",
    source: "https://github.com/libbpf/libbpf",
    packages: ["libbpf1"],
  },
  "libelf.so.1": {
    name: "libelf",
    licence: "LGPL-3.0-or-later OR GPL-2.0-or-later",
    source: "https://sourceware.org/elfutils/",
    packages: ["libelf1", "libelf1t64"],
  },
  "libz.so.1": { name: "zlib", licence: "Zlib", source: "https://zlib.net/", packages: ["zlib1g"] },
  "libzstd.so.1": {
    name: "zstd",
    licence: "BSD-3-Clause OR GPL-2.0-only",
    source: "https://github.com/facebook/zstd",
    packages: ["libzstd1"],
  },
};

/** @param root of the file system that the libraries come from. */
export function componentsOf(libraries: readonly Library[], root: string): readonly Component[] {
  return [ownComponent(), ...npmComponents(), ...libraries.map((library) => nativeComponent(library, root)), ...bun()];
}

function ownComponent(): Component {
  const { name, version, license } = JSON.parse(readFileSync("package.json", "utf8"));
  const licence = `${license} (the programs in the kernel: GPL-2.0)`;
  return { name, version, licence, source: "", text: readFileSync("LICENSE", "utf8") };
}

function npmComponents(): Component[] {
  const { packages } = JSON.parse(readFileSync("package-lock.json", "utf8")) as {
    packages: Readonly<Record<string, LockedPackage>>;
  };
  return Object.entries(packages)
    .filter(([path, { dev }]) => path !== "" && dev !== true)
    .map(([path, { version, license }]) => {
      const name = path.slice(path.lastIndexOf("node_modules/") + "node_modules/".length);
      const [file] = globSync(join(path, "LICEN[CS]E*"));
      if (file === undefined || license === undefined) throw new Error(`Package "${path}": it has no licence`);
      const source = `https://www.npmjs.com/package/${name}/v/${version}`;
      return { name, version, licence: license, source, text: readFileSync(file, "utf8") };
    });
}

function nativeComponent({ name: soname, path }: Library, root: string): Component {
  const known = nativeSources[soname];
  if (known === undefined) throw new Error(`Library "${soname}": no licence is known, add it to scripts/components.ts`);
  const { name, licence, source, packages } = known;
  const file = packages.map((one) => join(root, "usr/share/doc", one, "copyright")).find((one) => existsSync(one));
  const version = /(\d+(?:\.\d+)+)(?:\.so)?$/.exec(path)?.[1] ?? "unknown";
  return { name, version, licence, source, text: file === undefined ? "" : readFileSync(file, "utf8") };
}

/** Bun's page: JavaScriptCore in words, the other libraries in tables of name and licence. */
function bun(): Component[] {
  const { version, license, homepage } = JSON.parse(readFileSync("node_modules/bun/package.json", "utf8"));
  const page = readFileSync("node_modules/bun-types/docs/project/license.mdx", "utf8");
  const text = page.replace(/^---\n.*?\n---\n/s, "").trimStart();
  const parts = [...text.matchAll(/^\| (.*?) +\| (.*?) +\|$/gm)]
    .map(([, left = "", right = ""]) => ({ left: plain(left), source: linkIn(left), licence: plain(right) }))
    .filter(({ left }) => !/^(Library|Package|-+)$/.test(left) && !left.includes("(on Windows)"))
    .map(({ left, source, licence }) => ({ name: `${left} (in Bun)`, version: `of Bun ${version}`, licence, source }));
  if (parts.length < 40 || !text.includes("JavaScriptCore")) {
    throw new Error("Bun's page about its licences is not as it was: look at scripts/components.ts");
  }
  const webkit = "https://github.com/oven-sh/WebKit";
  const javaScriptCore = { name: "JavaScriptCore (in Bun)", licence: "LGPL-2.0", source: webkit };
  return [
    { name: "bun", version, licence: license, source: homepage, text },
    { ...javaScriptCore, version: `of Bun ${version}`, text: "" },
    ...parts.map((part) => ({ ...part, text: "" })),
  ];
}

function plain(markdown: string): string {
  return markdown.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1").replaceAll("`", "");
}

function linkIn(markdown: string): string {
  return /\]\(([^)]*)\)/.exec(markdown)?.[1] ?? "";
}
