// SPDX-License-Identifier: Apache-2.0
// Inline mode, and what the program sees before the kernel has done what makes it acceptable: of a batch the program
// sees all before the kernel takes the first, and whoever fills it up has time in between.
import { expect, setDefaultTimeout, test } from "bun:test";
import { friendly, hostile, InlineBed, sysctl } from "../harness/inline_bed.ts";
import { describeWith } from "../harness/needs.ts";
import { ip, type Network } from "../harness/netns.ts";
import { RawConnection } from "../harness/raw_tcp.ts";
import { greetingBytes } from "../harness/sink.ts";
import { ack, fin, rst } from "../harness/tcp_frame.ts";
import { waitFor } from "../harness/wait.ts";

setDefaultTimeout(60_000);

const sourcesOfEach = 25;
/** GRO hands up what it does not keep in eights (gro_normal_batch), and what it keeps at the end of a batch of 64. */
const handedUp = 8;
const between = 54;
const xdpDrop = 1;

/** As from a card: the program sees several packets before the kernel takes the first. */
function inBatches({ gate, device }: Network): void {
  ip("netns", "exec", gate, "sh", "-c", `echo 1 > /sys/class/net/${device}/threaded`);
}

function sources(bed: InlineBed): string[] {
  return Array.from({ length: sourcesOfEach }, () => [bed.nextIpv4(), bed.nextIpv6()]).flat();
}

function foreignReads(bed: InlineBed): string[] {
  return bed.sink.lines().filter((line) => line.includes(hostile.toHex()));
}

/** All that the strangers said has become something that is not PASS without a verdict. */
async function expectUnread(bed: InlineBed, before: ReturnType<InlineBed["counts"]>, said: number): Promise<void> {
  await waitFor("all that was said", () => {
    const { held, unproven, banned } = bed.counts();
    const decided = held + unproven + banned - before.held - before.unproven - before.banned;
    return decided >= said || foreignReads(bed).length > 0;
  });
  expect(foreignReads(bed)).toEqual([]);
}

describeWith("namespaces", "executable")("what comes before the kernel would take it", () => {
  test("an acknowledgement of a greeting that the server has not written yet", async () => {
    await using bed = await InlineBed.open({ sink: ["greet"] });
    inBatches(bed.network);
    ip("netns", "exec", bed.network.gate, "ethtool", "-K", bed.network.device, "gro", "on");
    const before = bed.counts();
    const all = sources(bed);
    for (const source of all) {
      const stranger = new RawConnection(bed.clients, bed.clients.ends(source));
      await stranger.open();
      const other = new RawConnection(bed.clients, bed.clients.ends(source));
      const filler = other.frame({ bytes: new Uint8Array(1000) });
      bed.clients.sendFrames(
        stranger.frame({}),
        ...Array.from({ length: handedUp }, () => filler),
        stranger.frame({ bytes: hostile, ack: stranger.serverFirst + greetingBytes }),
        ...Array.from({ length: between }, () => filler),
      );
      await waitFor("the server's accept", () => bed.sink.of(stranger.name).opened > 0);
    }
    await expectUnread(bed, before, all.length);
  });

  // The same without the race.
  test("an acknowledgement of what was never sent", async () => {
    await using bed = await InlineBed.open();
    for (const source of [bed.nextIpv4(), bed.nextIpv6()]) {
      const stranger = await bed.clients.connect(source);
      await waitFor("the server's accept", () => bed.sink.of(stranger.name).opened > 0);
      const tried = (acknowledged: number) => bed.tryFrame(stranger.frame({ bytes: hostile, ack: acknowledged }));
      for (const beyond of [1, greetingBytes, 100_000]) {
        expect((await tried(stranger.serverFirst + beyond)).verdict).toBe(xdpDrop);
      }
    }
  });

  // A connection that nobody said anything on, so that nothing told that there are cookies.
  test("a cookie's connection in the place of one that is being closed", async () => {
    await using bed = await InlineBed.open({ sysctl: ["net.ipv4.tcp_syncookies=2"] });
    inBatches(bed.network);
    const before = bed.counts();
    const source = bed.nextIpv4();
    const ends = bed.clients.ends(source);
    const silent = new RawConnection(bed.clients, ends, { isn: 1000 });
    const stranger = new RawConnection(bed.clients, ends, { isn: 1000 + 2 ** 20 });
    await stranger.open();
    await silent.open();
    silent.send({}, { flags: fin | ack });
    await bed.sink.ended(silent.name);
    bed.clients.sendFrames(silent.frame({ at: 1, flags: rst | ack }), stranger.frame({ bytes: hostile }));
    await expectUnread(bed, before, 1);
  });

  test("a cookie's connection in the place of one that began with data on its SYN", async () => {
    await using bed = await InlineBed.open({
      sink: ["fastopen"],
      sysctl: ["net.ipv4.tcp_fastopen=0x203", "net.ipv4.tcp_syncookies=2"],
    });
    inBatches(bed.network);
    const before = bed.counts();
    const ends = bed.clients.ends(bed.nextIpv4());
    const friend = new RawConnection(bed.clients, ends, { isn: 1000, synBytes: friendly });
    const stranger = new RawConnection(bed.clients, ends, { isn: 1000 + 2 ** 20 });
    await stranger.open();
    // The flood is over.
    await sysctl(bed.network.gate, "net.ipv4.tcp_syncookies=1");
    await friend.open();
    friend.send({ at: friendly.length });
    await bed.sink.got(friend.name, friendly);
    bed.clients.sendFrames(friend.frame({ at: friendly.length, flags: rst | ack }), stranger.frame({ bytes: hostile }));
    await expectUnread(bed, before, 1);
  });
});
