// SPDX-License-Identifier: Apache-2.0
// A gate whose control group has room for few more tasks: it tells while it runs, and doctor does before a start.
import { expect, setDefaultTimeout, test } from "bun:test";
import { Child, run } from "../../harness/child.ts";
import { executable, ttgate } from "../../harness/gate.ts";
import { describeWith } from "../../harness/needs.ts";
import { freePort } from "../../harness/ports.ts";
import { noTaskGroups, TaskGroup } from "../../harness/task_group.ts";
import { waitFor } from "../../harness/wait.ts";

setDefaultTimeout(60_000);

const reason = noTaskGroups();
if (reason !== undefined) console.log(`Skipped: ${reason}`);

describeWith("executable", "apart")("a control group with few tasks", () => {
  test.skipIf(reason !== undefined)("is told of before the engine aborts for want of a thread", async () => {
    using group = new TaskGroup(20);
    const [port, upstream, status] = [await freePort(), await freePort(), await freePort()];
    const flags = ["-l", `127.0.0.1:${port}`, "-u", `127.0.0.1:${upstream}`, "-s", `127.0.0.1:${status}`];
    await using gate = new Child([...group.enter, executable, ...flags, "-c", "/dev/null"]);
    await gate.said(/Tasks run out: \d+ of the 20 /, 20_000);
    const notes = async () => {
      const reply = await fetch(`http://127.0.0.1:${status}/readyz`);
      return ((await reply.json()) as { notes?: string[] }).notes ?? [];
    };
    expect(await notes()).toContainEqual(expect.stringMatching(/^Tasks run out: .*TasksMax=/));
    group.limit = 1000;
    await waitFor("no such note", async () => (await notes()).length === 0, 20_000);
    expect(gate.stderr.match(/Tasks run out/g)?.length).toBe(1);
  });

  test.skipIf(reason !== undefined)("is found by doctor", async () => {
    using group = new TaskGroup(20);
    const { stdout } = await run([...group.enter, ...ttgate(["doctor", "-c", "/dev/null", "--json"])]);
    const { findings } = JSON.parse(stdout) as { findings: { name: string; state: string }[] };
    expect(findings).toContainEqual(expect.objectContaining({ name: "tasks", state: "warning" }));
  });
});
