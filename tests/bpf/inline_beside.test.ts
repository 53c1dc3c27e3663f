// SPDX-License-Identifier: Apache-2.0
// Two segments of one connection on two CPUs at the same time, which whoever sends them can bring about: cards spread
// packets by headers that he chooses. What both let pass is remembered of both.
import { expect, setDefaultTimeout, test } from "bun:test";
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { loadSignatureTable } from "../../src/config/profile.ts";
import { embeddedObject, loadGate } from "../../src/fences/xdp/gate_program.ts";
import { Guarded } from "../../src/fences/xdp/guarded.ts";
import { InlineJudge } from "../../src/fences/xdp/inline/inline_judge.ts";
import { SettingsMap } from "../../src/fences/xdp/maps/settings_map.ts";
import { openMap } from "../../src/kernel/bpf_map.ts";
import { openLibraries } from "../../src/kernel/libraries.ts";
import { native } from "../../src/runtime/bun_ffi.ts";
import { compileC } from "../bench/compile.ts";
import { Child } from "../harness/child.ts";
import { friendly } from "../harness/inline_bed.ts";
import { describeWith } from "../harness/needs.ts";
import { freePort } from "../harness/ports.ts";
import { ack, psh, tcpFrame } from "../harness/tcp_frame.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { patienceMs } from "../harness/wait.ts";
import { type BesideData, doneAt, roundAt, verdictsAt } from "./beside_worker.ts";

setDefaultTimeout(60_000);

/** Of which every third meets. */
const rounds = 600;
/** Too few bytes for a verdict, both together too. */
const cuts = [0, 8, 16];
const xdpPass = 2;

describeWith("root")("segments on two CPUs", () => {
  test.skipIf(availableParallelism() < 2)("are both remembered if both pass", async () => {
    using directory = new TempDir();
    await using stack = new AsyncDisposableStack();
    const libraries = await openLibraries(native);
    const port = await freePort();
    using programs = loadGate(libraries, await embeddedObject("inline"), {
      ...{ flavour: { kind: "own" }, ipv4Fd: undefined, own: {} },
    });
    new SettingsMap(openMap(libraries, programs.mapFd("ttgate_settings")), {
      ...{ scope: "port", ipv6PrefixBits: 64, ports: [port], heartbeatMs: 0 },
    }).write({});
    const judge = new InlineJudge(libraries, programs, new Guarded([port], "port"), {
      gates: [
        { port, table: loadSignatureTable("tapetrack"), bounce: false, judging: "enforce", passes: [], banMs: 60_000 },
      ],
      ipv6PrefixBits: 64,
    });
    judge.begin();
    const stream = stack.use(
      new Child([await compileC("stream", directory.path), `${port}`, "0"], { holdInput: true }),
    );
    const { sourcePort, seq, ack: acknowledged } = JSON.parse((await stream.said(/^\{.*\}$/m))[0]);
    const shared = new Int32Array(new SharedArrayBuffer(5 * 4));
    const frames = cuts.slice(1).map((to, index) => {
      const from = cuts[index] ?? 0;
      const addresses = { source: "127.0.0.1", destination: "127.0.0.1", sourcePort, destinationPort: port };
      const ends = { ...addresses, sourceMac: new Uint8Array(6), destinationMac: new Uint8Array(6) };
      return tcpFrame(ends, { seq: seq + from, ack: acknowledged, flags: ack | psh, bytes: friendly.slice(from, to) });
    });
    const workers = frames.map((frame, place) => {
      const workerData: BesideData = { programFd: programs.xdpFd("ethernet"), frame, shared, place, rounds };
      const worker = new Worker(new URL("./beside_worker.ts", import.meta.url), { workerData });
      stack.defer(() => worker.terminate().then(() => {}));
      return worker;
    });
    expect(workers).toHaveLength(2);
    const undecided = openMap(libraries, programs.mapFd("ttgate_undecided"));
    const forgotten: number[] = [];
    for (let round = 1; round <= rounds; round++) {
      Atomics.store(shared, roundAt, round);
      Atomics.notify(shared, roundAt);
      for (let done = 2 * round - 2; done < 2 * round; done = Atomics.load(shared, doneAt)) {
        if (Atomics.wait(shared, doneAt, done, patienceMs) === "timed-out") throw new Error(`Stuck in round ${round}`);
      }
      const passed = [0, 1].filter((place) => Atomics.load(shared, verdictsAt + place) === xdpPass);
      // The first bytes, and those behind them.
      const [{ firstBytes } = { firstBytes: new Uint8Array() }] = [...judge.undecided()];
      if (passed.length === 2 && firstBytes.length < (cuts.at(-1) ?? 0)) forgotten.push(round);
      for (const { keys } of undecided.slices(16)) undecided.delete(keys.slice(0, undecided.info.keyBytes));
    }
    expect(forgotten).toEqual([]);
  });
});
