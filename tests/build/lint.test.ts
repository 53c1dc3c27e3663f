// SPDX-License-Identifier: Apache-2.0
// The lint rules that hold the architecture together, each proved by code that breaks it: a rule that is
// misspelt or overridden by mistake would otherwise just be silent.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { misplaced } from "../../scripts/layers.ts";

const project = mkdtempSync(join(tmpdir(), "ttgate-lint-"));
const biome = join(process.cwd(), "node_modules/.bin/biome");

beforeAll(() => {
  for (const name of ["biome.json", "package.json", "scripts/imports.grit"]) cpSync(name, join(project, name));
  symlinkSync(join(process.cwd(), "node_modules"), join(project, "node_modules"));
  spawnSync("git", ["init", "--quiet"], { cwd: project });
  writeFileSync(join(project, ".gitignore"), "node_modules\n");
  for (const name of ["core/a", "gate"]) {
    place(`src/${name}.ts`, "export const x = 1;\n");
  }
  for (const name of ["bun", "deno", "types", "select"]) place(`src/runtime/${name}.ts`, "export const x = 1;\n");
  place("tests/a.ts", "export const x = 1;\n");
});
afterAll(() => rmSync(project, { recursive: true, force: true }));

function place(path: string, source: string): void {
  mkdirSync(dirname(join(project, path)), { recursive: true });
  writeFileSync(join(project, path), source);
}

