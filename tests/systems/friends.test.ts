// SPDX-License-Identifier: Apache-2.0
// Real servers behind the gate in both modes, with the clients that people use: each is served, nobody is banned,
// and a stranger after them is. The table of it in docs/signatures.md is what was seen here; with
// TTGATE_WRITE_FRIENDS=1 it is written anew.
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import process from "node:process";
import { profileLibrary } from "../../src/core/profile/library.ts";
import { BlockMap, RunningGate } from "../harness/gate.ts";
import { describeWith } from "../harness/needs.ts";
import { Network } from "../harness/netns.ts";
import { probeFrom } from "../harness/probe.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { sleep, waitFor } from "../harness/wait.ts";
import { mysql, postgres, redis } from "./friends/databases.ts";
import { type Friend, prepare, type Site, serverPort, type Visit } from "./friends/friend.ts";
import { imap, pop3, smtp } from "./friends/mail.ts";
import { dns, ftp, ldap, modbus, mqtt, openvpn, sip, socks } from "./friends/network.ts";
import { rdp, ssh, vnc } from "./friends/remote.ts";
import { grpc, http, tls } from "./friends/web.ts";

setDefaultTimeout(300_000);

const friends: readonly Friend[] = [
  ...[tls, ssh, http, grpc, rdp, mqtt, postgres, redis, ldap, dns, sip, socks, openvpn, modbus],
  ...[smtp, imap, pop3, ftp, mysql, vnc],
];

const modes = ["proxy", "inline"] as const;
type Mode = (typeof modes)[number];

/** The gate's own port in proxy mode; in inline mode the server's is guarded. */
const gatePort = 5000;

/** As many servers at once: most of the time is spent waiting. */
const atOnce = 3;

/** "served" for each mode. */
interface Row {
  readonly profile: string;
  readonly server: string;
  readonly client: string;
  readonly proxy: string;
  readonly inline: string;
}

/** The kernel cannot look for a name in a TLS hello, which PostgreSQL 17 has; without that it judges the rest. */
function inlineProfile(profile: string, directory: TempDir): string {
  if (profile !== "postgres") return profile;
  const source = profileLibrary.get(profile);
  if (source?.expect.kind !== "any") throw new Error("The profile postgres is another one");
  const rules = source.expect.rules.filter(({ kind }) => kind !== "tls");
  return directory.write("postgres.json", JSON.stringify({ ...source, expect: { kind: "any", rules } }));
}

async function siteOf(network: Network, directory: TempDir): Promise<Site> {
  const [key, certificate] = [directory.file("key.pem"), directory.file("certificate.pem")];
  const subject = ["-subj", "/CN=gate.example.org", "-days", "2", "-addext", "subjectAltName=DNS:gate.example.org"];
  const files = ["-keyout", key, "-out", certificate];
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  await prepare(["openssl", "req", "-x509", ...curve, ...subject, ...files]);
  return { network, directory, key, certificate };
}

/** Every client of one server, in one mode. */
async function visitAll(friend: Friend, site: Site, mode: Mode): Promise<string[]> {
  using map = new BlockMap();
  const { network, directory } = site;
  const profile = mode === "inline" ? inlineProfile(friend.profile, directory) : friend.profile;
  const how =
    mode === "inline"
      ? ["-m", "inline", "-l", String(serverPort)]
      : ["-l", String(gatePort), "-u", `${network.gateIpv4}:${serverPort}`];
  const options = ["-p", profile, "-B", map.name, "-i", network.device, ...how];
  await using gate = await RunningGate.start(options, { namespace: network.gate });
  const host = network.gateIpv4;
  const port = mode === "inline" ? serverPort : gatePort;
  const at: Visit = { ...site, host, port };
  const served: string[] = [];
  for (const { name, visit } of friend.clients) {
    await visit(at).catch((cause: unknown) => {
      throw new Error(`${friend.profile}, ${mode}: ${name}: ${cause}\n${gate.child.stderr}`, { cause });
    });
    served.push(name);
  }
  /** With all that was counted, for whoever reads that it failed. */
  const failed = async (cause: unknown, seen: object = {}): Promise<never> => {
    const { kernel, connections } = await gate.status();
    const counted = JSON.stringify({ ...seen, judged: kernel.judged, connections });
    throw new Error(`${friend.profile}, ${mode}: ${cause}: ${counted}\n${gate.child.stderr}`, { cause });
  };
  // What stays undecided in the kernel is judged when it was silent for 10 s.
  const counted = await gate
    .until(
      `${served.length} connections that were counted`,
      ({ connections }) => connections.relayed + connections.undecided >= served.length,
    )
    .catch(failed);
  if (mode === "inline" && counted.connections.undecided > 0) await sleep(12_500);
  expect([mode, await gate.bans()]).toEqual([mode, []]);
  const wanted = `${served.length} connections that were relayed`;
  const status = await gate.until(wanted, ({ connections }) => connections.relayed >= served.length).catch(failed);
  expect([mode, status.connections.foreign]).toEqual([mode, 0]);

  const { text, protocol } = friend.stranger ?? { text: "GET / HTTP/1.1\r\nHost: gate\r\n\r\n", protocol: "http" };
  const from = network.clientIpv4(2);
  const send = [new TextEncoder().encode(text)];
  const { outcome } = await probeFrom(network.client, { host, port, from, send, waitMs: 2000 });
  const ban = await waitFor(`a ban of ${from}`, () => gate.ban(from), 20_000).catch((cause) =>
    failed(cause, { outcome }),
  );
  expect(ban).toMatchObject({ protocol });
  expect(status.kernel.attach).toBe("native");
  return served;
}

