// SPDX-License-Identifier: Apache-2.0
// nftables as the fence under harder conditions: every kind of interference, other gates, a stranger user, nft missing,
// failing and slow, and many bans at once.
import { expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { run } from "../harness/child.ts";
import { BlockMap, ttgate } from "../harness/gate.ts";
import { describeWith } from "../harness/needs.ts";
import { mended, NftBed, nftNeeds, readiness, wrapped } from "../harness/nft_bed.ts";
import { startClient, startServer } from "../harness/standin.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { waitFor } from "../harness/wait.ts";

setDefaultTimeout(120_000);

const alone = ["--fence", "nftables"];

describeWith(...nftNeeds)("what the table blocks", () => {
  test("networks of IPv6, and ranges inside one another; a lift takes out its own alone", async () => {
    await using bed = await NftBed.open();
    const gate = await bed.start(alone);
    const { network } = bed;
    const [six, other] = [network.clientIpv6(3), network.clientIpv6(4)];
    await gate.command("ban", six, "10.77.1.0/25", "10.77.1.4", "203.0.113.0/24", "203.0.0.0/16");
    await bed.closed(six, network.gateIpv6);
    await bed.open(other, network.gateIpv6);
    await bed.closed(network.clientIpv4(5));
    expect(bed.listed().match(/elements = /g)).toHaveLength(5);
    await gate.command("lift", "10.77.1.0/25");
    await bed.open(network.clientIpv4(5));
    expect(bed.listed()).toContain("203.0.113.0 counter");
  });

  test("only the gate's port, wherever it is moved; everything with --scope host", async () => {
    await using bed = await NftBed.open();
    await using stack = new AsyncDisposableStack();
    const { network } = bed;
    stack.use(await startServer(network.gate, "--host", "0.0.0.0", "--port", "6000"));
    const from = network.clientIpv4(3);
    const gate = await bed.start(alone);
    await gate.command("ban", from, "--for", "1h");
    await bed.closed(from);
    expect(await bed.knock(from, network.gateIpv4, 6000)).toBe("open");
    await gate.child.stop();
    const next = await bed.start([...alone, "--scope", "host"]);
    await next.command("ban", from, "--for", "1h");
    await waitFor("the host closed", async () => (await bed.knock(from, network.gateIpv4, 6000)) === "no answer");
    expect(bed.listed()).toContain(`iifname "${network.device}" jump banned`);
  });

  test("10,000 bans go into the kernel by a few transactions", async () => {
    await using bed = await NftBed.open();
    using directory = new TempDir();
    const calls = directory.file("calls");
    const env = wrapped(directory, `[ "$2" = --file ] && echo x >> ${calls}`);
    const gate = await bed.start(alone, { env });
    const written = () => readFileSync(calls, "utf8").length / 2;
    const before = written();
    const list = directory.file("list");
    const addresses = Array.from({ length: 9999 }, (_, index) => `20.0.${index >> 8}.${index & 255}`);
    writeFileSync(list, [...addresses, bed.network.clientIpv4(3)].join("\n"));
    expect((await gate.command("ban", "--from", list, "--for", "1h")).stdout).toContain("Banned 10000");
    await bed.closed(bed.network.clientIpv4(3));
    expect(written() - before).toBeLessThan(30);
    expect(bed.listed().match(/ expires /g)).toHaveLength(10_000);
    const { kernel } = await gate.status();
    expect(kernel.maps).toMatchObject([{ entries: 10_000, capacity: 262_144 }, { entries: 0 }]);
    bed.nft("flush", "ruleset");
    await waitFor("all of them again", () => bed.nft("list", "ruleset").match(/ expires /g)?.length === 10_000);
    await bed.open(bed.network.clientIpv4(4));
  });
});

describeWith(...nftNeeds)("another tool's hands in the table", () => {
  test("are put right within three seconds, whatever they did; other tables stay", async () => {
    await using bed = await NftBed.open();
    const { table } = bed;
    const gate = await bed.start(alone);
    const stranger = bed.network.clientIpv4(3);
    await gate.command("ban", stranger, "198.51.100.7", "--for", "1h");
    await bed.closed(stranger);
    using directory = new TempDir();
    const set = "set ipv4_32 {\ntype ipv4_addr\nsize 1\nflags timeout\n}";
    const smaller = directory.write("rules", `delete table inet ${table}\ntable inet ${table} {\n${set}\n}\n`);
    const inTable = (...words: readonly string[]) => [...words.slice(0, 2), "inet", table, ...words.slice(2)];
    const deeds: readonly (readonly [readonly (readonly string[])[], RegExp])[] = [
      [[["flush", "ruleset"]], /it was gone/],
      [[inTable("flush", "chain", "banned"), inTable("delete", "set", "ipv4_32")], /set ipv4_32 was gone/],
      [[inTable("insert", "rule", "banned", "accept")], /a chain was edited/],
      [[["chain", "inet", table, "prerouting", "{ policy drop; }"]], /a chain was edited/],
      [
        [
          inTable("flush", "chain", "prerouting"),
          inTable("delete", "chain", "prerouting"),
          inTable("add", "chain", "prerouting"),
        ],
        /a chain was edited/,
      ],
      [
        [inTable("add", "chain", "theirs", "{ type filter hook input priority 0; policy drop; }")],
        /a chain was edited/,
      ],
      [[inTable("add", "set", "theirs", "{ type ipv4_addr; }")], /a chain was edited/],
      [[["-f", smaller]], /set ipv6_64 was gone/],
      [[inTable("flush", "set", "ipv4_32")], /2 elements were gone/],
      [[inTable("add", "element", "ipv4_32", "{ 192.0.2.9 }")], /1 elements were not ttgate's/],
      [
        [
          inTable("delete", "element", "ipv4_32", `{ ${stranger} }`),
          inTable("add", "element", "ipv4_32", `{ ${stranger} timeout 20s }`),
        ],
        /1 elements had another end/,
      ],
    ];
    for (const [commands, said] of deeds) {
      const what = commands.map((words) => words.join(" ")).join("; ");
      const before = mended(gate).length;
      const doneMs = performance.now();
      for (const command of commands) bed.nft(...command);
      const lines = await waitFor(`an end to ${what}`, () => mended(gate).length > before && mended(gate));
      expect([what, lines.at(-1)]).toEqual([what, expect.stringMatching(said)]);
      expect([what, performance.now() - doneMs < 3000]).toEqual([what, true]);
      expect([what, await bed.knock(stranger)]).toEqual([what, "no answer"]);
      await bed.open(bed.network.clientIpv4(4));
      expect(bed.listed()).not.toMatch(/192\.0\.2\.9|theirs|size 1/);
      bed.nft("add", "table", "inet", "other_tool");
    }
    expect(bed.nft("list", "tables")).toContain("table inet other_tool");
    const [, minutes] = new RegExp(`${stranger}[^,}]* expires (\\d+)m`).exec(bed.listed()) ?? [];
    expect(Number(minutes)).toBeGreaterThan(55);
    await waitFor("a green /readyz", async () => (await readiness(gate)).status === 200);
  });

  test("a second gate with another map stands beside; one with the same map is refused, and takes over when asked to", async () => {
    await using bed = await NftBed.open();
    const { map, network } = bed;
    const gate = await bed.start(alone);
    using second = new BlockMap();
    const other = await bed.start([...alone, "-l", "0.0.0.0:5005", "-B", second.name]);
    expect(bed.nft("list", "tables").match(/ttgate_/g)).toHaveLength(2);
    const refused = await run(ttgate(["-B", map.name, ...alone, "-l", "0.0.0.0:5006", "-s", "off"]), {
      namespace: network.gate,
    });
    expect([refused.code, refused.stderr]).toEqual([2, expect.stringMatching(/gate with pid \d+ is using it/)]);
    await gate.command("ban", network.clientIpv4(3), "--for", "1h");
    await bed.closed(network.clientIpv4(3));
    const detached = await run(ttgate(["detach", map.name]), { namespace: network.gate });
    expect([detached.code, detached.stderr]).toEqual([3, expect.stringContaining("is using it")]);
    await other.child.stop();
    expect(bed.nft("list", "tables").match(/ttgate_/g)).toHaveLength(1);
    const next = await bed.start([...alone, "--takeover"]);
    await gate.child.exited;
    expect(await next.banned(network.clientIpv4(3))).toMatchObject({ by: "operator" });
    expect(await bed.knock(network.clientIpv4(3))).toBe("no answer");
    await next.child.stop();
    expect(bed.nft("list", "ruleset")).toBe("");
  });
});

describeWith(...nftNeeds)("the end", () => {
  test("with --keep the table stays, and detach takes it away", async () => {
    await using bed = await NftBed.open();
    const stranger = bed.network.clientIpv4(3);
    const gate = await bed.start([...alone, "--keep"]);
    await gate.command("ban", stranger, "--for", "1h");
    expect(await gate.child.stop()).toMatchObject({ code: 0 });
    expect(bed.listed()).toContain(stranger);
    expect(bed.listed()).not.toContain("chain gate_");
    expect(await bed.knock(stranger)).toBe("no answer");
    const detached = await run(ttgate(["detach", bed.map.name]), { namespace: bed.network.gate });
    expect([detached.code, detached.stdout]).toEqual([0, `Removed table inet ${bed.table}\n`]);
    expect(bed.nft("list", "ruleset")).toBe("");
  });

  test("as another user the table is written, put right and taken away", async () => {
    await using bed = await NftBed.open();
    const gate = await bed.start([...alone, "--user", "nobody"]);
    await gate.command("ban", bed.network.clientIpv4(3), "--for", "1h");
    await bed.closed(bed.network.clientIpv4(3));
    bed.nft("flush", "ruleset");
    await waitFor("the table", () => mended(gate).length > 0);
    await bed.closed(bed.network.clientIpv4(3));
    expect(await gate.child.stop()).toMatchObject({ code: 0 });
    expect(bed.nft("list", "ruleset")).toBe("");
  });
});

describeWith(...nftNeeds)("an nft", () => {
  test("that is not there leaves the interface to user space, and the package is named", async () => {
    await using bed = await NftBed.open();
    using directory = new TempDir();
    symlinkSync(Bun.which("nsenter") ?? "", directory.file("nsenter"));
    const env = { PATH: directory.path };
    const odd = await bed.tunnel();
    const gate = await bed.start(["-i", odd], { env });
    await gate.child.said(/"odd0": blocked in user space only: .*install the package nftables/);
    await gate.command("ban", "10.99.0.2", "--for", "1h");
    expect(await gate.ban("10.99.0.2")).toMatchObject({ refused: { by: "user space" } });
    expect(await bed.knock("10.99.0.2", "10.99.0.1")).not.toBe("open");
    expect((await readiness(gate)).reasons).toMatch(/The kernel does not block: .*hardware type 778/);
    const options = { namespace: bed.network.gate, env };
    const refused = await run(ttgate(["-B", bed.map.name, ...alone, "-l", "0.0.0.0:5006", "-s", "off"]), options);
    expect([refused.code, refused.stderr]).toEqual([3, expect.stringContaining("install the package nftables")]);
  });

  test("that fails turns /readyz red, user space goes on; once it works all is written", async () => {
    await using bed = await NftBed.open();
    using directory = new TempDir();
    const broken = directory.file("broken");
    const env = wrapped(directory, `if [ -e ${broken} ]; then echo "Error: out of order" >&2; exit 1; fi`);
    const gate = await bed.start(alone, { env });
    writeFileSync(broken, "");
    const stranger = bed.network.clientIpv4(3);
    await gate.command("ban", stranger, "--for", "1h");
    const red = await waitFor("a red /readyz", async () => {
      const answer = await readiness(gate);
      return answer.status === 503 && answer;
    });
    expect(red.reasons).toMatch(/cannot be written: .*out of order/);
    expect(await bed.knock(stranger)).not.toBe("open");
    expect(await gate.ban(stranger)).toMatchObject({ refused: { by: "user space" } });
    rmSync(broken);
    await waitFor("a green /readyz", async () => (await readiness(gate)).status === 200);
    await bed.closed(stranger);
  });

  test("that hangs turns /readyz red, and user space goes on", async () => {
    await using bed = await NftBed.open();
    using directory = new TempDir();
    const hangs = directory.file("hangs");
    const gate = await bed.start(alone, { env: wrapped(directory, `while [ -e ${hangs} ]; do sleep 0.2; done`) });
    writeFileSync(hangs, "");
    const stranger = bed.network.clientIpv4(3);
    await gate.command("ban", stranger, "--for", "1h");
    await waitFor(
      "a red /readyz",
      async () => /cannot be written: nft has not ended after 15 s/.test((await readiness(gate)).reasons),
      25_000,
    );
    expect(await gate.ban(stranger)).toMatchObject({ refused: { by: "user space" } });
    rmSync(hangs);
    await waitFor("a green /readyz", async () => (await readiness(gate)).status === 200);
    await bed.closed(stranger);
  });

  test("that hangs holds up no stop for long; what is left is told, and the next start takes it up", async () => {
    await using bed = await NftBed.open();
    using directory = new TempDir();
    const hangs = directory.file("hangs");
    const env = wrapped(directory, `while [ -e ${hangs} ]; do sleep 0.2; done`);
    const gate = await bed.start(alone, { env });
    const stranger = bed.network.clientIpv4(3);
    await gate.command("ban", stranger, "--for", "1h");
    await bed.closed(stranger);
    writeFileSync(hangs, "");
    await gate.command("ban", "198.51.100.1", "--for", "1h");
    const startMs = performance.now();
    gate.child.signal("SIGTERM");
    const { code } = await gate.child.exited;
    expect([code, performance.now() - startMs < 20_000]).toEqual([0, true]);
    expect(gate.child.stderr).toMatch(/cannot be removed .*: remove it with nft delete table inet/);
    rmSync(hangs);
    const next = await bed.start(alone, { env });
    await bed.closed(stranger);
    next.child.signal("SIGTERM");
    await next.child.exited;
    expect(() => bed.listed()).toThrow("No such file");
  });

  test("that has thousands of others' rules to list is asked for them seldom; a flush is put right as soon", async () => {
    await using bed = await NftBed.open();
    using directory = new TempDir();
    const asked = directory.file("asked");
    const rules = Array.from({ length: 5000 }, (_, n) => `ip saddr 10.${n >> 8}.${n & 255}.1 counter accept`);
    const table = `table inet other { chain c { type filter hook input priority 0; policy accept;\n${rules.join("\n")}\n}\n}`;
    bed.nft("-f", directory.write("rules", table));
    const gate = await bed.start(alone, { env: wrapped(directory, `echo "$@" >> ${asked}`) });
    const many = Array.from({ length: 10_000 }, (_, n) => `198.18.${n >> 8}.${n & 255} 1h`);
    await gate.command("ban", "--from", directory.write("many", many.join("\n")));
    const stranger = bed.network.clientIpv4(3);
    await gate.command("ban", stranger, "--for", "1h");
    await bed.closed(stranger);
    await waitFor("a look at chains alone", () => /list chains inet/.test(readFileSync(asked, "utf8")), 20_000);
    bed.nft("flush", "ruleset");
    const startMs = performance.now();
    await bed.closed(stranger);
    expect(performance.now() - startMs).toBeLessThan(8000);
    await gate.child.said(/was changed by another tool \(it was gone\): put right/);
  });

  test("that is slow holds nobody up, and there is one at a time", async () => {
    await using bed = await NftBed.open();
    await using stack = new AsyncDisposableStack();
    using directory = new TempDir();
    const [slow, running] = [directory.file("slow"), directory.file("running")];
    const many = directory.file("many");
    // What is listed for rules that divert is not the fence's.
    const isFences = `[ "\${*%list ruleset}" = "$*" ]`;
    const script = `if [ -e ${slow} ] && ${isFences}; then [ -e ${running} ] && echo x >> ${many}; : > ${running}; sleep 1; rm ${running}; fi`;
    const gate = await bed.start(alone, { env: wrapped(directory, script) });
    const { network } = bed;
    const args = ["--host", network.gateIpv4, "--port", "5000", "--from", network.clientIpv4(4)];
    const client = stack.use(await startClient(network.client, ...args));
    writeFileSync(slow, "");
    for (let last = 1; last <= 20; last++) await gate.command("ban", `192.0.2.${last}`, "--for", "1h");
    const report = await client.until("a hundred packets", ({ packets }) => packets > 100);
    expect(report.failures).toBe(0);
    await waitFor("all of them", () => bed.listed().match(/192\.0\.2\./g)?.length === 20, 20_000);
    expect(() => readFileSync(many)).toThrow("ENOENT");
  });
});

describeWith(...nftNeeds)("a table that another gate has taken", () => {
  test("is left alone, which is said; it is this one's again when the other has gone", async () => {
    await using bed = await NftBed.open();
    const gate = await bed.start(alone);
    const stranger = bed.network.clientIpv4(3);
    await gate.command("ban", stranger, "--for", "1h");
    await bed.closed(stranger);
    const [own = ""] = /gate_\d+_\w+/.exec(bed.listed()) ?? [];
    // As one in another PID namespace does it.
    bed.nft("add", "chain", "inet", bed.table, "gate_1_1");
    bed.nft("delete", "chain", "inet", bed.table, own);
    await waitFor("the fault", async () => /taken the nftables table .* over/.test((await readiness(gate)).reasons));
    bed.nft("flush", "set", "inet", bed.table, "ipv4_32");
    await bed.open(bed.network.clientIpv4(4));
    expect(bed.listed()).not.toContain(stranger);
    bed.nft("delete", "table", "inet", bed.table);
    await waitFor("a green /readyz", async () => (await readiness(gate)).status === 200);
    await bed.closed(stranger);
    expect(bed.listed()).toContain(own);
  });
});
