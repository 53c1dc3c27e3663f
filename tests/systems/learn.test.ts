// SPDX-License-Identifier: Apache-2.0
// Profiles learned from real clients of real servers, recorded by the gate: they take other users, databases,
// keys, topics and clients, and ban who speaks another protocol.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { copyFileSync, readdirSync, readFileSync } from "node:fs";
import process from "node:process";
import { Child, type Completed, run } from "../harness/child.ts";
import { RunningGate, ttgate } from "../harness/gate.ts";
import { describeWith } from "../harness/needs.ts";
import { ip, Network } from "../harness/netns.ts";
import { startClient, startServer } from "../harness/standin.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { sleep, waitFor } from "../harness/wait.ts";

setDefaultTimeout(120_000);

/** Ten sources with three connections each. */
const sources = Array.from({ length: 10 }, (_, index) => index + 1);
const visits = [0, 1, 2];

/** Where the recordings go that `make test` learns from, to renew them: tests/vectors/recorded. */
const vectors = process.env["TTGATE_WRITE_RECORDED"];

interface Protocol {
  readonly name: string;
  /** On port 5001 of the gate's own loopback. */
  serve(): Promise<AsyncDisposable>;
  /** What is recorded; `number` from 0. */
  friend(number: number): readonly string[];
  /** Friends who were not there when it was recorded. */
  others(): readonly (readonly string[])[];
  readonly finding: RegExp;
}

const programs = ["mosquitto", "mosquitto_pub", "psql", "redis-cli", "redis-server"].map((program) => ({ program }));

