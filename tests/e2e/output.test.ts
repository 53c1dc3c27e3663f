// SPDX-License-Identifier: Apache-2.0
// What is printed arrives, or the exit code says that it did not.
import { expect, test } from "bun:test";
import { run } from "../harness/child.ts";
import { executable } from "../harness/gate.ts";
import { describeWith } from "../harness/needs.ts";

function shell(script: string) {
  return run(["bash", "-c", script, "bash", executable]);
}

describeWith("executable")("standard output", () => {
  test.each(["version", "--help", "config schema", "version --json"])(
    "of %s on a full disk is a runtime error",
    async (command) => {
      expect(await shell(`"$1" ${command} >/dev/full`)).toMatchObject({
        code: 3,
        stderr: expect.stringMatching(/^ttgate: Cannot write to standard output: .*ENOSPC.*\n$/),
      });
    },
  );

  test("whose reader has enough is no error", async () => {
    // More than a pipe holds.
    const script = 'set -o pipefail; for _ in 1 2 3; do "$1" config schema; done | { sleep 0.3; head -n 1; }';
    expect(await shell(script)).toMatchObject({ code: 0, stderr: "", stdout: "{\n" });
    expect(await shell('set -o pipefail; "$1" config schema | true')).toMatchObject({ code: 0, stderr: "" });
  });

  test("is complete where a pipe does not block and its reader is slow", async () => {
    const [whole, slow] = await Promise.all([
      shell('"$1" completion bash'),
      shell(`python3 -c 'import os, sys; os.set_blocking(1, False); os.execv(sys.argv[1], sys.argv[1:])' \\
        "$1" completion bash | { sleep 0.3; cat; }`),
    ]);
    expect(slow).toMatchObject({ code: 0, stderr: "", stdout: whole.stdout });
  });
});
