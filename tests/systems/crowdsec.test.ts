// SPDX-License-Identifier: Apache-2.0
// Debian's real CrowdSec, its local API alone, and the executable with a kernel map in a network of their own: what
// CrowdSec decides is dropped in the kernel, what the gate bans is known there, and nothing that happens to CrowdSec
// changes a ban.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import type { Why } from "../../src/status/snapshot.ts";
import { Child, run } from "../harness/child.ts";
import { LocalApi } from "../harness/crowdsec.ts";
import { BlockMap, RunningGate, ttgate } from "../harness/gate.ts";
import { describeWith } from "../harness/needs.ts";
import { Network } from "../harness/netns.ts";
import { probeFrom } from "../harness/probe.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { sleep, waitFor } from "../harness/wait.ts";

setDefaultTimeout(60_000);

const everyMs = 300;
const http = new TextEncoder().encode("GET / HTTP/1.1\r\n\r\n");

let stack: AsyncDisposableStack;
let network: Network;
let api: LocalApi;
let gate: RunningGate;
let open: (...more: readonly string[]) => Promise<RunningGate>;

async function scene(): Promise<void> {
  stack = new AsyncDisposableStack();
  network = stack.use(new Network({ clients: 60 }));
  api = stack.use(await LocalApi.start({ namespace: network.gate }));
  // So many that not each question is for everything; after the loss of the database each is.
  await api.fill(800);
  const map = stack.use(new BlockMap());
  const state = stack.use(new TempDir());
  const own = ["-c", "/dev/null", "-B", map.name, "-i", network.device, "-u", "127.0.0.1:9", "--state", state.path];
  const crowdsec = ["--crowdsec", api.url, "--crowdsec-key", api.keyFile, "--crowdsec-every", `${everyMs}ms`];
  open = async (...more) =>
    stack.use(await RunningGate.start([...own, ...crowdsec, ...more], { namespace: network.gate }));
  const list = `drop=${state.write("list", "198.51.100.9\n")}`;
  gate = await open("--crowdsec-push", api.machineFile, "--allow", network.clientIpv4(9), "--blocklist", list);
  await follows();
}

function follows(of = gate): Promise<unknown> {
  return of.until("CrowdSec's decisions", ({ crowdsec }) => crowdsec?.state === "following");
}

/** `cscli decisions add`, as a person types it. */
async function decide(...words: readonly string[]): Promise<void> {
  await api.cscli("decisions", "add", ...words);
}

async function claimsOn(source: string, of = gate): Promise<readonly string[]> {
  return (await of.ban(source))?.claims.map(({ origin }) => origin).sort() ?? [];
}

function has(source: string, ...origins: readonly string[]): Promise<unknown> {
  return waitFor(`${source} by ${origins}`, async () => Bun.deepEquals(await claimsOn(source), origins));
}

/** By exactly this prefix, not by a range around it. */
function hasNot(source: string): Promise<unknown> {
  return waitFor(`no ban of ${source}`, async () => (await gate.ban(source)) === undefined);
}

async function kernelSays(source: string, of = gate): Promise<string | null> {
  return ((await (await of.fetch(`/why/${source}`)).json()) as Why).kernel.answer;
}

async function reaches(number: number): Promise<string> {
  const from = network.clientIpv4(number);
  return (await probeFrom(network.client, { host: network.gateIpv4, port: 5000, from, waitMs: 500 })).outcome;
}

/** Whatever is new has been asked for twice since. */
function twoTurns(): Promise<void> {
  return sleep(2 * everyMs + 300);
}

async function command(...words: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await gate.command(...words);
  if (code !== 0) throw new Error(`ttgate ${words.join(" ")}: ${stdout}${stderr}`);
  return stdout;
}

function troubled(what: RegExp): Promise<unknown> {
  return gate.until(`${what}`, ({ crowdsec }) => crowdsec?.troubles.some((trouble) => what.test(trouble)) === true);
}