describeWith(
  "namespaces",
  "executable",
  ...programs,
)("learned from real clients", () => {
  let stack: AsyncDisposableStack;
  let network: Network;
  let directory: TempDir;

  beforeAll(() => {
    stack = new AsyncDisposableStack();
    network = stack.use(new Network({ clients: 40 }));
    directory = stack.use(new TempDir());
  });

  afterAll(() => stack.disposeAsync());

  /** Clients that cannot be told an address of their own get it by the route. */
  async function from(number: number, argv: readonly string[]): Promise<Completed> {
    const route = [`${network.gateIpv4}/32`, "dev", network.clientDevice, "src", network.clientIpv4(number)];
    ip("-n", network.client, "route", "replace", ...route);
    return run(argv, { namespace: network.client });
  }

  async function serving(argv: readonly string[], isReady: readonly string[]): Promise<AsyncDisposable> {
    const child = new Child(argv, { namespace: network.gate, cwd: directory.path });
    try {
      await waitFor(`${argv[0]} to answer`, async () => {
        const { code } = await run(isReady, { namespace: network.gate });
        return code === 0 || undefined;
      });
    } catch (error) {
      await child[Symbol.asyncDispose]();
      throw new Error(child.stderr + child.stdout, { cause: error });
    }
    return child;
  }

  const psql = (user: string, database: string, sslmode: string): string[] => [
    ...["psql", "-w", "-tAc", "select 1"],
    `host=${network.gateIpv4} port=5000 user=${user} dbname=${database} sslmode=${sslmode} connect_timeout=10`,
  ];
  const redis = (...words: string[]): string[] => ["redis-cli", "-h", network.gateIpv4, "-p", "5000", ...words];
  const publish = (...words: string[]): string[] => [
    ...["mosquitto_pub", "-h", network.gateIpv4, "-p", "5000", "-m", "value"],
    ...words,
  ];

  const protocols: readonly Protocol[] = [
    {
      name: "postgres",
      finding: /built-in profile "postgres" expects/,
      serve: () => servePostgres(),
      friend: (number) =>
        psql(["alice", "bob"][number % 2] ?? "", "one", ["disable", "prefer", "require"][number % 3] ?? ""),
      others: () => [
        psql("carol", "two", "disable"),
        psql("dave", "two", "require"),
        [...psql("carol", "one", "allow").slice(0, 3), "select 2", ...psql("carol", "one", "allow").slice(4)],
      ],
    },
    {
      name: "redis",
      finding: /built-in profile "redis" expects/,
      serve: () =>
        serving(
          ["redis-server", "--port", "5001", "--save", "", "--protected-mode", "no"],
          ["redis-cli", "-p", "5001", "ping"],
        ),
      friend: (number) => redis(...([["SET", "counter", "1"], ["GET", "counter"], ["PING"]][number % 3] ?? [])),
      others: () => [
        redis("INCR", "elsewhere"),
        redis("HSET", "user:7", "name", "eve"),
        redis("-3", "LPUSH", "list", "a"),
      ],
    },
    {
      name: "mosquitto",
      finding: /built-in profile "mqtt" expects/,
      serve: async () => {
        directory.write("mosquitto.conf", "listener 5001 127.0.0.1\nallow_anonymous true\n");
        const test = ["mosquitto_pub", "-p", "5001", "-t", "ready", "-m", "yes"];
        return serving(["mosquitto", "-c", directory.file("mosquitto.conf")], test);
      },
      friend: (number) => publish("-t", "site/a", "-i", `sensor-${number % 4}`),
      others: () => [
        publish("-t", "other/topic", "-u", "carol", "-P", "secret", "-V", "mqttv5"),
        publish("-t", "x", "-V", "mqttv31", "-i", "gateway"),
        publish("-t", "x", "--will-topic", "gone", "--will-payload", "bye", "-k", "600"),
      ],
    },
  ];

  async function servePostgres(): Promise<AsyncDisposable> {
    const [version = ""] = readdirSync("/usr/lib/postgresql");
    const bin = `/usr/lib/postgresql/${version}/bin`;
    // It does not run as root, and its directory must be its own.
    const as = (...argv: string[]) => ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", ...argv];
    const data = new TempDir();
    await using undo = new AsyncDisposableStack();
    undo.use(data);
    const done = async (argv: readonly string[]): Promise<void> => {
      const { code, stderr } = await run(argv, { namespace: network.gate, cwd: "/" });
      if (code !== 0) throw new Error(`${argv.join(" ")}: ${stderr}`);
    };
    await done(["chown", "postgres", data.path]);
    await done(["chmod", "755", data.path, directory.path]);
    const base = data.file("base");
    await done(as(`${bin}/initdb`, "-D", base, "-A", "trust", "-U", "postgres", "--no-sync"));
    const certificate = ["-subj", "/CN=gate", "-keyout", `${base}/server.key`, "-out", `${base}/server.crt`];
    await done(as("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", ...certificate));
    const options = { port: "5001", ssl: "on", fsync: "off", listen_addresses: "127.0.0.1" };
    const given = Object.entries(options).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
    const local = ["-h", "127.0.0.1", "-p", "5001", "-U", "postgres"];
    const server = await serving(as(`${bin}/postgres`, "-D", base, "-k", "", ...given), [
      ...["psql", ...local, "-tAc", "select 1"],
    ]);
    undo.use(server);
    const users = ["alice", "bob", "carol", "dave"].map((user) => `create user ${user}`);
    for (const sql of [...users, "create database one", "create database two"])
      await done(["psql", ...local, "-c", sql]);
    return undo.move();
  }

  /** @returns what learn said, and the profile's file. */
  async function learnFrom(name: string, clients: () => Promise<void>): Promise<string> {
    const recording = directory.file(`${name}.recording`);
    {
      const options = ["-c", "/dev/null", "--dry-run", "--record", recording];
      await using gate = await RunningGate.start(options, { namespace: network.gate });
      await clients();
      await gate.until("30 recordings", ({ recording }) => (recording?.connections ?? 0) >= 30);
      await gate.child.stop();
    }
    expect(readFileSync(recording, "utf8")).not.toContain("10.77.1.");
    if (vectors !== undefined) copyFileSync(recording, `${vectors}/${name}.jsonl`);
    const file = directory.file(`${name}.toml`);
    const { code, stdout, stderr } = await run(ttgate(["learn", recording, "-o", file, "--force"]));
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(/Of 10 sources, each left out in turn, 0 would have been banned/);
    expect(stdout).not.toContain("Not safe");
    return stdout;
  }

  /** From addresses of their own. */
  async function strangersAreBanned(gate: RunningGate, own: string): Promise<void> {
    const strangers = [
      ...protocols.filter(({ name }) => name !== own).map(({ name, friend }) => ({ name, argv: friend(0) })),
      { name: "http", argv: ["curl", "-s", "-m", "3", `http://${network.gateIpv4}:5000/`] },
    ];
    const known = { postgres: "postgres", redis: "redis", mosquitto: "mqtt", http: "http" } as Record<string, string>;
    for (const [index, { name, argv }] of strangers.entries()) {
      const number = 30 + index;
      await from(number, argv);
      expect(await gate.banned(network.clientIpv4(number))).toMatchObject({ protocol: known[name] });
    }
  }

  test.each(["postgres", "redis", "mosquitto"])("%s", async (name) => {
    const protocol = protocols.find((candidate) => candidate.name === name);
    if (protocol === undefined) throw new Error(`There is no protocol ${name}`);
    await using _server = await protocol.serve();
    const said = await learnFrom(name, async () => {
      for (const [index, source] of sources.entries()) {
        for (const visit of visits) {
          const { code, stderr } = await from(source, protocol.friend(index * visits.length + visit));
          expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
        }
      }
      // The server is to be seen staying after its answer.
      await sleep(1200);
    });
    expect(said).toMatch(protocol.finding);
    const options = ["-c", "/dev/null", "-p", directory.file(`${name}.toml`)];
    await using gate = await RunningGate.start(options, { namespace: network.gate });
    for (const [index, argv] of protocol.others().entries()) {
      const { code, stderr } = await from(20 + index, argv);
      expect({ argv, code, stderr }).toEqual({ argv, code: 0, stderr: "" });
    }
    expect(await gate.bans()).toEqual([]);
    await strangersAreBanned(gate, name);
  });

  test("a binary protocol: a length and ciphertext", async () => {
    await using _server = await startServer(network.gate, "--port", "5001", "--variant", "length");
    const client = (number: number) =>
      startClient(
        ...([network.client, "--host", network.gateIpv4, "--port", "5000", "--variant", "length", "--vary"] as const),
        ...["--from", network.clientIpv4(number), "--rate", "20", "--reconnect", "1"],
      );
    const said = await learnFrom("binary", async () => {
      const clients = await Promise.all(sources.map(client));
      for (const each of clients) await each.until("four connections", ({ connections }) => connections >= 4);
      await Promise.all(clients.map((each) => each.stop()));
    });
    expect(said).toContain("The 32-bit big-endian number at 0 is the packet's length less 4");
    expect(said).toContain("From byte 4 on the bytes look random");
    const options = ["-c", "/dev/null", "-p", directory.file("binary.toml")];
    await using gate = await RunningGate.start(options, { namespace: network.gate });
    await using other = await client(20);
    await other.until("answers", ({ packets }) => packets > 20);
    expect((await other.stop()).failures).toBe(0);
    expect(await gate.bans()).toEqual([]);
    await strangersAreBanned(gate, "binary");
  });
});
