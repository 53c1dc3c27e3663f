// SPDX-License-Identifier: Apache-2.0
// Who reads the log stops, goes, or has a full disk: the gate goes on, and says later what was lost.
import { expect, setDefaultTimeout, test } from "bun:test";
import { Loopback } from "../commands/bed.ts";
import { run } from "../harness/child.ts";
import { type Form, ttgate } from "../harness/gate.ts";
import { describeWith } from "../harness/needs.ts";

setDefaultTimeout(90_000);

/** Runs the gate with its log at `to`, has it say some hundred lines, and asks whether it is alive. */
async function outcome(form: Form, to: string): Promise<string> {
  using loopback = new Loopback();
  const script = `
    set -m
    ${to}
    gate=$!
    for n in $(seq 300); do [[ $(curl -s 127.0.0.1:9500/healthz) ]] && break; sleep 0.1; done
    curl -s -o /dev/null -X POST -H "Authorization: Bearer t" "127.0.0.1:9500/reload?[1-60]"
    curl -s -m 10 127.0.0.1:9500/healthz
    kill $gate; wait $gate; echo " $?"
    if [[ $reader ]]; then kill $reader; fi`;
  const argv = ["bash", "-c", script, "bash", ...ttgate(["-c", "/dev/null", "-u", "127.0.0.1:9"], form)];
  const { stdout } = await run(argv, { namespace: loopback.name, env: { TTGATE_TOKEN: "t" } });
  return stdout;
}

/** Reads nothing from a pipe that holds 4 KiB. */
const stopped = `exec 9> >(exec python3 -c 'import fcntl, time; fcntl.fcntl(0, 1031, 4096); time.sleep(60)')
    reader=$!
    "$@" 2>&9 9>&- &
    exec 9>&-`;

for (const [form, need] of [
  ["executable", "executable"],
  ["deno", "deno"],
] as const) {
  describeWith("namespaces", need)(`the log of the ${form}`, () => {
    test.each([
      ["stops", stopped],
      ["goes", `"$@" 2> >(head -n 1 >/dev/null) &`],
      ["has a full disk", `"$@" 2>/dev/full &`],
      ["was never there", `"$@" 2>&- &`],
    ])("is waited for by nobody when its reader %s", async (_what, to) => {
      expect(await outcome(form, to)).toBe('{"alive":true} 0\n');
    });
  });
}
