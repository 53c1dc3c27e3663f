// SPDX-License-Identifier: Apache-2.0
// The sections of docs/performance.md: a plot each, and a line of what it says, with the figures as they were measured.
import { formatFigure } from "../report.ts";
import type { Figures } from "./figures.ts";
import { bars, lines, type Point, stacks, type Wanted } from "./spec.ts";

export interface Section {
  readonly title: string;
  /** Names the SVG. */
  readonly file: string;
  /** Benchmarks that it is drawn from. */
  readonly benches: readonly string[];
  /** What the plot shows, for those who do not see it. */
  readonly alt: string;
  line(figures: Figures): string;
  draw(figures: Figures): Promise<string>;
}

const times = (value: number) => `${value.toFixed(value < 10 ? 1 : 0)} times`;
const percent = (share: number) => `${Math.round(share * 100)} %`;

/** The same subjects for several rows of one benchmark. */
function all(bench: string, metrics: readonly string[], subjects: readonly string[]): Wanted[] {
  return metrics.map((metric) => ({ bench, metric, subjects }));
}

/** How near the relay comes to what the runtime allows. */
function besideBare(f: Figures): string {
  if (!f.hasSubject("proxy", bare)) return "";
  const share = (metric: string) => percent(f.ratio("proxy", metric, "ttgate", bare));
  return ` Of what a plain relay on the same runtime does (\`tests/bench/bare_relay.ts\`), ttgate does ${share("ping-pong")} of the packets, ${share("connect, ping, close")} of the connections and ${share("bulk to the client")} of the bulk to the client; a held connection takes ${formatFigure(f.median("proxy", "memory per held connection", bare))} KiB there.`;
}

/** nginx relays and does nothing else. */
function besideNginx(f: Figures): string {
  if (!f.hasSubject("proxy", nginx)) return "";
  const share = (metric: string) => percent(f.ratio("proxy", metric, "ttgate", nginx));
  return ` Of what nginx does with one worker, which relays without looking: ${share("ping-pong")}, ${share("connect, ping, close")} and ${share("bulk to the client")}.`;
}

/** Who is in the plots of the relay. */
function relays(f: Figures): readonly string[] {
  return f.hasSubject("proxy", nginx) ? [...pair, nginx, "direct"] : [...pair, "direct"];
}

const bare = "bare Bun";
const nginx = "nginx";
const pair = ["ttgate", "haproxy"] as const;
const quantiles = ["p50", "p90", "p99", "p99.9"] as const;
const connection = "a connection: connect, ping, close";
const ping = "a ping and its answer";
const sizes = ["1,000", "10,000", "100,000", "1,000,000"] as const;

