// SPDX-License-Identifier: Apache-2.0
// Configuration files that somebody got wrong: each is valid, or answered by one line that names the file and what
// is wrong in it; the executable says the same as the sources.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ttgate as command } from "../commands/fake_env.ts";
import { run } from "../harness/child.ts";
import { ttgate } from "../harness/gate.ts";
import { testWith } from "../harness/needs.ts";
import { createRandom, type Random } from "../harness/random.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { configText, mutatedConfig } from "./config_text.ts";
import { firstSeed, fuzz, fuzzSeconds, fuzzTimeoutMs } from "./fuzzer.ts";

setDefaultTimeout(fuzzTimeoutMs);

/** Every key with its default or an example. */
const shipped = readFileSync(join(import.meta.dirname, "../../contrib/ttgate.toml"), "utf8")
  .split("\n")
  .flatMap((line) => /^#?([a-z][a-z-]* = .+)$/.exec(line)?.slice(1) ?? []);

let directory: TempDir;
beforeAll(() => {
  directory = new TempDir();
});
afterAll(() => directory[Symbol.dispose]());

const input = (random: Random) => mutatedConfig(random, configText(random, shipped), configText(random, shipped));

interface Answer {
  readonly code: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

/** @throws Error where it is no answer as a person can use it. */
function requireUseful({ code, stdout, stderr }: Answer, file: string): void {
  const problem = (what: string) => new Error(`${what}: ${code} ${stdout}${stderr}`);
  if (code === 0) {
    if (stdout !== `${file} is valid\n`) throw problem("Not told as valid");
    return;
  }
  if (code !== 2 || stdout !== "") throw problem("Neither valid nor refused");
  const [line = "", ...more] = stderr.trimEnd().split("\n");
  if (more.length > 0) throw problem("More than a line");
  if (!line.startsWith("ttgate: ") || line.length > 20_000) throw problem("No such line");
  if (/undefined|\[object|TypeError|RangeError/.test(line)) throw problem("Not in words");
  const isPlaced = (line.includes(`"${file}": `) && / line \d/.test(line)) || /: (Read p|P)rofile "/.test(line);
  if (!isPlaced) throw problem("Without file and line");
}

test("a configuration is valid or refused with its place", async () => {
  const seen = { valid: 0, refused: 0 };
  await fuzz(
    {
      name: "config",
      next: input,
      async check(bytes) {
        const file = directory.write("ttgate.toml", bytes);
        const answer = await command(["config", "check", "-c", file]);
        requireUseful(answer, file);
        seen[answer.code === 0 ? "valid" : "refused"]++;
        if (answer.code === 0) await checkShown(file);
      },
    },
    400,
  );
  expect(Math.min(seen.valid, seen.refused)).toBeGreaterThan(20);
});

/** What is shown of a configuration is that configuration. */
async function checkShown(file: string): Promise<void> {
  const shown = await command(["config", "show", "-c", file]);
  if (shown.code !== 0) throw new Error(`Valid, and not shown: ${shown.stderr}`);
  const again = await command(["config", "show", "-c", directory.write("again.toml", shown.stdout), "--json"]);
  const before = await command(["config", "show", "-c", file, "--json"]);
  if (again.stdout !== before.stdout) throw new Error(`Shown is ${again.stdout}${again.stderr} of ${before.stdout}`);
}

testWith("executable")("the executable says the same", async () => {
  for (let seed = firstSeed; seed < firstSeed + 8 + fuzzSeconds; seed++) {
    const file = directory.write("ttgate.toml", input(createRandom(seed)));
    const args = ["config", "check", "-c", file];
    const [built, { progress: _, ...here }] = await Promise.all([run(ttgate(args)), command(args)]);
    expect({ seed, ...built }).toEqual({ seed, signal: undefined, ...here });
  }
});
