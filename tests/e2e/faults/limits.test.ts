// SPDX-License-Identifier: Apache-2.0
// The limits of docs/limits.md on connections, each reached with the built executable and seen in its metric; those
// of open files are in open_files.test.ts, --idle in client.test.ts.
import { expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { Child } from "../../harness/child.ts";
import { behindClient, FaultBed } from "../../harness/fault_bed.ts";
import { executable } from "../../harness/gate.ts";
import { describeWith } from "../../harness/needs.ts";
import { freePort } from "../../harness/ports.ts";
import { TempDir } from "../../harness/temp_dir.ts";
import { sleep, waitFor } from "../../harness/wait.ts";
import { friendly, host, Server, until } from "../../net/bed.ts";

setDefaultTimeout(30_000);

/** The value of a metric of the only gate. */
async function metric(bed: FaultBed, name: string, labels = ""): Promise<number | undefined> {
  const text = await (await bed.gate.fetch("/metrics")).text();
  const line = text.split("\n").find((each) => each.startsWith(`${name}{gate="default"${labels}}`));
  return line === undefined ? undefined : Number(line.split(" ").at(-1));
}

function outcome(bed: FaultBed, name: string): Promise<number | undefined> {
  return metric(bed, "ttgate_connections_total", `,outcome="${name}"`);
}

/** What decides nothing yet. */
const tooLittle = friendly().subarray(0, 3);

describeWith("executable")("the limit", () => {
  test("of connections: the undecided make room, those that said nothing first; then clients are reset", async () => {
    await using server = await Server.open();
    await using bed = await FaultBed.open([server.port], "--max-connections", "3");
    const [spoke, silent, late] = [await bed.client(), await bed.client(), await bed.client()];
    spoke.send(tooLittle);
    await waitFor("three who are pending", async () => (await metric(bed, "ttgate_connections_pending")) === 3);
    // One that has just come is not silent yet.
    await sleep(1500);
    const next = await bed.client();
    await until("room", () => silent.ended);
    expect([spoke.ended, late.ended, next.ended]).toEqual([false, false, false]);
    expect(await metric(bed, "ttgate_connections_made_room_total")).toBe(1);
    for (const peer of [late, next]) peer.send(friendly());
    spoke.send(friendly());
    await waitFor("three who are relayed", async () => (await outcome(bed, "relayed")) === 3);
    const tooMany = await bed.client();
    await until("a reset", () => tooMany.closed);
    expect(tooMany.wasReset).toBe(true);
    const counted = [await metric(bed, "ttgate_connections_no_room_total"), await outcome(bed, "refused_full")];
    expect([...counted, await metric(bed, "ttgate_connections_limit")]).toEqual([1, 1, 3]);
    expect((await bed.gate.status()).bans.total).toBe(0);
  });

  test("of a source's connections", async () => {
    await using bed = await FaultBed.open([await freePort()], "--max-per-source", "2");
    const held = [await bed.client(), await bed.client()];
    const tooMany = await bed.client();
    await until("a reset", () => tooMany.closed);
    expect([tooMany.wasReset, ...held.map(({ closed }) => closed)]).toEqual([true, false, false]);
    expect([await outcome(bed, "refused_full"), await metric(bed, "ttgate_connections_no_room_total")]).toEqual([1, 0]);
    expect((await bed.gate.status()).bans.total).toBe(0);
  });

  test("of a source's new connections", async () => {
    await using bed = await FaultBed.open([await freePort()], "--max-rate", "2/1m");
    const held = [await bed.client(), await bed.client()];
    const tooMany = await bed.client();
    await until("a reset", () => tooMany.closed);
    expect([tooMany.wasReset, ...held.map(({ closed }) => closed)]).toEqual([true, false, false]);
    expect(await outcome(bed, "refused_rate")).toBe(1);
  });

  test("of the time for a first packet, also for who sends a byte now and then", async () => {
    await using bed = await FaultBed.open([await freePort()], "--first-packet", "1s");
    const [silent, slow] = [await bed.client(), await bed.client()];
    const startedMs = performance.now();
    for (const byte of tooLittle) {
      slow.send(Uint8Array.of(byte));
      await sleep(100);
    }
    await until("the end of both", () => silent.ended && slow.ended);
    expect(performance.now() - startedMs).toBeGreaterThan(900);
    expect([await outcome(bed, "undecided"), await outcome(bed, "foreign")]).toEqual([2, 0]);
  });

  test("of the size of a first packet: a profile may wait for 4096 bytes, and then has its verdict", async () => {
    await using server = await Server.open();
    using directory = new TempDir();
    const rule = (bytes: number) => `name = "long"\n[expect]\nkind = "run"\nclass = "printable"\nmin = ${bytes}\n`;
    const flags = (bytes: number) => ["-p", directory.write(`long${bytes}.toml`, rule(bytes)), "--first-packet", "2s"];
    await using bed = await FaultBed.open([server.port], ...flags(4096));
    const [whole, short] = [await bed.client(), await bed.client()];
    for (const peer of [whole, short]) peer.send(Buffer.alloc(4095, "x"));
    await sleep(200);
    expect(await metric(bed, "ttgate_connections_pending")).toBe(2);
    whole.send(Buffer.alloc(100_000, "x"));
    await (await behindClient(server)).got(104_095);
    await until("the deadline of the other", () => short.ended);
    expect([await outcome(bed, "relayed"), await outcome(bed, "undecided")]).toEqual([1, 1]);
    await expect(FaultBed.open([server.port], ...flags(4097))).rejects.toThrow("expected number to be <=4096");
  });
});

describeWith("executable")("the limit of open files", () => {
  test("is raised to the hard one at the start", async () => {
    const port = await freePort();
    const flags = ["-l", `${host}:${port}`, "-u", `${host}:1`, "-s", "off", "-c", "/dev/null"];
    const argv = ["bash", "-c", 'ulimit -Sn 256; exec "$@"', "bash", executable, ...flags];
    await using gate = new Child(argv);
    await gate.said(/Listening on/);
    const [, soft, hard] =
      /^Max open files +(\d+) +(\d+)/m.exec(readFileSync(`/proc/${gate.pid}/limits`, "utf8")) ?? [];
    expect(soft).toBe(hard);
    expect(gate.stderr).not.toContain("No more than");
  });
});
