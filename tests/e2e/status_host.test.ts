// SPDX-License-Identifier: Apache-2.0
// The status endpoint over TCP, as a browser reaches it that was lied to by DNS, and as its owner does.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { Child, run } from "../harness/child.ts";
import { ttgate } from "../harness/gate.ts";
import { describeWith } from "../harness/needs.ts";
import { Network } from "../harness/netns.ts";
import { TempDir } from "../harness/temp_dir.ts";

setDefaultTimeout(30_000);

const token = "open-sesame";

describeWith("namespaces", "executable")("the status endpoint", () => {
  let stack: AsyncDisposableStack;
  let network: Network;
  let directory: TempDir;

  beforeAll(() => {
    stack = new AsyncDisposableStack();
    network = stack.use(new Network());
    directory = stack.use(new TempDir());
  });

  afterAll(() => stack.disposeAsync());

  async function gate(status: string, ...args: readonly string[]): Promise<Child> {
    const file = directory.write("ttgate.toml", 'status-host = ["status.example"]\n');
    const argv = ttgate(["-l", "127.0.0.1:5000", "-s", status, "-c", file, ...args]);
    const child = new Child(argv, { namespace: network.gate, env: { TTGATE_TOKEN: token } });
    try {
      await child.said(/Listening on/);
    } catch (error) {
      await child[Symbol.asyncDispose]();
      throw error;
    }
    return child;
  }

  /** @returns the HTTP status and the body. */
  async function curl(url: string, ...args: readonly string[]): Promise<readonly [string, string]> {
    const { stdout } = await run(["curl", "-sS", "-w", "\n%{http_code}", ...args, url], { namespace: network.gate });
    const end = stdout.lastIndexOf("\n");
    return [stdout.slice(end + 1), stdout.slice(0, end)];
  }

  const statusOf = async (url: string, ...args: readonly string[]) => (await curl(url, ...args))[0];

  test("on loopback answers by loopback's names and by those of --status-host, whatever is asked", async () => {
    await using child = await gate("127.0.0.1:9531");
    const at = "http://127.0.0.1:9531";
    for (const path of ["/", "/status", "/bans", "/healthz", "/events", "/nothing"]) {
      const [status, body] = await curl(`${at}${path}`, "-H", "Host: evil.example:9531");
      expect([path, status]).toEqual([path, "421"]);
      expect(JSON.parse(body)).toEqual({ error: expect.stringContaining('"evil.example:9531"') });
      expect(body).toContain("--status-host");
    }
    const absolute = ["--request-target", "http://evil.example/status", "-H", "Host: evil.example"];
    expect(await statusOf(`${at}/status`, ...absolute)).toBe("421");
    const ban = ["-d", '{"address":"192.0.2.1"}', "-H", `Authorization: Bearer ${token}`];
    expect(await statusOf(`${at}/bans`, ...ban, "-H", "Host: evil.example")).toBe("421");
    expect(await statusOf(`${at}/bans`, ...ban)).toBe("201");
    for (const host of ["localhost", "localhost:8080", "127.0.0.1", "[::1]:9531", "status.example"]) {
      expect([host, await statusOf(`${at}/status`, "-H", `Host: ${host}`)]).toEqual([host, "200"]);
    }
    expect(await statusOf(`${at}/status`, "-H", "Host:", "--http1.0")).toBe("200");
    directory.write("ttgate.toml", 'status-host = ["other.example"]\n');
    child.signal("SIGHUP");
    await child.said(/Reloaded status-host/);
    expect(await statusOf(`${at}/status`, "-H", "Host: status.example")).toBe("421");
    expect(await statusOf(`${at}/status`, "-H", "Host: other.example")).toBe("200");
  });

  test.each([
    ["0.0.0.0:9532", "10.77.0.1:9532"],
    ["10.77.0.1:9533", "10.77.0.1:9533"],
  ])("on %s answers at %s, and ttgate's own commands find it", async (bound, address) => {
    await using _child = await gate(bound);
    const authorised = ["-H", `Authorization: Bearer ${token}`];
    expect(await statusOf(`http://${address}/status`, ...authorised)).toBe("200");
    expect(await statusOf(`http://${address}/status`, ...authorised, "-H", "Host: evil.example")).toBe("421");
    expect(await statusOf(`http://${address}/status`, ...authorised, "-H", "Host: 10.77.0.77")).toBe("421");
    expect(await run(ttgate(["status"]), { namespace: network.gate })).toMatchObject({ code: 0, stderr: "" });
  });

  test("off loopback names what needs the token: reading, or changing", async () => {
    await using _child = await gate("10.77.0.1:9534");
    const at = "http://10.77.0.1:9534";
    const [readStatus, readBody] = await curl(`${at}/status`);
    expect([readStatus, JSON.parse(readBody).error]).toEqual(["401", expect.stringContaining("reading needs")]);
    const [changeStatus, changeBody] = await curl(`${at}/bans`, "-X", "POST");
    expect([changeStatus, JSON.parse(changeBody).error]).toEqual(["401", expect.stringContaining("changing needs")]);
  });
});
