// SPDX-License-Identifier: Apache-2.0
// The PROXY protocol with the proxies that people run: HAProxy before and behind the gate, nginx behind it.
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Child, run } from "../harness/child.ts";
import { BlockMap, RunningGate } from "../harness/gate.ts";
import { describeWith } from "../harness/needs.ts";
import { Network } from "../harness/netns.ts";
import { probeFrom } from "../harness/probe.ts";
import { startServer } from "../harness/standin.ts";
import { seal } from "../harness/tapetrack_wire.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { waitFor } from "../harness/wait.ts";

setDefaultTimeout(45_000);

const friend = seal(new TextEncoder().encode("hello"), "bare");
const stranger = new TextEncoder().encode("GET / HTTP/1.1\r\nHost: example.org\r\n\r\n");

/** The proxy in front, on an address of the clients' network. */
const proxyNumber = 200;

interface Scene {
  readonly network: Network;
  readonly directory: TempDir;
}

/** @param lines of one `listen` section. */
function haproxy({ directory }: Scene, namespace: string, name: string, lines: readonly string[]): Child {
  const settings = ["mode tcp", "log global", "timeout connect 3s", "timeout client 10s", "timeout server 10s"];
  const file = directory.write(
    `${name}.cfg`,
    [
      "global",
      "  log stdout format raw local0",
      "defaults",
      ...settings.map((line) => `  ${line}`),
      `listen ${name}`,
      ...lines.map((line) => `  ${line}`),
      "",
    ].join("\n"),
  );
  return new Child(["haproxy", "-db", "-f", file], { namespace });
}

/** Said by a client that connects to the proxy in front. */
function through({ network }: Scene, client: number, bytes: Uint8Array) {
  const to = { host: network.clientIpv4(proxyNumber), port: 6000 };
  return probeFrom(network.client, { ...to, from: network.clientIpv4(client), send: [bytes], waitMs: 700 });
}

describeWith("namespaces", "executable", { program: "haproxy" })("HAProxy in front and behind", () => {
  describe.each([
    ["send-proxy", "v1"],
    ["send-proxy-v2", "v2"],
  ] as const)("%s, and %s to the server", (option, version) => {
    let stack: AsyncDisposableStack;
    let scene: Scene;
    let gate: RunningGate;
    let behind: Child;

    beforeAll(async () => {
      stack = new AsyncDisposableStack();
      scene = { network: stack.use(new Network({ clients: 210 })), directory: stack.use(new TempDir()) };
      const { network } = scene;
      const map = stack.use(new BlockMap());
      stack.use(await startServer(network.gate, "--port", "5002"));
      behind = stack.use(
        haproxy(scene, network.gate, "behind", [
          "bind 127.0.0.1:5001 accept-proxy",
          'log-format "client=%ci:%cp to=%fi:%fp"',
          "server app 127.0.0.1:5002",
        ]),
      );
      const proxy = network.clientIpv4(proxyNumber);
      gate = stack.use(
        await RunningGate.start(
          ["-B", map.name, "--accept-proxy", proxy, "-u", "127.0.0.1:5001", "--send-proxy", version],
          { namespace: network.gate },
        ),
      );
      stack.use(
        haproxy(scene, network.client, "front", [
          `bind ${proxy}:6000`,
          `source ${proxy}`,
          `server gate ${network.gateIpv4}:5000 ${option} check check-send-proxy inter 200`,
        ]),
      );
      await waitFor("the way through", async () => (await through(scene, 9, friend)).received.length > 0);
    });
    afterAll(() => stack.disposeAsync());

    test("the server sees the client's own address", async () => {
      const address = scene.network.clientIpv4(4);
      expect(await through(scene, 4, friend)).toMatchObject({ outcome: "open", received: expect.stringMatching(/./) });
      // Where it went to, as the proxy in front saw it.
      await behind.said(
        new RegExp(`client=${address.replaceAll(".", "\\.")}:\\d+ to=${scene.network.clientIpv4(proxyNumber)}:6000`),
      );
    });

    test("a stranger is out and nobody else: in user space behind the proxy, in the kernel where it comes directly", async () => {
      const { network } = scene;
      const [address, proxy] = [network.clientIpv4(3), network.clientIpv4(proxyNumber)];
      expect((await through(scene, 3, stranger)).outcome).not.toBe("open");
      const ban = await gate.banned(address);
      expect(ban.evidence?.client).toBe(address);
      const why = "the packets of --accept-proxy are the proxy's own; the kernel blocks what comes directly";
      expect(ban.refused).toEqual({ by: "user space", why });
      expect((await gate.command("why", address)).stdout).toContain(`kept out: refused in user space: ${why}`);
      expect((await gate.command("status")).stdout).toContain(`${proxy}: bans of their clients hold in user space`);

      const before = (await gate.status()).connections.refusedBanned;
      expect(await through(scene, 3, friend)).toMatchObject({ received: "" });
      await gate.until("the refusal", ({ connections }) => connections.refusedBanned > before);
      const direct = { host: network.gateIpv4, port: 5000, from: address, send: [friend], waitMs: 500 };
      expect((await probeFrom(network.client, direct)).outcome).toBe("no answer");

      expect((await through(scene, 5, friend)).received).not.toBe("");
      expect((await gate.bans()).map(({ source }) => source)).toEqual([address]);
      expect((await gate.command("ban", proxy)).stderr).toContain("--accept-proxy");
      expect((await gate.command("lift", address)).code).toBe(0);
      expect((await through(scene, 3, friend)).received).not.toBe("");
    });

    test("the proxy's own checks are no strangers, and all is well", async () => {
      const before = (await gate.status()).connections.accepted;
      const status = await gate.until("five checks", ({ connections }) => connections.accepted >= before + 5);
      expect(status.connections).toMatchObject({ withoutHeader: 0, foreign: 1 });
      expect(status.bans.active).toBe(0);
      expect((await gate.fetch("/readyz")).status).toBe(200);
      // Nor are the gate's own looks for the proxy behind it.
      await gate.fetch("/readyz");
      expect(behind.stdout + behind.stderr).not.toMatch(/error|bad|PROXY/i);
    });
  });

  test("without the header it is told what is wrong, and nobody is banned", async () => {
    await using stack = new AsyncDisposableStack();
    const scene = { network: stack.use(new Network({ clients: 210 })), directory: stack.use(new TempDir()) };
    const { network } = scene;
    const proxy = network.clientIpv4(proxyNumber);
    stack.use(await startServer(network.gate, "--port", "5001"));
    const gate = stack.use(await RunningGate.start(["--accept-proxy", proxy], { namespace: network.gate }));
    stack.use(
      haproxy(scene, network.client, "front", [
        `bind ${proxy}:6000`,
        `source ${proxy}`,
        `server gate ${network.gateIpv4}:5000`,
      ]),
    );
    // A look that says nothing.
    await probeFrom(network.client, { host: network.gateIpv4, port: 5000, from: proxy, fin: true });
    await gate.until("a look", ({ connections }) => connections.undecided > 0);
    expect((await gate.status()).connections.withoutHeader).toBe(0);
    expect((await through(scene, 3, friend)).received).toBe("");
    await gate.child.said(new RegExp(`Closed a connection of the proxy ${proxy}: no PROXY protocol header; let it`));
    const { connections, bans } = await gate.status();
    expect([connections.withoutHeader, bans.active]).toEqual([1, 0]);
  });
});