/** The rules that each source breaks when it is in this file, all in one run of the linter. */
function broken(path: string, ...sources: readonly string[]): string[][] {
  const alone = path === "src/main.ts";
  const paths = sources.map((_, index) => (alone ? path : path.replace(".ts", `_${index}.ts`)));
  const runs = alone ? sources.map((source) => [source]) : [sources];
  return runs.flatMap((run) => {
    for (const [index, source] of run.entries()) place(paths[index] ?? path, source);
    const names = paths.slice(0, run.length);
    const argv = ["lint", "--error-on-warnings", "--max-diagnostics=none", "--reporter=github", ...names];
    const { stdout, status } = spawnSync(biome, argv, { cwd: project, encoding: "utf8" });
    for (const name of names) rmSync(join(project, name));
    const diagnostics = [...stdout.matchAll(/^::\w+ title=([^,]+),file=([^,]+),/gm)];
    expect(status !== 0).toBe(diagnostics.length > 0);
    return names.map((name) =>
      diagnostics.filter(([, , file]) => file?.endsWith(`/${name}`)).map(([, rule = ""]) => rule.replace(/^.*\//, "")),
    );
  });
}

function importing(path: string): string {
  return `import { x } from "${path}";\nexport const y = x;\n`;
}

/** What scripts/layers.ts says, and what biome says: the rooms, and what is outside of src/. */
const allowed: readonly [file: string, path: string][] = [
  ["src/core/probe.ts", "./address.ts"],
  ["src/core/deep/probe.ts", "../address.ts"],
  ["src/kernel/probe.ts", "../core/address.ts"],
  ["src/kernel/probe.ts", "../failure.ts"],
  ["src/fences/xdp/probe.ts", "../../kernel/errno.ts"],
  ["src/gate/probe.ts", "../sources/client_bans.ts"],
  ["src/daemon/probe.ts", "../gate/gate.ts"],
  ["src/cli/probe.ts", "../daemon/instance.ts"],
  ["src/cli/deep/probe.ts", "../command.ts"],
  ["src/commands/probe.ts", "../daemon/daemon.ts"],
  ["src/commands/probe.ts", "../cli/command.ts"],
  ["src/main.ts", "./commands/run.ts"],
];
const forbidden: readonly [file: string, path: string][] = [
  ["src/core/probe.ts", "../kernel/errno.ts"],
  ["src/core/probe.ts", "../failure.ts"],
  ["src/core/deep/probe.ts", "../../gate/gate.ts"],
  ["src/core/probe.ts", "./../runtime/types.ts"],
  ["src/kernel/probe.ts", "../fences/xdp/options.ts"],
  ["src/fences/xdp/probe.ts", "../../gate/gate.ts"],
  ["src/gate/probe.ts", "../daemon/daemon.ts"],
  ["src/status/probe.ts", "../daemon/daemon.ts"],
  ["src/daemon/probe.ts", "../commands/run.ts"],
  ["src/daemon/probe.ts", "../cli/command.ts"],
  ["src/cli/probe.ts", "../commands/run.ts"],
  ["src/cli/deep/probe.ts", "../../commands/run.ts"],
  ["src/cli/probe.ts", "../main.ts"],
  ["src/commands/probe.ts", "../main.ts"],
  ["src/commands/probe.ts", "../../tests/a.ts"],
  ["src/log.ts", "./core/address.ts"],
  ["src/loose.ts", "./core/address.ts"],
];
const forms = [
  (path: string) => importing(path),
  (path: string) => `export const y = await import("${path}");\n`,
  (path: string) => `export { x } from "${path}";\n`,
  (path: string) => `import type { X } from "${path}";\nexport type Y = X;\n`,
];
for (const [file, path] of allowed) {
  test(`${file} may import ${path}`, () => {
    for (const form of forms) expect(misplaced(file, form(path))).toEqual([]);
  });
}
for (const [file, path] of forbidden) {
  test(`${file} may not import ${path}`, () => {
    for (const form of forms) expect(misplaced(file, form(path))).toHaveLength(1);
  });
}

const outside: readonly [file: string, path: string, isAllowed: boolean][] = [
  ["src/core/probe.ts", "zod", true],
  ["src/core/probe.ts", "node:fs", false],
  ["src/core/probe.ts", "hono", false],
  ["src/core/probe.ts", "bun:ffi", false],
  ["src/kernel/probe.ts", "node:fs", true],
  ["src/kernel/probe.ts", "bun:ffi", false],
  ["src/kernel/probe.ts", "../runtime/bun.ts", false],
  ["src/gate/probe.ts", "../runtime/deno.ts", false],
  ["src/cli/probe.ts", "node:process", false],
  ["src/cli/probe.ts", "../runtime/bun.ts", false],
  ["src/commands/probe.ts", "node:process", false],
  ["src/commands/probe.ts", "node:fs", true],
  ["src/main.ts", "./runtime/bun.ts", false],
  ["src/main.ts", "node:process", true],
  ["src/runtime/probe.ts", "bun:ffi", false],
  ["src/runtime/bun_probe.ts", "bun:ffi", true],
  ["src/runtime/deno_probe.ts", "bun:ffi", false],
  ["scripts/probe.ts", "../tests/a.ts", false],
];
for (const [file, path, isAllowed] of outside) {
  test(`${file} may ${isAllowed ? "" : "not "}import ${path}`, () => {
    for (const rules of broken(file, ...forms.map((form) => form(path)))) {
      if (isAllowed) expect(rules).not.toContain("noRestrictedImports");
      else expect(rules).toContain("noRestrictedImports");
    }
  });
}

const rules: readonly [file: string, rule: string, source: string][] = [
  [
    "src/core/probe.ts",
    "noRestrictedImports",
    'import { createServer } from "node:net";\nexport const y = createServer;\n',
  ],
  ["src/core/probe.ts", "noRestrictedGlobals", "export const y = Date.now();\n"],
  ["src/core/probe.ts", "noRestrictedGlobals", "export const y = setTimeout;\n"],
  ["src/probe.ts", "noRestrictedGlobals", "export const y = Bun.version;\n"],
  ["src/probe.ts", "noRestrictedGlobals", "export const y = Deno.version;\n"],
  ["src/runtime/bun_probe.ts", "noRestrictedGlobals", "export const y = Deno.version;\n"],
  ["src/runtime/deno_probe.ts", "noRestrictedGlobals", "export const y = Bun.version;\n"],
  ["src/probe.ts", "plugin", "export const y = globalThis.Bun;\n"],
  ["src/core/probe.ts", "plugin", 'export type Y = import("../gate.ts").X;\n'],
  ["src/probe.ts", "noProcessGlobal", "export const y = process.pid;\n"],
  ["src/probe.ts", "useNodejsImportProtocol", 'import { pid } from "process";\nexport const y = pid;\n'],
  ["src/probe.ts", "useImportExtensions", 'import { x } from "./gate";\nexport const y = x;\n'],
  ["src/probe.ts", "noUndeclaredDependencies", 'import { x } from "left-pad";\nexport const y = x;\n'],
  ["src/probe.ts", "noExplicitAny", "export const y: any = 1;\n"],
  ["src/probe.ts", "noDefaultExport", "export default 1;\n"],
  ["src/probe.ts", "noEnum", "export enum Y {\n  A,\n}\n"],
  ["src/probe.ts", "noNamespace", "export namespace Y {\n  export const a = 1;\n}\n"],
  ["src/probe.ts", "noParameterProperties", "export class Y {\n  constructor(readonly a: number) {}\n}\n"],
  ["src/probe.ts", "noNonNullAssertion", "export const y = [1].at(0)!;\n"],
  ["src/probe.ts", "noUnusedVariables", "const y = 1;\n"],
  ["src/probe.ts", "noConsole", "console.log(1);\n"],
  ["src/cli/probe.ts", "noConsole", "console.log(1);\n"],
  ["src/commands/probe.ts", "noConsole", "console.log(1);\n"],
  ["src/probe.ts", "noFloatingPromises", "async function f(): Promise<void> {}\nf();\n"],
  ["src/probe.ts", "noTsIgnore", "// @ts-ignore\nexport const y = 1;\n"],
  ["src/camelCase.ts", "useFilenamingConvention", "export const y = 1;\n"],
];
for (const [file, rule, source] of rules) {
  test(`${rule}: ${source.trim().replaceAll("\n", " ")}`, () => expect(broken(file, source)[0]).toContain(rule));
}

test("noImportCycles: also over types", () => {
  const one = 'import type { Two } from "./cycle_1.ts";\nexport type One = Two | 1;\n';
  const two = 'import type { One } from "./cycle_0.ts";\nexport type Two = One | 2;\n';
  expect(broken("src/cycle.ts", one, two)).toEqual([["noImportCycles"], ["noImportCycles"]]);
});
