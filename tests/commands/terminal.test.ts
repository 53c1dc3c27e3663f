// SPDX-License-Identifier: Apache-2.0
// What a real terminal is shown and a pipe is not: colour, and how far long work is.
import { expect, setDefaultTimeout, test } from "bun:test";
import { run } from "../harness/child.ts";
import { describeWith } from "../harness/needs.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { commandLine, Loopback } from "./bed.ts";

setDefaultTimeout(30_000);

const red = "\u001b[31mttgate:\u001b[0m";

function onTerminal(argv: readonly string[], options: Parameters<typeof run>[1] = {}) {
  const line = argv.map((word) => `'${word}'`).join(" ");
  return run(["script", "-qec", line, "/dev/null"], options);
}

test("colour is for terminals, and not where NO_COLOR is set", async () => {
  const argv = commandLine(["nosuch"]);
  const env = { TERM: "xterm" };
  expect((await onTerminal(argv, { env })).stdout).toStartWith(red);
  for (const plain of [{ NO_COLOR: "1" }, { TERM: "dumb" }]) {
    expect((await onTerminal(argv, { env: { ...env, ...plain } })).stdout).toStartWith("ttgate: ");
  }
  expect((await onTerminal(argv, { env: { ...env, NO_COLOR: "" } })).stdout).toStartWith(red);
  expect((await run(argv, { env })).stderr).toStartWith("ttgate: ");
});

describeWith("namespaces")("a long list", () => {
  test("shows on a terminal how far it is, and leaves nothing of that behind", async () => {
    using loopback = new Loopback();
    using directory = new TempDir();
    await using _gate = await loopback.gate(["-l", "5000"]);
    const list = Array.from({ length: 200_000 }, (_, n) => `10.${n >> 16}.${(n >> 8) & 255}.${n & 255}`).join("\n");
    const argv = commandLine(["ban", "--from", directory.write("list", list)]);
    const { stdout } = await onTerminal(argv, { namespace: loopback.name });
    const shown = stdout.split("\r\u001b[K");
    expect(shown.length).toBeGreaterThan(3);
    for (const text of shown.slice(1, -1)) expect(text).toMatch(/^Banned \d+$/);
    expect(shown.at(-1)).toBe("Banned 200000\r\n");
    const piped = await loopback.ttgate(["lift", "--from", "-"], { input: list });
    expect([piped.stdout, piped.stderr]).toEqual(["Lifted 200000\n", ""]);
  });
});
