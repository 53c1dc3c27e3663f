// SPDX-License-Identifier: Apache-2.0
// The software bill of materials of an executable, as CycloneDX 1.5 (https://cyclonedx.org/docs/1.5/json/). npm knows
// its own packages; what is embedded beside them comes from scripts/components.ts. The same sources make the same bytes:
//   npm sbom --omit=dev --sbom-format=cyclonedx | sbom.ts EXECUTABLE ARCHITECTURE DIRECTORY
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import process from "node:process";
import { text } from "node:stream/consumers";
import { type Component, componentsOf } from "./components.ts";
import { findBelow, librariesFor } from "./libraries.ts";

interface BomComponent {
  readonly "bom-ref": string;
  readonly name: string;
  readonly version: string;
  readonly [more: string]: unknown;
}

interface Bom {
  readonly metadata: { readonly component: BomComponent; readonly tools: unknown };
  readonly components: readonly BomComponent[];
  readonly dependencies: readonly { readonly ref: string; readonly dependsOn: readonly string[] }[];
  readonly [more: string]: unknown;
}

/** @param fromNpm what npm sbom printed. @param epochSeconds when it was built. */
export function bomOf(
  fromNpm: Bom,
  components: readonly Component[],
  executable: Uint8Array,
  epochSeconds: number,
): Bom {
  const { metadata, components: packages, dependencies, serialNumber: _random, ...rest } = fromNpm;
  const root = metadata.component["bom-ref"];
  // npm calls it by the name of its directory.
  const [own, ...carried] = components;
  const known = new Set(packages.map(({ name }) => name));
  const embedded = carried.filter(({ name }) => !known.has(name)).map(bomComponent);
  const sha256 = createHash("sha256").update(executable).digest("hex");
  return {
    ...rest,
    metadata: {
      ...metadata,
      ...{ timestamp: new Date(epochSeconds * 1000).toISOString() },
      component: {
        ...metadata.component,
        ...{ type: "application", name: own?.name ?? "" },
        hashes: [{ alg: "SHA-256", content: sha256 }],
      },
    },
    components: [...packages, ...embedded],
    dependencies: dependencies.map((dependency) =>
      dependency.ref === root
        ? { ...dependency, dependsOn: [...dependency.dependsOn, ...embedded.map((one) => one["bom-ref"])] }
        : dependency,
    ),
  };
}

function bomComponent({ name, version, licence, source }: Component): BomComponent {
  return {
    ...{ "bom-ref": `${name}@${version}`, type: "library", name, version },
    licenses: [{ license: { name: licence } }],
    ...(source === "" ? {} : { externalReferences: [{ type: "website", url: source }] }),
  };
}

if (import.meta.main) {
  const [executable = "", architecture = "", directory = ""] = process.argv.slice(2);
  const fromNpm = JSON.parse(await text(process.stdin));
  const libraries = librariesFor("libbpf.so.1", architecture, findBelow(directory));
  const bom = bomOf(
    fromNpm,
    componentsOf(libraries, directory),
    readFileSync(executable),
    Number(process.env["SOURCE_DATE_EPOCH"]),
  );
  process.stdout.write(`${JSON.stringify(bom, undefined, 2)}\n`);
}
