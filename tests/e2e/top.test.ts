// SPDX-License-Identifier: Apache-2.0
// `ttgate top` on a real terminal: what it shows, what its keys do, and that it leaves the terminal as it was,
// whatever ends it.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import process from "node:process";
import { type Form, RunningGate, ttgate } from "../harness/gate.ts";
import { describeWith, type Need } from "../harness/needs.ts";
import { freePort } from "../harness/ports.ts";
import { Pty } from "../harness/pty.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { sleep, waitFor } from "../harness/wait.ts";

setDefaultTimeout(60_000);

const giveBack = "\u001b[?7h\u001b[?25h\u001b[?1049l";
const forms: readonly (readonly [Form, Need])[] = [
  ["executable", "executable"],
  ["deno", "deno"],
];

async function startGate(): Promise<RunningGate> {
  const gate = await RunningGate.start(["-l", `127.0.0.1:${await freePort()}`, "-u", "127.0.0.1:1"]);
  for (let number = 1; number <= 40; number++) {
    await gate.fetch("/bans", { method: "POST", body: JSON.stringify({ address: `203.0.113.${number}`, for: "1h" }) });
  }
  return gate;
}

function stateOf(pid: number): string {
  return /^State:\s+(\w)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? "";
}

describeWith("apart", "executable")("top", () => {
  const stack = new AsyncDisposableStack();
  let gate: RunningGate;

  beforeAll(async () => {
    gate = stack.use(await startGate());
  });

  afterAll(() => stack.disposeAsync());

  function argv(form: Form = "executable"): string[] {
    return ttgate(["top", "--status", gate.statusAddress, "--every", "300ms"], form);
  }

  function shown(pty: Pty): Promise<string[]> {
    return pty.shows("the bans", (lines) => lines.some((line) => line.startsWith("BANS ")));
  }

  for (const [form, need] of forms) {
    describeWith(need)(`as ${form}`, () => {
      test.each(["", "dumb"])("on a terminal by the name of %j is plain text", async (name) => {
        await using pty = new Pty(argv(form), 80, 24, { TERM: name });
        await waitFor("two looks", () => pty.written.split("ttgate on ").length > 2);
        expect(pty.written).not.toContain("\u001b[?1049h");
      });

      test("shows, follows the size, filters, orders and lifts", async () => {
        await using pty = new Pty(argv(form));
        const first = await shown(pty);
        expect(first.length).toBe(24);
        expect(first[0]).toMatch(/^ttgate on \S+ {2}not ready: No upstream is reachable/);
        expect(first.find((line) => line.includes("203.0.113.40"))).toBeDefined();

        pty.resize(50, 14);
        const small = await pty.shows("a small screen", (lines) => lines.length === 14);
        expect(Math.max(...small.map((line) => line.length))).toBeLessThanOrEqual(50);
        pty.resize(120, 40);
        await pty.shows("a large screen", (lines) => lines.length === 40);

        pty.type("/");
        await pty.shows("the filter", (lines) => lines.at(-1) === "Filter: _");
        pty.type("113.1");
        await pty.shows("what was typed", (lines) => lines.at(-1) === "Filter: 113.1_");
        pty.type("\r");
        await pty.shows("what matches", (lines) => lines.some((line) => /^BANS \d+, \d+ match "113.1"/.test(line)));
        pty.type("s");
        await pty.shows("another order", (lines) => lines.some((line) => line.endsWith("oldest first")));

        const victim = form === "deno" ? "203.0.113.10" : "203.0.113.1";
        pty.type("\u001b[B");
        await pty.shows("the chosen one", (lines) => lines.some((line) => line.startsWith(`> ${victim} `)));
        pty.type("l");
        await pty.shows("the question", (lines) => lines.at(-1)?.startsWith(`Lift the ban of ${victim}?`) === true);
        pty.type("y");
        await pty.shows("the lift", (lines) => lines.at(-1) === `Lifted ${victim}`);
        expect(await gate.ban(victim)).toBeUndefined();
        pty.type("q");
        expect(await pty.exitCode()).toBe(0);
        await waitFor("the end", () => pty.written.endsWith(giveBack));
      });

      test.each([
        ["q", "q", 0],
        ["control C", "\u0003", 0],
        ["SIGTERM", "SIGTERM", 143],
        ["SIGINT", "SIGINT", 130],
        ["SIGHUP", "SIGHUP", 129],
        ["SIGQUIT", "SIGQUIT", 131],
      ] as const)("%s leaves the terminal as it was", async (_, ending, code) => {
        using directory = new TempDir();
        const script = 'stty -a >before; "$@"; code=$?; stty -a >after; exit $code';
        await using pty = new Pty(["sh", "-c", `cd ${directory.path}; ${script}`, "sh", ...argv(form)]);
        await shown(pty);
        expect(pty.written).toContain("\u001b[?1049h");
        if (ending.startsWith("SIG")) process.kill(pty.grandchild(), ending as NodeJS.Signals);
        else pty.type(ending);
        expect(await pty.exitCode()).toBe(code);
        await waitFor("the end", () => pty.written.endsWith(giveBack));
        const [before, after] = ["before", "after"].map((name) => readFileSync(directory.file(name), "utf8"));
        expect(before).toContain("icanon");
        expect(after).toBe(before ?? "");
      });

      test("stopped by a key it gives the terminal back, and takes it again afterwards", async () => {
        await using pty = new Pty(argv(form));
        await shown(pty);
        pty.type("\u001a");
        await waitFor("it to stop", () => stateOf(pty.pid) === "T");
        expect(pty.written).toEndWith(giveBack);
        const from = pty.written.length;
        process.kill(pty.pid, "SIGCONT");
        await waitFor("it to go on", () => pty.written.slice(from).includes("BANS "));
        expect(pty.written.slice(from)).toContain("\u001b[?1049h");
        pty.type("q");
        expect(await pty.exitCode()).toBe(0);
      });
    });
  }

  test("without colours where NO_COLOR says so", async () => {
    await using pty = new Pty(argv(), 80, 24, { NO_COLOR: "1" });
    await shown(pty);
    expect(pty.written).not.toMatch(/\[\d+m/);
  });

  test("once, or into a pipe, it is plain", async () => {
    await using pty = new Pty(ttgate(["top", "--once", "--status", gate.statusAddress]));
    expect(await pty.exitCode()).toBe(0);
    await waitFor("the text", () => pty.written.includes("MOST CONNECTIONS"));
    expect(pty.written).not.toContain("\u001b");
    const piped = Bun.spawn(["sh", "-c", '"$@" | head -n 60', "sh", ...argv()], { stdout: "pipe", stderr: "pipe" });
    const [text, errors] = await Promise.all([piped.stdout.text(), piped.stderr.text()]);
    expect(text.match(/^BANS /gm)?.length).toBe(2);
    expect([text.includes("\u001b"), errors, await piped.exited]).toEqual([false, "", 0]);
  });

  test("a daemon that is gone is said, and asked again", async () => {
    await using other = await startGate();
    await using pty = new Pty(ttgate(["top", "--status", other.statusAddress, "--every", "200ms"]));
    await pty.shows("the bans", (lines) => lines.some((line) => line.startsWith("BANS 40")));
    other.child.signal("SIGKILL");
    await pty.shows("the news", (lines) => lines[0]?.includes("no answer: Cannot ask the gate") === true);
    await sleep(500);
    pty.type("q");
    expect(await pty.exitCode()).toBe(0);
  });
});
