// SPDX-License-Identifier: Apache-2.0
// Whatever is wrong with what the user typed or with the host: one line on stderr that names the value
// and the remedy, and exit code 2 or 3.

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { createServer, type Server } from "node:net";
import { run } from "../harness/child.ts";
import { BlockMap, bpftool, RunningGate, ttgate } from "../harness/gate.ts";
import { describeWith } from "../harness/needs.ts";
import { Network } from "../harness/netns.ts";
import { freePort } from "../harness/ports.ts";
import { TempDir } from "../harness/temp_dir.ts";

setDefaultTimeout(30_000);

/** What was typed, the exit code, and what the line must say. */
interface Mistake {
  readonly name: string;
  readonly args: readonly string[];
  readonly code: 2 | 3;
  readonly says: readonly string[];
}

const typed: readonly Mistake[] = [
  { name: "an unknown flag", args: ["--blok-map", "x"], code: 2, says: ["--blok-map", "--help"] },
  { name: "an unknown command", args: ["stauts"], code: 2, says: ['"stauts"', "--help"] },
  { name: "a flag without its value", args: ["--listen"], code: 2, says: ["--listen"] },
  { name: "a malformed address", args: ["-l", "300.1.2.3:5000"], code: 2, says: ['"300.1.2.3:5000"', "expected"] },
  {
    name: "a name to listen on",
    args: ["-l", "example.org:5000"],
    code: 2,
    says: ['"example.org:5000"', "IP address"],
  },
  { name: "a malformed port", args: ["-l", "70000"], code: 2, says: ['"70000"', "65535"] },
  { name: "an upstream without a port", args: ["-u", "192.0.2.1"], code: 2, says: ['"192.0.2.1"', "HOST:PORT"] },
  { name: "a malformed duration", args: ["-t", "10x"], code: 2, says: ['"10x"', "10m"] },
  { name: "no duration at all", args: ["-t", "0s"], code: 2, says: ['"0s"', "expected"] },
  { name: "a CIDR that is too long", args: ["-a", "192.0.2.0/33"], code: 2, says: ['"192.0.2.0/33"', "CIDR"] },
  { name: "a CIDR that is none", args: ["-a", "192.0.2/24"], code: 2, says: ['"192.0.2/24"', "CIDR"] },
  { name: "a mode that there is not", args: ["-m", "mirror"], code: 2, says: ['"mirror"', "proxy"] },
  { name: "a scope that there is not", args: ["--scope", "world"], code: 2, says: ['"world"', "host"] },
  { name: "a profile that there is not", args: ["-p", "nosuch"], code: 2, says: ['"nosuch"', "tapetrack"] },
  { name: "a profile file that is not there", args: ["-p", "./nosuch.toml"], code: 2, says: ['"./nosuch.toml"'] },
  { name: "a status address", args: ["-s", "9500"], code: 2, says: ['"9500"', "HOST:PORT"] },
  {
    name: "a config file that is not there",
    args: ["-c", "/nonexistent.toml"],
    code: 2,
    says: ['"/nonexistent.toml"'],
  },
  { name: "a map outside of bpffs", args: ["-B", "/tmp/map"], code: 2, says: ['"/tmp/map"', "/sys/fs/bpf"] },
  { name: "a map with a relative path", args: ["-B", "a/b"], code: 2, says: ['"a/b"', "/sys/fs/bpf/a/b"] },
  { name: "a map's name with a dot", args: ["-B", "my.map"], code: 2, says: ['"my.map"', "dot"] },
  { name: "a map's id that is none", args: ["-B", "id:abc"], code: 2, says: ['"id:abc"'] },
  { name: "a map that is not loaded", args: ["-B", "id:4294967295"], code: 2, says: ['"id:4294967295"', "bpftool"] },
  { name: "a ban of nobody", args: ["ban"], code: 2, says: ["ADDR"] },
  { name: "a gate that does not run", args: ["status", "-s", "127.0.0.1:1"], code: 3, says: ['"127.0.0.1:1"'] },
];