async function rowsOf(friend: Friend): Promise<Row[]> {
  await using stack = new AsyncDisposableStack();
  const network = stack.use(new Network());
  const directory = stack.use(new TempDir());
  const site = await siteOf(network, directory);
  await friend.start(site, stack);
  const served = { proxy: await visitAll(friend, site, "proxy"), inline: await visitAll(friend, site, "inline") };
  const cell = (mode: Mode, name: string) => (served[mode].includes(name) ? "served" : "no");
  return friend.clients.map(({ name }) => ({
    ...{ profile: friend.profile, server: friend.server, client: name },
    proxy: cell("proxy", name),
    inline: cell("inline", name),
  }));
}

const document = resolve(import.meta.dirname, "../../docs/signatures.md");
const marks = ["<!-- friends -->\n", "<!-- end of friends -->\n"] as const;

function tableOf(rows: readonly Row[]): string {
  const lines = rows.map(({ profile, server, client, proxy, inline }) =>
    ["", ` \`${profile}\` `, ` ${server} `, ` ${client} `, ` ${proxy} `, ` ${inline} `, ""].join("|"),
  );
  return ["| profile | server | client | proxy | inline |", "|---|---|---|---|---|", ...lines, ""].join("\n");
}

/** The text before the table, the table, and what follows. */
function documentParts(): readonly [string, string, string] {
  const text = readFileSync(document, "utf8");
  const [before = "", rest = ""] = text.split(marks[0]);
  const [table = "", after = ""] = rest.split(marks[1]);
  return [before, table, after];
}

const programs = [...new Set(friends.flatMap((friend) => friend.programs))].map((program) => ({ program }));

describeWith(
  "namespaces",
  "executable",
  ...programs,
)("friends", () => {
  const wanted = process.env["TTGATE_FRIENDS"]?.split(",");
  const chosen = friends.filter(({ profile }) => wanted?.includes(profile) ?? true);
  const queue = [...chosen];
  const found = new Map<Friend, Promise<Row[]>>();
  const starts = new Map(chosen.map((friend) => [friend, Promise.withResolvers<Row[]>()]));
  for (const [friend, { promise }] of starts) {
    promise.catch(() => {});
    found.set(friend, promise);
  }
  let workers: Promise<unknown> | undefined;

  async function work(): Promise<void> {
    for (let friend = queue.shift(); friend !== undefined; friend = queue.shift()) {
      await rowsOf(friend).then(starts.get(friend)?.resolve, starts.get(friend)?.reject);
    }
  }

  afterAll(async () => {
    queue.length = 0;
    await workers;
  });

  test.each(chosen.map((friend) => [friend.profile, friend] as const))(
    "%s: served in both modes",
    async (_, friend) => {
      workers ??= Promise.all(Array.from({ length: atOnce }, work));
      const rows = (await found.get(friend)) ?? [];
      expect(rows.map(({ proxy, inline }) => [proxy, inline])).toEqual(rows.map(() => ["served", "served"]));
      expect(rows.length).toBe(friend.clients.length);
    },
  );

  test.skipIf(wanted !== undefined)("the table in docs/signatures.md is what was seen", async () => {
    const rows = (await Promise.all(found.values())).flat();
    const [before, table, after] = documentParts();
    if (process.env["TTGATE_WRITE_FRIENDS"] === "1") {
      writeFileSync(document, [before, marks[0], tableOf(rows), marks[1], after].join(""));
      return;
    }
    expect(table).toBe(tableOf(rows));
  });
});
