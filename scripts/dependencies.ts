// SPDX-License-Identifier: Apache-2.0
// Checks what npm installs, run by make lint: package.json names exact versions, package-lock.json has a SHA-512 of
// every package, only packages that package.json allows run scripts of their own, and the registry knows of no
// vulnerability. Where it cannot be asked, a line says so and nothing fails.
//   dependencies.ts
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import process from "node:process";

interface Manifest {
  readonly [group: `${string}ependencies`]: Readonly<Record<string, string>> | undefined;
  readonly allowScripts?: Readonly<Record<string, boolean>>;
}

interface Locked {
  readonly version?: string;
  readonly integrity?: string;
  readonly resolved?: string;
  readonly hasInstallScript?: boolean;
}

interface Lock {
  readonly packages: Readonly<Record<string, Locked>>;
}

/** The parts of `npm audit --json` that are used; without `vulnerabilities` it is an error. */
interface Report {
  readonly vulnerabilities?: Readonly<Record<string, Vulnerability>>;
  readonly message?: string;
  readonly error?: { readonly summary?: string };
}

interface Vulnerability {
  readonly severity: string;
  readonly via: readonly (string | { readonly title: string; readonly url: string })[];
}

const exactVersion = /^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$/;
const groups = ["dependencies", "devDependencies", "optionalDependencies", "peerDependencies"] as const;

/** What is wrong with the two files, a line for each. */
export function unpinned(manifest: Manifest, { packages }: Lock): readonly string[] {
  const loose = groups.flatMap((group) =>
    Object.entries(manifest[group] ?? {})
      .filter(([, version]) => !exactVersion.test(version))
      .map(([name, version]) => `package.json: "${name}": "${version}" is not an exact version: write one`),
  );
  const installed = Object.entries(packages).filter(([place]) => place !== "");
  const unchecked = installed
    .filter(([, one]) => !exactVersion.test(one.version ?? "") || !/^sha512-\S+$/.test(one.integrity ?? ""))
    .map(
      ([place]) =>
        `package-lock.json: "${place}" has no exact version with a SHA-512: see npm view NAME dist.integrity`,
    );
  const elsewhere = installed
    .filter(([, { resolved }]) => resolved !== undefined && !resolved.startsWith("https://"))
    .map(
      ([place, { resolved }]) => `package-lock.json: "${place}" comes from "${resolved}": take it from the registry`,
    );
  const scripts = installed
    .filter(([place, one]) => one.hasInstallScript === true && manifest.allowScripts?.[nameOf(place)] !== true)
    .map(
      ([place]) =>
        `package-lock.json: "${place}" runs a script when it is installed: read it, then add it to allowScripts`,
    );
  return [...loose, ...unchecked, ...elsewhere, ...scripts];
}

function nameOf(place: string): string {
  return place.replace(/^.*node_modules\//, "");
}

/** What `npm audit --json` found, a line for each package; undefined when the registry gave no answer. */
export function vulnerable({ vulnerabilities }: Report): readonly string[] | undefined {
  if (vulnerabilities === undefined) return undefined;
  return Object.entries(vulnerabilities).map(([name, { severity, via }]) => {
    const reasons = via.map((one) => (typeof one === "string" ? `by "${one}"` : `${one.title} (${one.url})`));
    return `package-lock.json: "${name}": ${severity}: ${reasons.join(", ")}: take another version`;
  });
}

function audit(): Report {
  const patience = ["--fetch-retries=0", "--fetch-timeout=20000"];
  const { stdout, error } = spawnSync("npm", ["audit", "--json", ...patience], { encoding: "utf8", timeout: 60_000 });
  try {
    return JSON.parse(stdout) as Report;
  } catch {
    return { message: error?.message ?? "no answer" };
  }
}

if (import.meta.main) {
  const read = (path: string) => JSON.parse(readFileSync(path, "utf8"));
  const report = audit();
  const found = vulnerable(report);
  if (found === undefined) {
    process.stdout.write(`Not audited: the registry did not answer: ${report.message ?? report.error?.summary}\n`);
  }
  const problems = [...unpinned(read("package.json"), read("package-lock.json")), ...(found ?? [])];
  for (const problem of problems) process.stderr.write(`${problem}\n`);
  process.exitCode = problems.length > 0 ? 1 : 0;
}