describeWith(
  "executable",
  { program: "haproxy" },
  { program: "nginx" },
)("docs/addresses.md", () => {
  const text = readFileSync(join(import.meta.dirname, "../../docs/addresses.md"), "utf8");
  const blocks = (language: string) =>
    [...text.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, "gms"))].map(([, block = ""]) => block);

  test("its configurations are what HAProxy and nginx take", async () => {
    using directory = new TempDir();
    const [haproxies, nginxes] = [blocks("haproxy"), blocks("nginx")];
    expect([haproxies.length, nginxes.length]).toEqual([2, 1]);
    for (const block of haproxies) {
      const checked = await run(["haproxy", "-c", "-f", directory.write("haproxy.cfg", block)]);
      expect([block, checked.code, checked.stderr]).toEqual([block, 0, ""]);
    }
    for (const block of nginxes) {
      const file = directory.write("nginx.conf", `pid ${directory.file("pid")}; error_log stderr;\n${block}`);
      const checked = await run(["nginx", "-t", "-e", "stderr", "-c", file]);
      expect([block, checked.code]).toEqual([block, 0]);
    }
  });
});

describeWith(
  "namespaces",
  "executable",
  { program: "nginx" },
  { program: "curl" },
)("nginx behind", () => {
  test.each(["v1", "v2"])("--send-proxy %s: it sees the client's own address", async (version) => {
    await using stack = new AsyncDisposableStack();
    const network = stack.use(new Network());
    const directory = stack.use(new TempDir());
    const file = directory.write(
      "nginx.conf",
      `daemon off; pid ${directory.file("pid")}; error_log stderr warn; events {}
       http {
         access_log off;
         ${["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${directory.path};`).join(" ")}
         server {
           listen 127.0.0.1:5001 proxy_protocol;
           location / { return 200 "$proxy_protocol_addr\\n"; }
         }
       }`,
    );
    const nginx = stack.use(new Child(["nginx", "-e", "stderr", "-c", file], { namespace: network.gate }));
    const gate = stack.use(
      await RunningGate.start(["-p", "http", "--send-proxy", version], { namespace: network.gate }),
    );
    await gate.until("nginx", ({ upstreams }) => upstreams[0]?.reachable === true);
    for (const [from, to] of [
      [network.clientIpv4(3), network.gateIpv4],
      [network.clientIpv6(3), `[${network.gateIpv6}]`],
    ] as const) {
      const curl = await run(["curl", "-s", "--interface", from, `http://${to}:5000/`], { namespace: network.client });
      expect(curl.stdout).toBe(`${from}\n`);
    }
    expect((await gate.fetch("/readyz")).status).toBe(200);
    expect(nginx.stderr).toBe("");
  });
});