export const sections: readonly Section[] = [
  {
    title: "The relay beside HAProxy",
    file: "rates",
    benches: ["proxy"],
    alt: "Bars of rates through ttgate, other relays and without a gate: ping-pong, connections, bulk both ways, strangers refused",
    line: (f) =>
      `Of what HAProxy does with one thread, ttgate does ${percent(f.ratio("proxy", "ping-pong", "ttgate", "haproxy"))} of the packets, ${percent(f.ratio("proxy", "connect, ping, close", "ttgate", "haproxy"))} of the connections and ${percent(f.ratio("proxy", "bulk to the client", "ttgate", "haproxy"))} of the bulk to the client; a held connection takes ${formatFigure(f.median("proxy", "memory per held connection", "ttgate"))} KiB, ${formatFigure(f.median("proxy", "memory per held connection", "haproxy"))} KiB there.${besideNginx(f)}${besideBare(f)}`,
    draw: (f) =>
      bars(
        f,
        [
          ...all("proxy", ["ping-pong", "connect, ping, close", "bulk to the client", "bulk to the server"], relays(f)),
          ...all("proxy", ["hostile, new source", "hostile, known source"], pair),
          ...all("proxy", ["memory, idle", "memory per held connection"], pair),
        ],
        { columns: 2, width: 260 },
      ),
  },
  {
    title: "How long a packet takes there and back",
    file: "latency",
    benches: ["proxy"],
    alt: "Lines of the time of a packet and its answer at four quantiles, through ttgate, other relays and without a gate",
    line: (f) =>
      `With 32 connections that send as fast as answers come, half of the answers are there within ${formatFigure(f.median("proxy", "ping-pong p50", "ttgate"))} µs and 99.9 % within ${formatFigure(f.median("proxy", "ping-pong p99.9", "ttgate"))} µs (HAProxy: ${formatFigure(f.median("proxy", "ping-pong p50", "haproxy"))} and ${formatFigure(f.median("proxy", "ping-pong p99.9", "haproxy"))}).`,
    draw: (f) =>
      lines(
        relays(f).flatMap((subject) =>
          quantiles.map(
            (x): Point => ({ panel: "ping-pong, µs", subject, x, value: f.median("proxy", `ping-pong ${x}`, subject) }),
          ),
        ),
        { columns: 1, width: 560, isLog: true, x: "share of the packets that are back" },
      ),
  },
  {
    title: "System calls",
    file: "calls",
    benches: ["socket_calls"],
    alt: "Stacked bars of system calls for a connection and for a packet, by call, of ttgate and other relays",
    line: (f) =>
      `A connection that comes, sends a packet, gets an answer and goes takes ${formatFigure(f.median("socket_calls", connection, "ttgate"))} system calls (HAProxy: ${formatFigure(f.median("socket_calls", connection, "haproxy"))}), a packet and its answer ${formatFigure(f.median("socket_calls", ping, "ttgate"))} (${formatFigure(f.median("socket_calls", ping, "haproxy"))}).`,
    draw: (f) =>
      stacks(
        [connection, ping].flatMap((panel) =>
          f
            .rows("socket_calls")
            .filter(({ metric }) => metric.startsWith(`${panel}: `))
            .flatMap(({ metric, samples }) =>
              Object.keys(samples).map((subject) => {
                const part = metric.slice(panel.length + 2);
                return { panel, subject, part, value: f.median("socket_calls", metric, subject) };
              }),
            ),
        ),
        "system calls",
      ),
  },
  {
    title: "Inline mode",
    file: "inline",
    benches: ["inline_path"],
    alt: "Bars of rates to a server behind inline mode, behind an empty XDP program, without a program and behind HAProxy",
    line: (f) =>
      `The server keeps ${percent(f.ratio("inline_path", "ping-pong", "inline", "XDP_PASS"))} of the requests and ${percent(f.ratio("inline_path", "connect, ping, close", "inline", "XDP_PASS"))} of the connections that it has behind a program that passes everything: ${times(f.ratio("inline_path", "ping-pong", "inline", "haproxy"))} and ${times(f.ratio("inline_path", "connect, ping, close", "inline", "haproxy"))} what a relay leaves.`,
    draw: (f) =>
      bars(
        f,
        all(
          "inline_path",
          ["ping-pong", "connect, ping, close", "bulk to the client", "bulk to the server"],
          ["inline", "XDP_PASS", "no program", "haproxy"],
        ),
        { columns: 2, width: 240 },
      ),
  },
  {
    title: "What a packet of a banned source costs",
    file: "drop",
    benches: ["packet_path", "packet_cost"],
    alt: "Bars of CPU time to drop a million packets by ttgate, xdp-filter, nft and ipset, and of nanoseconds in the program",
    line: (f) => {
      const path = "drop: frames as a card hands them to its driver";
      return `As a card's driver hands them over, a million packets take ${formatFigure(f.median("packet_path", path, "ttgate"))} ms of a CPU (xdp-filter ${formatFigure(f.median("packet_path", path, "xdp-filter"))}, nft at ingress ${formatFigure(f.median("packet_path", path, "nft ingress"))}, ipset ${formatFigure(f.median("packet_path", path, "ipset"))}); the program itself takes ${formatFigure(f.median("packet_cost", "drop: banned source", "ttgate"))} ns, where doing nothing takes ${formatFigure(f.median("packet_cost", "drop: banned source", "XDP_PASS"))}.`;
    },
    draw: (f) =>
      bars(
        f,
        [
          ...["frames as a card hands them to its driver", "socket buffers of a local sender"].map((what) => ({
            ...{ bench: "packet_path", metric: `drop: ${what}`, title: what },
            subjects: ["ttgate", "XDP_DROP", "xdp-filter", "nft ingress", "nft input", "ipset"],
          })),
          ...all(
            "packet_cost",
            ["drop: banned source", "pass: guarded port, nobody banned", "drop: any source of a million banned"],
            ["ttgate", "bare hash", "XDP_PASS"],
          ),
        ],
        { columns: 1, width: 520 },
      ),
  },
  {
    title: "A flood of strangers in inline mode",
    file: "flood",
    benches: ["inline_flood"],
    alt: "Bars of CPU time under 5,000 hostile connections a second, with inline mode and without a gate",
    line: (f) =>
      `Of 5,000 hostile connections a second the server notices nothing once their sources are banned: its CPU time goes from ${formatFigure(f.median("inline_flood", "later: CPU of the server", "no gate"))} to ${formatFigure(f.median("inline_flood", "later: CPU of the server", "inline"))} ms a second, ttgate takes ${formatFigure(f.median("inline_flood", "later: CPU of ttgate", "inline"))}.`,
    draw: (f) =>
      bars(
        f,
        all(
          "inline_flood",
          [
            "first second: CPU of the server",
            "later: CPU of the server",
            "later: soft interrupts, the whole host",
            "later: connections opened by the server's kernel",
          ],
          ["inline", "no gate"],
        ),
        { columns: 2, width: 250 },
      ),
  },
  {
    title: "A verdict",
    file: "verdict",
    benches: ["matcher"],
    alt: "Bars of nanoseconds for a verdict on first bytes of several protocols, in user space and in the kernel",
    line: (f) =>
      `The first bytes of a friend are judged in ${formatFigure(f.median("matcher", "verdict: friend, random bytes", "ttgate"))} ns in user space and ${formatFigure(f.median("matcher", "verdict: friend, random bytes", "kernel"))} ns in the kernel, without allocating anything. How often it is right: [verdict.md](verdict.md).`,
    draw: (f) =>
      bars(
        f,
        [
          "friend, random bytes",
          "friend, half of them behind a header",
          "http",
          "tls",
          "text",
          "every vector of the library",
        ].map((kind) => ({
          bench: "matcher",
          metric: `verdict: ${kind}`,
          title: kind,
          subjects: ["ttgate", "kernel"],
        })),
        { columns: 2, width: 260 },
      ),
  },
  {
    title: "From a thousand bans to a million",
    file: "growth",
    benches: ["growth"],
    alt: "Lines of time and memory over the number of bans, from a thousand to a million",
    line: (f) =>
      `A million bans load in ${formatFigure(f.median("growth", "loaded, ttgate ban --from", "1,000,000"))} s and take ${formatFigure(f.median("growth", "memory of the gate", "1,000,000"))} MiB of the gate's memory; one address is found among them in ${formatFigure(f.median("growth", "one asked for, GET /why", "1,000,000"))} ms, and a packet of any of them is dropped in ${formatFigure(f.median("growth", "a packet of any one dropped", "1,000,000"))} ns, most of which it waits for memory. With 64 bytes of evidence a ban takes ${formatFigure(f.median("memory", "resident memory of a ban, of 1,000,000", "user space"))} bytes where there are a million, and ${formatFigure(f.median("memory", "resident memory of a ban, of 100,000", "user space"))} of a hundred thousand: 65 for its address, times, origin and links, 80 for the evidence of an IPv4 client, 13 to 17 to find it by address, end and age; the rest is what the load left in the heap, some megabytes however many there are.`,
    draw: (f) =>
      lines(
        f.rows("growth").flatMap(({ metric, unit }) =>
          sizes.map(
            (size): Point => ({
              panel: `${metric.replace(/, (ttgate|GET) .*/, "")}, ${unit}`,
              subject: "ttgate",
              x: Number(size.replaceAll(",", "")),
              value: f.median("growth", metric, size),
            }),
          ),
        ),
        { columns: 3, width: 210, isLog: false, x: "bans" },
      ),
  },
  {
    title: "While somebody reloads or watches",
    file: "waits",
    benches: ["reload", "status"],
    alt: "Bars of the longest waits of connections and packets during reloads and status requests",
    line: (f) => {
      const slowest = "slowest of 500 connections a second";
      return `With 500 connections a second, the slowest one during a reload with a new profile takes ${formatFigure(f.median("reload", slowest, "new profile"))} ms, and ${formatFigure(f.median("reload", slowest, "no reload"))} ms while only the status is asked for. None is refused or reset.`;
    },
    draw: (f) =>
      bars(
        f,
        [
          ...all("reload", ["slowest of 500 connections a second"], ["new profile", "nothing new", "no reload"]),
          ...f
            .rows("status")
            .filter(({ unit }) => unit === "ms")
            .map(({ metric, samples }) => ({
              ...{ bench: "status", metric, subjects: ["asked", "control", "alone"].filter((name) => name in samples) },
              title: metric
                .replace("longest wait of a relayed packet, 100000 bans, ", "longest wait, ")
                .replace("relayed packet of 64 busy connections, p99, ", "p99 beside ")
                .replace(" again and again", ""),
            })),
        ],
        { columns: 2, width: 300 },
      ),
  },
];
