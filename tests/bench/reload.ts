// SPDX-License-Identifier: Apache-2.0
// What a reload costs those who connect meanwhile: the slowest of 500 connections a second while a changed profile is
// compiled for both engines, while nothing has changed, and without a reload.
import { join } from "node:path";
import process from "node:process";
import { profileLibrary } from "../../src/core/profile/library.ts";
import { Child } from "../harness/child.ts";
import { BlockMap, RunningGate } from "../harness/gate.ts";
import { Network } from "../harness/netns.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { sleep } from "../harness/wait.ts";
import { startWebServer } from "../harness/web_server.ts";
import type { Bench, BenchOptions, Report, Row } from "./report.ts";

const perSecond = 500;
const reloadsPerRound = 4;
const request = new TextEncoder().encode("GET / HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n");
const subjects = ["new profile", "nothing new", "no reload"] as const;

interface Visit {
  readonly wallMs: number;
  readonly tookMs: number;
  readonly outcome: string;
}

async function run({ rounds, say }: BenchOptions): Promise<Report> {
  await using stack = new AsyncDisposableStack();
  const network = stack.use(new Network());
  const map = stack.use(new BlockMap());
  const directory = stack.use(new TempDir());
  stack.use(await startWebServer(network.gate, 8080));
  const config = (number: number) => {
    const profile = { ...profileLibrary.get("http"), description: `${number}` };
    return directory.write(
      "ttgate.toml",
      `block-map = "${map.name}"
interface = "${network.device}"
upstream = "127.0.0.1:8080"
listen = "8000"
prefilter = true
max-per-source = 10000
profile = "${directory.write("profile.json", JSON.stringify(profile))}"
`,
    );
  };
  const gate = stack.use(await RunningGate.start(["-c", config(0)], { namespace: network.gate }));
  const script = join(import.meta.dirname, "../harness/load_main.ts");
  const argv = [process.execPath, script, network.gateIpv4, "8000", `${perSecond}`, request.toHex()];
  await using load = new Child(argv, { namespace: network.client });
  await load.said(/^ready\n/);
  await sleep(2000);
  const spans: { readonly subject: string; readonly fromMs: number; readonly untilMs: number }[] = [];
  let number = 0;
  for (let turn = 0; turn < rounds * reloadsPerRound; turn++) {
    for (const subject of subjects) {
      if (subject === "new profile") config(++number);
      const fromMs = Date.now();
      const command = subject === "no reload" ? ["status"] : ["reload"];
      const { code, stderr } = await gate.command(...command);
      if (code !== 0) throw new Error(`Cannot use "ttgate ${command.join(" ")}": ${stderr}`);
      spans.push({ subject, fromMs, untilMs: Date.now() });
      await sleep(200);
    }
  }
  await load.stop();
  const visits = load.stdout
    .split("\n")
    .slice(1, -1)
    .map((line) => JSON.parse(line) as Visit);
  const lost = visits.filter(({ outcome }) => outcome !== "served").length;
  if (lost > 0) throw new Error(`Cannot use the result: ${lost} of ${visits.length} connections were not served`);
  const slowest: Record<string, number[]> = Object.fromEntries(subjects.map((subject) => [subject, []]));
  for (const { subject, fromMs, untilMs } of spans) {
    const during = visits.filter(({ wallMs }) => wallMs >= fromMs && wallMs <= untilMs);
    slowest[subject]?.push(during.reduce((most, { tookMs }) => Math.max(most, tookMs), 0));
  }
  say(`reload: ${visits.length} connections, ${spans.length} commands`);
  const row: Row = {
    metric: `slowest of ${perSecond} connections a second`,
    ...{ unit: "ms", better: "lower", samples: { ...slowest, limit: [20] } },
    targets: [{ subject: "new profile", reference: "limit", ratio: 1 }],
  };
  return {
    name: "reload",
    reference: "no reload",
    rows: [row],
    method: [
      `a relay with --prefilter and a profile of its own (http); each connection sends a request and is served by a web server; ${rounds * reloadsPerRound} times each, one after the other, while "ttgate reload" or "ttgate status" runs on the same machine`,
      "none of the connections is refused or reset: otherwise there is no result",
    ],
  };
}

export const reloadBench: Bench = { name: "reload", run };
