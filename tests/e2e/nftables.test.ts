// SPDX-License-Identifier: Apache-2.0
// nftables as the fence, seen with nft from outside: what is in the kernel, what drops, what other tools do to it, and
// what is left. More of it is in tests/systems/nftables.test.ts.
import { expect, setDefaultTimeout, test } from "bun:test";
import { run } from "../harness/child.ts";
import { ttgate } from "../harness/gate.ts";
import { describeWith } from "../harness/needs.ts";
import { mended, NftBed, nftNeeds } from "../harness/nft_bed.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { waitFor } from "../harness/wait.ts";

setDefaultTimeout(60_000);

const alone = ["--fence", "nftables"];

describeWith(...nftNeeds)("nftables as the fence", () => {
  test("drops what a stranger sends, counts it, ends the ban by itself, and lets friends through", async () => {
    await using bed = await NftBed.open();
    const gate = await bed.start([...alone, "-t", "5s"]);
    const { network } = bed;
    const [stranger, friend] = [network.clientIpv4(3), network.clientIpv4(4)];
    const http = `http://${network.gateIpv4}:5000/`;
    await run(["curl", "-sS", "--max-time", "5", "--interface", stranger, http], { namespace: network.client });
    await gate.banned(stranger);
    const bannedMs = performance.now();
    await waitFor("the element", () => bed.listed().includes(`${stranger} counter`));
    expect(bed.listed()).toContain('comment "sniffer http"');
    expect([await bed.knock(stranger), await bed.knock(friend)]).toEqual(["no answer", "open"]);
    const counted = await waitFor("the drops to be read", async () => {
      const ban = await gate.ban(stranger);
      return (ban?.packets ?? 0) > 0 && ban;
    });
    expect(counted).toMatchObject({ refused: { by: "kernel" }, protocol: "http" });
    const { kernel } = await gate.until("all drops", (status) => status.kernel.droppedPackets > 0);
    expect(kernel).toMatchObject({ fence: "nftables", attach: "nftables", proof: { passed: true }, ports: [5000] });
    expect((await gate.command("why", stranger)).stdout).toMatch(/nftables.*packets.*dropped/);
    expect(await (await gate.fetch("/metrics")).text()).toContain('attach="nftables"');
    await bed.open(stranger);
    expect(performance.now() - bannedMs).toBeGreaterThan(4000);
    expect(bed.listed()).not.toContain(stranger);
  });

  test("puts its table right after a flush of everything, when it is dormant, and an element that is gone", async () => {
    await using bed = await NftBed.open();
    // nft 1.0.6 ends its list at such a one.
    const dormant = "{ flags dormant; }";
    bed.nft("add", "table", "inet", "another", dormant);
    const gate = await bed.start(alone);
    const stranger = bed.network.clientIpv4(3);
    await gate.command("ban", stranger, "--for", "1h");
    await bed.closed(stranger);
    for (const [deed, said] of [
      [["add", "table", "inet", bed.table, dormant], /edited|listed/],
      [["flush", "ruleset"], /it was gone/],
      [["delete", "element", "inet", bed.table, "ipv4_32", `{ ${stranger} }`], /1 elements were gone/],
    ] as const) {
      const before = mended(gate).length;
      bed.nft(...deed);
      const lines = await waitFor(`an end to ${deed.join(" ")}`, () => mended(gate).length > before && mended(gate));
      expect(lines.at(-1)).toMatch(said);
      expect([await bed.knock(stranger), await bed.knock(bed.network.clientIpv4(4))]).toEqual(["no answer", "open"]);
    }
  });

  test("a killed gate's table goes on, the next start takes it up, and a stop takes it away", async () => {
    await using bed = await NftBed.open();
    const gate = await bed.start(alone);
    const [stranger, range] = [bed.network.clientIpv4(3), "203.0.113.0/24"];
    await gate.command("ban", stranger, range, "--for", "1h");
    await waitFor("the bans", () => bed.listed().includes("203.0.113.0"));
    gate.child.signal("SIGKILL");
    await gate.child.exited;
    expect(await bed.knock(stranger)).toBe("no answer");
    const next = await bed.start(alone);
    expect(await next.banned(stranger)).toMatchObject({ by: "operator", protocol: "manual" });
    expect((await next.banned(range)).remainingSeconds).toBeGreaterThan(3500);
    expect(await bed.knock(stranger)).toBe("no answer");
    expect(bed.listed().match(/chain gate_/g)).toHaveLength(1);
    await next.command("lift", stranger);
    await bed.open(stranger);
    expect(await next.child.stop()).toMatchObject({ code: 0 });
    expect(bed.nft("list", "ruleset")).toBe("");
  });

  test("a table of another boot, as saved rules restore it, bans nobody", async () => {
    await using bed = await NftBed.open();
    const gate = await bed.start(alone);
    const stranger = bed.network.clientIpv4(3);
    await gate.command("ban", stranger, "--for", "1h");
    await waitFor("the ban", () => bed.listed().includes(stranger));
    const saved = bed.listed();
    expect(await gate.child.stop()).toMatchObject({ code: 0 });
    using directory = new TempDir();
    const load = (text: string) => bed.nft("-f", directory.write("saved", text));
    load(saved.replace(/(chain gate_\d+_\d+_)[0-9a-f]{8}/, "$100000000"));
    expect(bed.listed()).toContain(stranger);
    const next = await bed.start(alone);
    await next.child.said(/was there from another boot of this host, and is made anew: leave it out of saved rules/);
    await bed.open(stranger);
    expect([await next.bans(), bed.listed().match(/chain gate_/g)?.length]).toEqual([[], 1]);
    // Of this boot it is what a gate left that was killed.
    expect(await next.child.stop()).toMatchObject({ code: 0 });
    load(saved);
    expect(await (await bed.start(alone)).banned(stranger)).toMatchObject({ by: "operator" });
  });

  test("guards an interface that takes neither XDP nor tc, beside XDP on the others", async () => {
    await using bed = await NftBed.open();
    const odd = await bed.tunnel();
    const gate = await bed.start(["-i", odd]);
    const { kernel } = await gate.status();
    expect(kernel).toMatchObject({
      fence: "xdp+nftables",
      attach: "nftables",
      interfaces: [
        { name: bed.network.device, attach: "native", reason: null },
        { name: odd, attach: "nftables", reason: expect.stringContaining("hardware type 778") },
      ],
    });
    const said = gate.child.stdout + gate.child.stderr;
    expect(said.match(/"odd0": left to nftables: .*778/g)).toHaveLength(1);
    expect(said.match(/"odd0": guarded by nftables/g)).toHaveLength(1);
    const inside = () => bed.knock("10.99.0.2", "10.99.0.1");
    expect(await inside()).toBe("open");
    await gate.command("ban", "10.99.0.2", "--for", "1h");
    await bed.closed("10.99.0.2", "10.99.0.1");
    await waitFor("its drops", async () => ((await gate.ban("10.99.0.2"))?.packets ?? 0) > 0);
    expect(await gate.ban("10.99.0.2")).toMatchObject({ refused: { by: "kernel" } });
    await gate.child.stop();
    expect([bed.map.pins(), bed.nft("list", "ruleset")]).toEqual([[], ""]);
  });

  test("is refused where the kernel is to judge", async () => {
    for (const [args, option] of [
      [["--mode", "inline"], '--mode "inline"'],
      [["--prefilter"], "--prefilter"],
    ] as const) {
      const refused = await run(ttgate(["-B", "x", ...alone, ...args]));
      expect([refused.code, refused.stderr]).toEqual([2, expect.stringContaining(`${option} with --fence nftables`)]);
    }
  });
});