describeWith("namespaces", "executable", { program: "crowdsec" })("CrowdSec", () => {
  beforeAll(scene);
  afterAll(() => stack.disposeAsync());

  test("a decision is dropped in the kernel within one poll, and lifted when it is deleted", async () => {
    const source = network.clientIpv4(1);
    expect(await reaches(1)).not.toBe("no answer");
    await decide("-i", source, "-d", "1h", "-R", "crowdsecurity/ssh-bf");
    await has(source, "crowdsec");
    expect(await kernelSays(source)).toBe("drop");
    expect(await reaches(1)).toBe("no answer");
    const ban = await gate.banned(source);
    expect(ban).toMatchObject({ protocol: "crowdsecurity/ssh-bf", by: "crowdsec" });
    expect(ban.remainingSeconds ?? 0).toBeWithin(3500, 3600);
    expect(await command("why", source)).toContain("CrowdSec decided so (crowdsecurity/ssh-bf)");
    expect(await command("status")).toMatch(
      /^crowdsec +following http:\/\/127\.0\.0\.1:8080, 801 sources banned there/m,
    );
    await api.cscli("decisions", "delete", "--ip", source);
    await hasNot(source);
    expect(await kernelSays(source)).toBe("pass");
    expect(await reaches(1)).not.toBe("no answer");
  });

  test("how long from a decision to the drop", async () => {
    const took: number[] = [];
    for (let number = 20; number < 29; number++) {
      await sleep(Math.random() * everyMs);
      const source = network.clientIpv4(number);
      const start = performance.now();
      await api.decide(source, "1h");
      await waitFor("the drop", async () => (await kernelSays(source)) === "drop");
      took.push(performance.now() - start);
    }
    took.sort((a, b) => a - b);
    const [middle = 0, last = 0] = [took[Math.floor(took.length / 2)], took.at(-1)];
    console.log(
      `decision to drop, a poll every ${everyMs} ms: median ${middle.toFixed()} ms, most ${last.toFixed()} ms`,
    );
    expect(middle).toBeLessThanOrEqual(everyMs + 100);
  });

  test("a range is, another remedy and another scope are not", async () => {
    await decide("-r", "10.77.1.240/28", "-d", "1h");
    await decide("-i", network.clientIpv4(2), "-t", "captcha", "-d", "1h");
    await decide("--scope", "Country", "-v", "CH", "-d", "1h");
    await decide("-i", network.clientIpv6(3), "-d", "1h");
    await has("10.77.1.240/28", "crowdsec");
    await has(network.clientIpv6(3), "crowdsec");
    expect(await kernelSays("10.77.1.250")).toBe("drop");
    expect(await kernelSays("10.77.1.239")).toBe("pass");
    await twoTurns();
    expect(await claimsOn(network.clientIpv4(2))).toEqual([]);
    const { troubles, refused } = (await gate.status()).crowdsec ?? {};
    expect(troubles).toEqual([]);
    // Left to others, and told once.
    expect(refused).toMatchObject({ scope: 1, remedy: 1 });
    await gate.child.said(/warn CrowdSec: 1 decisions are not carried out here, because they are on countries or AS/);
    await gate.child.said(/info CrowdSec: 1 decisions are not carried out here, .*such as a captcha/);
    await decide("--scope", "AS", "-v", "64496", "-d", "1h");
    await gate.until("it was read", ({ crowdsec }) => crowdsec?.refused.scope === 2);
    expect(gate.child.stderr.match(/on countries or AS numbers/g)).toHaveLength(1);
    expect(await command("status")).toMatch(/sources banned there, 2 decisions on countries or AS numbers left out/);
    const asks = ["--crowdsec", api.url, "--crowdsec-key", api.keyFile];
    const doctor = await run([...ttgate(["doctor", "-c", "/dev/null", "-u", "127.0.0.1:9", ...asks])], {
      namespace: network.gate,
    });
    expect(doctor.stdout).toMatch(/^warn +CrowdSec +2 bans are on countries or AS numbers, and not carried out here/m);
    for (const value of ["CH", "64496"]) await api.cscli("decisions", "delete", "--value", value);
    await gate.until("that they are gone", ({ crowdsec }) => crowdsec?.refused.scope === 0);
    await api.cscli("decisions", "delete", "--range", "10.77.1.240/28");
    await hasNot("10.77.1.240/28");
  });

  test("of several decisions the longest counts, and what is left when it is deleted", async () => {
    const source = network.clientIpv4(4);
    await decide("-i", source, "-d", "1h");
    await decide("-i", source, "-d", "5m");
    await has(source, "crowdsec");
    const [longer, shorter] = await api.decisions(source);
    await twoTurns();
    expect((await gate.banned(source)).remainingSeconds).toBeGreaterThan(3000);
    await api.cscli("decisions", "delete", "--id", String(longer?.id));
    await twoTurns();
    expect(await kernelSays(source)).toBe("drop");
    // LAPI says nothing of it as long as there is another; a full answer tells the end of that.
    await command("reload");
    await waitFor("the shorter one", async () => ((await gate.banned(source)).remainingSeconds ?? 0) < 310);
    expect(await kernelSays(source)).toBe("drop");
    await api.cscli("decisions", "delete", "--id", String(shorter?.id));
    await hasNot(source);

    for (const [first, second] of [
      ["1h", "5m"],
      ["5m", "1h"],
    ] as const) {
      await api.decide(source, first);
      await api.decide(source, second);
      await has(source, "crowdsec");
      for (const { id } of await api.decisions(source)) await api.cscli("decisions", "delete", "--id", String(id));
      await hasNot(source);
    }
  });

  test("two addresses of one IPv6 network: it is banned until neither is", async () => {
    const [one, other] = ["2001:db8:7::1", "2001:db8:7::2"];
    for (const address of [one, other]) await api.decide(address, "1h");
    await has("2001:db8:7::/64", "crowdsec");
    await twoTurns();
    await api.cscli("decisions", "delete", "--ip", one);
    await twoTurns();
    await has("2001:db8:7::/64", "crowdsec");
    await api.cscli("decisions", "delete", "--ip", other);
    await hasNot("2001:db8:7::/64");
  });

  test("who is never banned is not, whatever CrowdSec decides", async () => {
    const friend = network.clientIpv4(9);
    await decide("-i", friend, "-d", "1h");
    await gate.until("it was read", ({ crowdsec }) => (crowdsec?.refused.neverBan ?? 0) > 0);
    expect(await claimsOn(friend)).toEqual([]);
    expect(await reaches(9)).not.toBe("no answer");
  });

  test("an own ban is known there once, and is deleted when it is lifted", async () => {
    const source = network.clientIpv4(5);
    await probeFrom(network.client, { host: network.gateIpv4, port: 5000, from: source, send: [http] });
    await has(source, "sniffer");
    await waitFor("its decision", async () => (await api.decisions(source)).length > 0);
    const listed = await api.cscli("decisions", "list", "-a", "--ip", source);
    expect(listed).toMatch(/ttgate:web-1 +\| Ip:10\.77\.1\.5 +\| ttgate\/http/);
    const [alert] = JSON.parse(await api.cscli("alerts", "list", "-a", "--ip", source, "-o", "json")) as {
      events: { meta: { key: string; value: string }[] }[];
    }[];
    const meta = new Map(alert?.events[0]?.meta.map(({ key, value }) => [key, value]));
    expect(meta.get("first_bytes")).toBe("GET / HTTP/1.1\\r\\n\\r\\n");
    expect([meta.get("service"), meta.get("target_port")]).toEqual(["http", "5000"]);
    // It comes back with the stream.
    await twoTurns();
    await command("reload");
    await sleep(everyMs);
    expect(await claimsOn(source)).toEqual(["sniffer"]);
    expect(await api.decisions(source)).toHaveLength(1);
    await command("lift", source);
    await waitFor("its end", async () => (await api.decisions(source)).length === 0);
    await twoTurns();
    expect(await claimsOn(source)).toEqual([]);
  });

  test("an own ban beside another's: the lift deletes the own decision alone", async () => {
    const source = network.clientIpv4(6);
    await command("ban", source, "--for", "2h");
    await waitFor("its decision", async () => (await api.decisions(source)).length === 1);
    await decide("-i", source, "-d", "30m");
    await twoTurns();
    // Hidden behind the longer one, until that is gone.
    await has(source, "operator");
    await command("lift", source);
    await has(source, "crowdsec");
    expect((await api.decisions(source)).map(({ origin }) => origin)).toEqual(["cscli"]);
  });

  test("what came from CrowdSec, from a list or from the map is not pushed", async () => {
    await has("198.51.100.9", "list:drop");
    await decide("-i", "198.51.100.8", "-d", "1h");
    await has("198.51.100.8", "crowdsec");
    await command("ban", "2001:db8:9::1", "--for", "ever");
    await waitFor("its decision", async () => (await api.decisions("2001:db8:9::/64")).length === 1);
    expect(await api.decisions("198.51.100.9")).toEqual([]);
    expect((await api.decisions("198.51.100.8")).map(({ origin }) => origin)).toEqual(["cscli"]);
    await command("lift", "2001:db8:9::1");
  });

  test("what an operator lifts stays lifted, until CrowdSec decides anew", async () => {
    const source = network.clientIpv4(7);
    await decide("-i", source, "-d", "30m");
    await has(source, "crowdsec");
    await command("lift", source);
    await command("reload");
    await twoTurns();
    expect(await claimsOn(source)).toEqual([]);
    expect((await api.decisions(source)).map(({ origin }) => origin)).toEqual(["cscli"]);
    await decide("-i", source, "-d", "1h");
    await has(source, "crowdsec");
  });

  test("another gate with a key of its own takes what this one pushed; under Deno and by a unix socket too", async () => {
    const source = "198.51.100.77";
    const key = await api.addBouncer("web-2");
    const directory = stack.use(new TempDir());
    // LAPI itself listens on a unix socket from 1.6.3 on, which Debian 12 does not have.
    const socket = directory.file("lapi");
    stack.use(new Child([process.execPath, "-e", relayScript, socket], { namespace: network.gate }));
    await waitFor("the socket", () => Bun.file(directory.file("ready")).exists());
    const args = ["-c", "/dev/null", "-l", "127.0.0.1:7000", "-u", "127.0.0.1:9", "--never-ban", "none"];
    const options = ["--crowdsec", `unix:${socket}`, "--crowdsec-key", key, "--crowdsec-every", `${everyMs}ms`];
    const deno = stack.use(await RunningGate.start([...args, ...options], { namespace: network.gate, form: "deno" }));
    await follows(deno);
    await command("ban", source, "--for", "1h");
    await waitFor("its ban there", async () => (await claimsOn(source, deno)).join() === "crowdsec");
    await command("lift", source);
    await waitFor("its end there", async () => (await deno.ban(source)) === undefined);
  });

  test("killed, without the key, started again empty: bans stay until CrowdSec says otherwise", async () => {
    const [theirs, own] = ["203.0.113.7", "203.0.113.8"];
    await decide("-i", theirs, "-d", "1h");
    await has(theirs, "crowdsec");
    await command("ban", own, "--for", "1h");
    await waitFor("its decision", async () => (await api.decisions(own)).length === 1);
    await api.kill();
    await troubled(/^CrowdSec at http:\/\/127\.0\.0\.1:8080: .*ECONNREFUSED/);
    await twoTurns();
    expect(await kernelSays(theirs)).toBe("drop");
    const ready = (await (await gate.fetch("/readyz")).json()) as { notes: string[]; reasons: string[] };
    expect(ready.notes.join()).toContain("CrowdSec at");
    expect(ready.reasons.join()).not.toContain("CrowdSec");
    // Banned while it is away.
    await command("ban", "203.0.113.9", "--for", "1h");

    await api.forget(false);
    await api.start();
    await troubled(/it does not know the key: "cscli bouncers add/);
    expect(await kernelSays(theirs)).toBe("drop");
    await api.kill();

    await api.forget(true);
    await api.start();
    // It would be asked again by itself, after some seconds.
    await command("reload");
    await follows();
    await hasNot(theirs);
    expect(await claimsOn(own)).toEqual(["operator"]);
    // What it lost of this gate's it is told again.
    for (const source of [own, "203.0.113.9"]) {
      await waitFor(`the decision on ${source}`, async () => (await api.decisions(source)).length === 1);
    }
    const said = gate.child.stderr.match(/warn CrowdSec at/g) ?? [];
    expect(said.length).toBeLessThanOrEqual(3);
    expect((await gate.status()).crowdsec?.troubles).toEqual([]);
  });

  test("a start knows what was deleted while the gate was away, and does not push twice", async () => {
    const [gone, stays, own] = ["203.0.113.17", "203.0.113.18", "203.0.113.8"];
    for (const source of [gone, stays]) await api.decide(source, "1h");
    await has(gone, "crowdsec");
    await has(stays, "crowdsec");
    await gate[Symbol.asyncDispose]();
    await api.cscli("decisions", "delete", "--ip", gone);
    gate = await open("--crowdsec-push", api.machineFile);
    await follows();
    await hasNot(gone);
    expect(await claimsOn(stays)).toEqual(["crowdsec"]);
    expect(await claimsOn(own)).toEqual(["operator"]);
    await twoTurns();
    expect(await api.decisions(own)).toHaveLength(1);
  });

  test("by TLS, with who signed the certificate; with another nothing is taken", async () => {
    const directory = stack.use(new TempDir());
    const [certificate, key] = [directory.file("certificate"), directory.file("private")];
    const names = ["-subj", "/CN=lapi", "-addext", "subjectAltName=IP:127.0.0.1"];
    const made = ["-keyout", key, "-out", certificate, "-days", "2", "-noenc"];
    expect((await run(["openssl", "req", "-x509", "-newkey", "rsa:2048", ...made, ...names])).code).toBe(0);
    const tls = { certificate, key };
    const secure = stack.use(await LocalApi.start({ namespace: network.gate, port: 8443, tls }));
    await secure.decide("203.0.113.37", "1h");
    const args = ["-c", "/dev/null", "-u", "127.0.0.1:9", "--crowdsec", secure.url, "--crowdsec-key", secure.keyFile];
    const start = async (port: number, ...more: readonly string[]) =>
      stack.use(await RunningGate.start([...args, "-l", `127.0.0.1:${port}`, ...more], { namespace: network.gate }));
    const [good, bad] = [await start(7001, "--crowdsec-ca", certificate), await start(7002)];
    await waitFor("its ban", async () => (await claimsOn("203.0.113.37", good)).join() === "crowdsec");
    await bad.child.said(/warn CrowdSec at https:.*certificate.*; bans stay as they are/);
    const doctor = await run([...ttgate(["doctor", ...args, "--crowdsec-ca", certificate])], {
      namespace: network.gate,
    });
    expect(doctor.stdout).toMatch(/^ok +CrowdSec +https:\/\/127\.0\.0\.1:8443 answers, and knows the key/m);
    const wrong = await run([...ttgate(["doctor", ...args])], { namespace: network.gate });
    expect(wrong.stdout).toMatch(/CrowdSec +https:.*certificate/);
  });

  test("another key and certificate are taken from their files, without a restart", async () => {
    const directory = stack.use(new TempDir());
    const [certificate, key] = [directory.file("certificate"), directory.file("private")];
    const certify = async () => {
      const names = ["-subj", "/CN=lapi", "-addext", "subjectAltName=IP:127.0.0.1"];
      const made = ["-keyout", key, "-out", certificate, "-days", "2", "-noenc"];
      expect((await run(["openssl", "req", "-x509", "-newkey", "rsa:2048", ...made, ...names])).code).toBe(0);
    };
    await certify();
    const tls = { certificate, key };
    const secure = stack.use(await LocalApi.start({ namespace: network.gate, port: 8444, tls }));
    const keyFile = await secure.addBouncer("rotated");
    const ca = directory.write("ca", readFileSync(certificate, "utf8"));
    const files = ["--crowdsec-key", keyFile, "--crowdsec-ca", ca, "--crowdsec-push", secure.machineFile];
    const args = ["-c", "/dev/null", "-u", "127.0.0.1:9", "-l", "127.0.0.1:7003", "--crowdsec", secure.url, ...files];
    const turning = stack.use(await RunningGate.start(args, { namespace: network.gate }));
    await follows(turning);
    const apart = (why: RegExp) =>
      turning.until(`${why}`, ({ crowdsec }) => crowdsec?.troubles.some((trouble) => why.test(trouble)) === true);

    await secure.cscli("bouncers", "delete", "rotated");
    writeFileSync(keyFile, "");
    await apart(/it does not know the key: There is no key for CrowdSec/);
    await secure.addBouncer("rotated");
    await follows(turning);

    await secure.kill();
    await certify();
    await secure.start();
    await apart(/certificate/);
    directory.write("ca", readFileSync(certificate, "utf8"));
    await follows(turning);
    const before = turning.child.stderr.match(/warn CrowdSec/g)?.length;
    expect(before).toBe(2);
    expect((await turning.status()).crowdsec?.troubles).toEqual([]);
  });

  test("a process that takes over goes on asking in its place", async () => {
    const next = await open("--crowdsec-push", api.machineFile, "--takeover", "--drain", "1s");
    await follows(next);
    const before = gate;
    gate = next;
    await decide("-i", "203.0.113.27", "-d", "1h");
    await has("203.0.113.27", "crowdsec");
    await before.child.done(10_000);
  });
});

/** Joins a unix socket to LAPI's port, in LAPI's network. */
const relayScript = `
const { createServer, connect } = require("node:net");
const { writeFileSync } = require("node:fs");
const path = process.argv.at(-1);
createServer((near) => {
  const far = connect(8080, "127.0.0.1");
  near.pipe(far).pipe(near);
  for (const one of [near, far]) one.on("error", () => {});
}).listen(path, () => writeFileSync(path.replace(/lapi$/, "ready"), ""));
`;
