// SPDX-License-Identifier: Apache-2.0
// The OCI image under a real runtime (runc): as nobody, as it is, and with what docs/containers.md gives it for the
// kernel block.
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { globSync, readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import { Child, run } from "../harness/child.ts";
import { Network } from "../harness/netns.ts";
import { probeFrom } from "../harness/probe.ts";
import { startClient, startServer } from "../harness/standin.ts";
import { TempDir } from "../harness/temp_dir.ts";

setDefaultTimeout(60_000);

const architecture = process.arch === "arm64" ? "arm64" : "amd64";
const built = globSync(`dist/ttgate_*_${architecture}.oci.tar`).sort();
const missing = missingHere();
if (missing !== undefined) console.log(`Skipped: ${missing}`);

function missingHere(): string | undefined {
  if (process.getuid?.() !== 0) return "running a container needs root";
  if (built.length === 0) return 'there is no image under "dist": run make image';
  return ["runc", "umoci"].filter((name) => Bun.which(name) === null).map((name) => `"${name}" is not installed`)[0];
}

/** The parts of the runtime's configuration that are changed here: https://github.com/opencontainers/runtime-spec */
interface Spec {
  readonly process: {
    terminal: boolean;
    user: { readonly uid: number; readonly gid: number };
    args: readonly string[];
    capabilities: Record<string, readonly string[]>;
  };
  readonly linux: { readonly namespaces: { readonly type: string; path?: string }[] };
  readonly mounts: unknown[];
}

describe.skipIf(missing !== undefined)("the image", () => {
  const stack = new AsyncDisposableStack();
  let place: TempDir;
  let network: Network;

  beforeAll(async () => {
    place = stack.use(new TempDir());
    network = stack.use(new Network());
    const layout = place.file("layout");
    await done("mkdir", layout);
    await done("tar", "-xf", built.at(-1) ?? "", "-C", layout);
    const { manifests } = JSON.parse(readFileSync(`${layout}/index.json`, "utf8"));
    const tag = manifests[0].annotations["org.opencontainers.image.ref.name"];
    await done("umoci", "unpack", "--image", `${layout}:${tag}`, place.file("bundle"));
  });
  afterAll(() => stack.disposeAsync());

  async function done(...argv: readonly string[]): Promise<void> {
    const { code, stderr } = await run(argv, { timeoutMs: 60_000 });
    if (code !== 0) throw new Error(`"${argv.join(" ")}" ended with ${code}: ${stderr}`);
  }

  function container(change: (spec: Spec) => void, ...args: readonly string[]): Child {
    const path = place.file("bundle/config.json");
    const spec = JSON.parse(readFileSync(path, "utf8")) as Spec;
    spec.process.terminal = false;
    spec.process.args = ["/usr/sbin/ttgate", ...args];
    for (const namespace of spec.linux.namespaces) {
      if (namespace.type === "network") namespace.path = `/run/netns/${network.gate}`;
    }
    change(spec);
    writeFileSync(path, JSON.stringify(spec));
    return new Child(["runc", "run", "--bundle", place.file("bundle"), `ttgate-${process.pid}`]);
  }

  test("runs as nobody, as it is", async () => {
    await using child = container((spec) => expect(spec.process.user).toEqual({ uid: 65534, gid: 65534 }), "version");
    expect(await child.done()).toMatchObject({ code: 0, stdout: expect.stringMatching(/^ttgate \d/), stderr: "" });
  });

  test("with three capabilities and the host's bpffs, a friend is served and the kernel drops a stranger", async () => {
    await using _server = await startServer(network.gate, "--port", "5001");
    const capabilities = ["CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON"];
    const change = (spec: Spec) => {
      spec.process.user = { uid: 0, gid: 0 };
      spec.process.capabilities = { bounding: capabilities, effective: capabilities, permitted: capabilities };
      const options = ["rbind", "rw"];
      spec.mounts.push({ destination: "/sys/fs/bpf", type: "bind", source: "/sys/fs/bpf", options });
    };
    await using child = container(change, "-B", "ttgate", "-i", network.device, "-l", `${network.gateIpv4}:5000`);
    await child.said(/Kernel: map \/sys\/fs\/bpf\/ttgate, XDP on \S+ native/);
    const address = ["--host", network.gateIpv4, "--from", network.clientIpv4(1), "--port", "5000"];
    await using friend = await startClient(network.client, ...address);
    await friend.until("an exchange", ({ packets }) => packets > 0, 20_000);
    const stranger = { host: network.gateIpv4, port: 5000, from: network.clientIpv4(2), waitMs: 2000 };
    const send = [new TextEncoder().encode("GET / HTTP/1.1\r\nHost: example.org\r\n\r\n")];
    expect((await probeFrom(network.client, { ...stranger, send })).outcome).toBe("reset");
    expect((await probeFrom(network.client, stranger)).outcome).toBe("no answer");
    expect((await friend.stop()).failures).toBe(0);
  });
});
