// SPDX-License-Identifier: Apache-2.0
// Which libraries are embedded: everything that libbpf needs on this host according to readelf, in an
// order that loads, and refused when it is not what the executable can load.
import { expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import { readSharedObject } from "../../scripts/elf.ts";
import { objectModule, versionText } from "../../scripts/embed.ts";
import { librariesFor } from "../../scripts/libraries.ts";
import { TempDir } from "../harness/temp_dir.ts";

function neededAccordingToReadelf(path: string): string[] {
  const text = execFileSync("readelf", ["--dynamic", path], { encoding: "utf8" });
  return [...text.matchAll(/\(NEEDED\).*\[(.*)\]/g)].map(([, name = ""]) => name);
}

/** Shared libraries made by gcc: name, and the names of those that it needs. */
function build(directory: TempDir, name: string, needed: readonly string[] = [], soname = name): string {
  const path = directory.file(name);
  const others = needed.map((other) => directory.file(other));
  execFileSync("gcc", [
    "-shared",
    "-fPIC",
    "-Wl,--no-as-needed",
    `-Wl,-soname,${soname}`,
    "-xc",
    "/dev/null",
    "-xnone",
    "-o",
    path,
    ...others,
  ]);
  return path;
}

test("libbpf comes with all that it needs, dependencies first, each only once", () => {
  const libraries = librariesFor("libbpf.so.1", process.arch);
  expect(libraries.map(({ name }) => name).slice(-1)).toEqual(["libbpf.so.1"]);
  const loaded = new Set(["libc.so.6", "libm.so.6", "libpthread.so.0"]);
  for (const { name, path, bytes } of libraries) {
    expect(loaded.has(name)).toBe(false);
    for (const needed of neededAccordingToReadelf(path).filter((other) => !other.startsWith("ld-linux"))) {
      expect(loaded).toContain(needed);
    }
    expect(readSharedObject(bytes).needed).toEqual(neededAccordingToReadelf(path));
    loaded.add(name);
  }
});

test("a library that is needed further down is brought along", () => {
  using directory = new TempDir();
  build(directory, "libdeep.so.1");
  build(directory, "libleft.so.1", ["libdeep.so.1"]);
  build(directory, "libright.so.1", ["libdeep.so.1"]);
  build(directory, "libtop.so.1", ["libleft.so.1", "libright.so.1"]);
  const names = librariesFor("libtop.so.1", process.arch, (name) => directory.file(name)).map(({ name }) => name);
  expect(names).toEqual(["libdeep.so.1", "libleft.so.1", "libright.so.1", "libtop.so.1"]);
});

test("a library under a false name is refused", () => {
  using directory = new TempDir();
  build(directory, "libtop.so.1", [], "libother.so.2");
  expect(() => librariesFor("libtop.so.1", process.arch, (name) => directory.file(name))).toThrow(
    'its SONAME is "libother.so.2", but "libtop.so.1" is needed',
  );
});

test("a library for another machine is refused", () => {
  using directory = new TempDir();
  const path = build(directory, "libtop.so.1");
  const bytes = readFileSync(path);
  bytes.writeUInt16LE(243, 18);
  writeFileSync(path, bytes);
  expect(() => librariesFor("libtop.so.1", process.arch, () => path)).toThrow("ELF machine 243 is not that of");
});

test("a library that is not on the host is named", () => {
  expect(() => librariesFor("libttgate-absent.so.9", process.arch)).toThrow('Looking for "libttgate-absent.so.9"');
});

test("what is no shared library is refused", () => {
  expect(() => readSharedObject(new TextEncoder().encode("GROUP ( libc.so.6 )".padEnd(80)))).toThrow("Not an ELF file");
  const object = readFileSync(process.execPath).subarray(0, 4096);
  object[4] = 1;
  expect(() => readSharedObject(object)).toThrow("Not a 64-bit little-endian ELF file");
});

test("only an object for BPF is embedded as one", () => {
  const object = readFileSync("build/ttgate.bpf.o");
  expect(objectModule(object)).toContain(`"${object.toString("base64")}"`);
  object.writeUInt16LE(62, 18);
  expect(() => objectModule(object)).toThrow("ELF machine 62 is not BPF");
});

test("the version names the commit where there is one", () => {
  expect(versionText("1.2.3", "0123abc-dirty")).toBe("1.2.3+0123abc-dirty");
  expect(versionText("1.2.3", "")).toBe("1.2.3");
});