describeWith("namespaces", "executable")("bad input", () => {
  let network: Network;

  beforeAll(() => {
    network = new Network({ clients: 1 });
  });

  afterAll(() => network[Symbol.dispose]());

  async function refused(
    args: readonly string[],
    wrap: readonly string[] = [],
  ): Promise<{ line: string; code: number | undefined }> {
    const result = await run([...wrap, ...ttgate(args)], { namespace: network.gate });
    expect(result.stdout).toBe("");
    expect(result.signal).toBeUndefined();
    const [line = "", ...more] = result.stderr.trimEnd().split("\n");
    expect(more).toEqual([]);
    expect(line).toMatch(/^ttgate: \S/);
    return { line, code: result.code };
  }

  test.each(typed)("$name", async ({ args, code, says }) => {
    const result = await refused(args);
    for (const part of says) expect(result.line).toContain(part);
    expect(result.code).toBe(code);
  });

  describe("a port in use", () => {
    let holder: Server;
    let port: number;

    beforeAll(async () => {
      port = await freePort();
      holder = createServer();
      await new Promise<void>((resolve) => holder.listen(port, "127.0.0.1", resolve));
    });

    afterAll(() => {
      holder.close();
    });

    test.each(["--listen", "--status"])("for %s", async (option) => {
      const taken = `127.0.0.1:${port}`;
      const other = `127.0.0.1:${await freePort()}`;
      const flags = { "--listen": other, "--status": "off", [option]: taken };
      const result = await run(ttgate(Object.entries(flags).flat()));
      expect(result.code).toBe(3);
      const line = result.stderr.trimEnd();
      expect(line).toContain(`"${taken}"`);
      expect(line).toContain(option);
      expect(line).not.toContain("\n");
    });
  });

  test("-B without privilege", async () => {
    const { line, code } = await refused(["-B", "some_map"], ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]);
    expect(line).toMatch(/root|CAP_BPF/);
    expect(code).toBe(2);
  });

  test.each([
    ["another type", ["array", "key", "4", "value", "4"], "array"],
    ["another key", ["hash", "key", "8", "value", "4"], "key 8"],
    ["a value of 1 byte", ["hash", "key", "4", "value", "1"], "value 1"],
    ["a value of 3 bytes", ["hash", "key", "4", "value", "3"], "value 3"],
    ["a value of 4096 bytes", ["hash", "key", "4", "value", "4096"], "value 4096"],
    ["another layout", ["hash", "key", "16", "value", "24"], "layout"],
  ])("-B on a map of %s", async (_name, [type = "", ...geometry], says) => {
    using map = new BlockMap();
    bpftool(["map", "create", map.path, "type", type, ...geometry, "entries", "16", "name", "other_map"]);
    const { line, code } = await refused(["-B", map.name, "-i", network.device]);
    expect(line).toContain(map.path);
    expect(line).toContain(says);
    expect(line).toContain("expected");
    expect(code).toBe(2);
    expect(map.pins()).toEqual([map.path]);
  });

  test("a profile with several mistakes: all of them, with their paths", async () => {
    using directory = new TempDir();
    const profile = directory.write(
      "bad.toml",
      'name = "bad"\nforeign = ["htttp"]\ndefault = "maybe"\n[expect]\nkind = "bytes"\nhex = "zz"\n',
    );
    const { line, code } = await refused(["-p", profile]);
    expect(line).toContain(`"${profile}"`);
    expect(line).toContain("default");
    expect(line).toContain("expect");
    expect(code).toBe(2);
  });

  test("a config file with several mistakes: all of them, with key and value", async () => {
    using directory = new TempDir();
    const config = directory.write("bad.toml", 'listen = "nowhere"\ntimeout = "soon"\nunheard-of = 1\n');
    const { line, code } = await refused(["-c", config]);
    for (const part of [config, '"nowhere"', '"soon"', '"unheard-of"']) expect(line).toContain(part);
    expect(code).toBe(2);
  });

  test("an upstream name that does not resolve: it stays up, readiness is red", async () => {
    const gate = await RunningGate.start(["-u", "nosuch.invalid:5001"], { namespace: network.gate });
    await using _gate = gate;
    const ready = await gate.fetch("/readyz");
    expect(ready.status).toBe(503);
    expect(JSON.stringify(await ready.json())).toContain("nosuch.invalid:5001");
    expect((await gate.fetch("/healthz")).status).toBe(200);
    expect(gate.child.exit).toBeUndefined();
    await gate.child.said('"nosuch.invalid"');
  });
});
