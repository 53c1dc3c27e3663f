// SPDX-License-Identifier: Apache-2.0
// The manifest in contrib/ is one that Kubernetes takes: each object has the fields and types of its API and no others,
// as far as the compiler can tell. The configuration in it is valid, and it asks for what docs/containers.md says.
import { expect, test } from "bun:test";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { DaemonSet } from "kubernetes-types/apps/v1";
import type { ConfigMap } from "kubernetes-types/core/v1";
import { loadConfig } from "../../src/config/load.ts";
import { run } from "../harness/child.ts";
import { BlockMap, executable, RunningGate } from "../harness/gate.ts";
import { describeWith } from "../harness/needs.ts";
import { Network } from "../harness/netns.ts";
import { TempDir } from "../harness/temp_dir.ts";

const file = "contrib/kubernetes/ttgate.yaml";
const [configMap, daemonSet] = Bun.YAML.parse(readFileSync(file, "utf8")) as [ConfigMap, DaemonSet];

/** @returns what the compiler has against an object of this kind; it looks for types above the place of the file. */
async function mistakes(object: { readonly apiVersion?: string; readonly kind?: string }): Promise<string> {
  const { apiVersion = "", kind = "" } = object;
  const directory = "build/kubernetes";
  mkdirSync(directory, { recursive: true });
  try {
    const group = apiVersion === "v1" ? "core/v1" : apiVersion;
    const source = `import type { ${kind} } from "kubernetes-types/${group}";\nexport const object: ${kind} = ${JSON.stringify(object, null, 1)};\n`;
    writeFileSync(`${directory}/object.ts`, source);
    const options = ["--noEmit", "--strict", "--ignoreConfig", "--skipLibCheck", "--module", "preserve"];
    const { stdout } = await run(["node_modules/.bin/tsc", ...options, `${directory}/object.ts`]);
    return stdout;
  } finally {
    rmSync(directory, { recursive: true });
  }
}

test("each object is one of its API", async () => {
  expect(await mistakes(configMap)).toBe("");
  expect(await mistakes(daemonSet)).toBe("");
});

test("a slip of the pen would be found", async () => {
  const text = JSON.stringify(daemonSet);
  expect(await mistakes(JSON.parse(text.replace("runAsUser", "runAsUsr")))).toContain("runAsUsr");
  expect(await mistakes(JSON.parse(text.replace('"hostNetwork":true', '"hostNetwork":"yes"')))).toContain("boolean");
});

test("the configuration is valid", () => {
  using directory = new TempDir();
  writeFileSync(directory.file("ttgate.toml"), configMap.data?.["ttgate.toml"] ?? "");
  const config = loadConfig({}, directory.file("ttgate.toml"));
  expect(config).toMatchObject({ "block-map": "ttgate", keep: true, state: "/var/lib/ttgate" });
});

test("every volume is there, and the pod has the host's network and three capabilities", () => {
  const pod = daemonSet.spec?.template.spec;
  const [container] = pod?.containers ?? [];
  expect(container?.volumeMounts?.map(({ name }) => name)).toEqual(pod?.volumes?.map(({ name }) => name) ?? []);
  expect(pod?.hostNetwork).toBe(true);
  expect(container?.securityContext?.capabilities).toEqual({ drop: ["ALL"], add: ["BPF", "NET_ADMIN", "PERFMON"] });
  expect(daemonSet.spec?.selector.matchLabels).toEqual(daemonSet.spec?.template.metadata?.labels ?? {});
});

describeWith("executable", "namespaces")("root with the capabilities of the manifest, and no others", () => {
  test("has the kernel block", async () => {
    const [container] = daemonSet.spec?.template.spec?.containers ?? [];
    const kept = container?.securityContext?.capabilities?.add?.map((name) => `+${name.toLowerCase()}`) ?? [];
    using network = new Network();
    using map = new BlockMap();
    using directory = new TempDir();
    const wrapper = directory.file("ttgate");
    const words = ["setpriv", `--bounding-set=-all,${kept.join(",")}`, "--inh-caps=-all", "--no-new-privs", executable];
    writeFileSync(wrapper, `#!/bin/sh\nexec ${words.join(" ")} "$@"\n`, { mode: 0o755 });
    const flags = ["-c", "/dev/null", "-B", map.name, "-i", network.device];
    await using gate = await RunningGate.start(flags, { namespace: network.gate, executable: wrapper });
    expect((await gate.status()).kernel).toMatchObject({ attach: "native" });
  });
});
