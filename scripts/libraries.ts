// SPDX-License-Identifier: Apache-2.0
// Which shared libraries the executable carries: libbpf and all that it needs, except glibc's own, which
// every host has. Walks DT_NEEDED, so a libelf that wants libzstd brings it along. The build host's gcc
// says where they are: it knows the directories of the architecture that it builds for.
import { execFileSync } from "node:child_process";
import { globSync, readFileSync, realpathSync } from "node:fs";
import { join } from "node:path";
import { readSharedObject } from "./elf.ts";

export interface Library {
  /** SONAME, by which others ask for it. */
  readonly name: string;
  readonly path: string;
  readonly bytes: Uint8Array;
}

const glibc = /^(libc|libm|libpthread|libdl|librt|ld-linux-[a-z0-9-]+)\.so\.[0-9]+$/;

const machines: Readonly<Record<string, number>> = { x64: 62, arm64: 183 };

/** Dependencies first: loaded in this order, each finds what it needs. */
export function librariesFor(
  root: string,
  architecture: string,
  find: (soname: string) => string = findLibrary,
): readonly Library[] {
  const machine = machines[architecture];
  if (machine === undefined) throw new Error(`Embedding libraries for "${architecture}": build on x64 or arm64`);
  const found = new Map<string, Library>();
  const visit = (soname: string): void => {
    if (glibc.test(soname) || found.has(soname)) return;
    const path = find(soname);
    const bytes = readFileSync(path);
    const object = readSharedObject(bytes);
    if (object.machine !== machine) {
      throw new Error(`Embedding "${path}": ELF machine ${object.machine} is not that of ${architecture} (${machine})`);
    }
    if (object.soname !== soname) {
      throw new Error(`Embedding "${path}": its SONAME is "${object.soname}", but "${soname}" is needed`);
    }
    for (const needed of object.needed) visit(needed);
    found.set(soname, { name: soname, path, bytes });
  };
  visit(root);
  return [...found.values()];
}

/** @throws Error when gcc does not know the library. */
export function findLibrary(soname: string): string {
  const answer = execFileSync("gcc", [`-print-file-name=${soname}`], { encoding: "utf8" }).trim();
  if (!answer.startsWith("/")) {
    throw new Error(`Looking for "${soname}": not on this host, install libbpf, libelf and zlib (make deps)`);
  }
  return realpathSync(answer);
}

/** Looks in the directories that packages unpacked there have. */
export function findBelow(root: string): (soname: string) => string {
  return (soname) => {
    const [path] = globSync(join(root, "{usr/,}lib/*", soname));
    if (path === undefined) throw new Error(`Looking for "${soname}": not below "${root}"`);
    return realpathSync(path);
  };
}
