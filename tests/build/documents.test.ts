// SPDX-License-Identifier: Apache-2.0
// What a package brings beside the executable: the default configuration, the manual pages, the licences and the bill
// of materials, each against the tables and the files that it is about.
import { beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import process from "node:process";
import { parse } from "smol-toml";
import { componentsOf } from "../../scripts/components.ts";
import { documents } from "../../scripts/documents.ts";
import { neededGlibc } from "../../scripts/elf.ts";
import { librariesFor } from "../../scripts/libraries.ts";
import { bomOf } from "../../scripts/sbom.ts";
import { readConfigFile } from "../../src/config/config_file.ts";
import { configSchema, options } from "../../src/config/options.ts";
import { commands } from "../../src/main.ts";
import { ttgate } from "../commands/fake_env.ts";
import { run } from "../harness/child.ts";
import { TempDir } from "../harness/temp_dir.ts";

const made = await documents("2026-01-31");
const names = Object.keys(options);
const document = (name: string): string => made[name] ?? "";

describe("the default configuration", () => {
  test("sets the kernel block and nothing else", () => {
    expect(parse(document("ttgate.toml"))).toEqual({ "block-map": "ttgate" });
  });

  test("is valid as it is, and with each of its comments taken away", () => {
    using place = new TempDir();
    const all = document("ttgate.toml").replaceAll(/^#(?=[a-z])/gm, "");
    const read = readConfigFile(place.write("all.toml", all)).values;
    expect(Object.keys(read)).toEqual(names);
    expect(configSchema.safeParse(read).error).toBeUndefined();
  });

  test("has the defaults of the table", () => {
    const { "block-map": _map, ...read } = parse(document("ttgate.toml").replaceAll(/^#(?=[a-z])/gm, ""));
    const defaults = configSchema.parse({});
    const given = configSchema.parse(read);
    for (const [name, value] of Object.entries(defaults)) {
      if (value !== undefined) expect([name, given[name as keyof typeof given]]).toEqual([name, value]);
    }
  });
});

describe("the manual", () => {
  /** As a reader sees it. */
  const shown = (page: string) =>
    document(page)
      .replaceAll(/\\f[BR]|\\&/g, "")
      .replaceAll("\\-", "-");

  test.each(names)("has --%s in both pages", (name) => {
    expect(shown("ttgate.1")).toMatch(new RegExp(`^(-\\w, )?--${name}( |$)`, "m"));
    expect(shown("ttgate.toml.5")).toContain(`\n${name}\n`);
  });

  test.each(Object.keys(commands).filter((name) => name !== "run"))("has the command %s", (name) => {
    expect(shown("ttgate.1")).toMatch(new RegExp(`^${name}( |$)`, "m"));
  });

  test.skipIf(Bun.which("groff") === null).each(["ttgate.1", "ttgate.toml.5"])(
    "groff has no complaint about %s",
    async (page) => {
      const { code, stderr } = await run(["groff", "-man", "-Tutf8", "-ww", "-z"], { input: document(page) });
      expect([code, stderr]).toEqual([0, ""]);
    },
  );
});

describe("the licences", () => {
  const libraries = librariesFor("libbpf.so.1", process.arch);
  const components = componentsOf(libraries, "/");
  let bundled: Set<string>;

  beforeAll(async () => {
    using place = new TempDir();
    const build = [
      "build",
      "--target=bun",
      "--minify",
      `--metafile=${place.file("meta.json")}`,
      `--outdir=${place.path}`,
    ];
    const { code, stderr } = await run([process.execPath, ...build, "src/main.ts"], { timeoutMs: 60_000 });
    if (code !== 0) throw new Error(stderr);
    const { inputs } = JSON.parse(readFileSync(place.file("meta.json"), "utf8")) as { inputs: Record<string, unknown> };
    const packages = Object.keys(inputs).map((path) => /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1] ?? "");
    bundled = new Set(packages.filter((name) => name !== ""));
  }, 70_000);

  test("are of every package that is bundled, of every library, and of Bun with what is linked into it", () => {
    const listed = components.map(({ name }) => name);
    expect(bundled.size).toBeGreaterThan(2);
    for (const name of bundled) expect(listed).toContain(name);
    for (const name of ["libbpf", "libelf", "zlib", "bun", "JavaScriptCore (in Bun)", "boringssl (in Bun)"]) {
      expect(listed).toContain(name);
    }
    expect(libraries.length).toBeGreaterThan(2);
    expect(components.every(({ licence, version }) => licence !== "" && /\d/.test(version))).toBe(true);
    for (const { name, text } of components.filter(({ name }) => bundled.has(name))) {
      expect([name, text]).toEqual([name, expect.stringMatching(/copyright/i)]);
    }
  });

  test("a library that nobody knows stops the build", () => {
    const unknown = { name: "libnew.so.1", path: "/x/libnew.so.1.0", bytes: new Uint8Array() };
    expect(() => componentsOf([unknown], "/")).toThrow('Library "libnew.so.1": no licence is known');
  });

  test("ttgate licences prints them", async () => {
    const { code, stdout } = await ttgate(["licences"]);
    expect(code).toBe(0);
    for (const { version, licence } of components) expect(stdout).toContain(`${version}: ${licence}`);
    expect(stdout).toContain("relink");
    const listed = JSON.parse((await ttgate(["licences", "--json"])).stdout) as { name: string }[];
    expect(listed.map(({ name }) => name)).toEqual(components.map(({ name }) => name));
  });

  test("the bill of materials has them too, each once, and is the same for the same sources", async () => {
    const npm = async () => JSON.parse((await run(["npm", "sbom", "--omit=dev", "--sbom-format=cyclonedx"])).stdout);
    const bom = async () => bomOf(await npm(), components, new TextEncoder().encode("executable"), 1_700_000_000);
    const first = await bom();
    expect(await bom()).toEqual(first);
    const listed = [first.metadata.component.name, ...first.components.map(({ name }) => name)];
    expect(listed.toSorted()).toEqual(components.map(({ name }) => name).toSorted());
    const references = first.components.map((component) => component["bom-ref"]);
    expect(new Set(references).size).toBe(references.length);
    const reached = new Set([first.metadata.component["bom-ref"]]);
    for (const from of reached) {
      const { dependsOn = [] } = first.dependencies.find(({ ref }) => ref === from) ?? {};
      for (const to of dependsOn) reached.add(to);
    }
    expect([...reached].slice(1).toSorted()).toEqual(references.toSorted());
  });
});

test("the glibc that is needed is the newest version that a symbol is bound to", () => {
  const file = (...versions: readonly string[]) => new TextEncoder().encode(`\0${versions.join("\0")}\0`);
  expect(neededGlibc([file("GLIBC_2.9", "GLIBC_2.17"), file("GLIBC_2.2.5", "GLIBC_2.28")])).toBe("2.28");
  expect(() => neededGlibc([file("LIBBPF_1.0.0")])).toThrow("No symbol is bound to a version of glibc");
});
