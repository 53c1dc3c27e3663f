// SPDX-License-Identifier: Apache-2.0
// scripts/apart.sh on hosts of every kind; each is made inside the namespaces of this test file, so that the
// real host stays as it is.
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { run } from "../harness/child.ts";
import { testWith } from "../harness/needs.ts";

const apart = resolve(import.meta.dirname, "../../scripts/apart.sh");
const apartTest = testWith("apart");

const bpffs = "/sys/fs/bpf";
const directories = "/run/ttgate /run/netns /etc/ttgate";

/** Makes a host by `before`, and shows there what `inside` says apart from it and `after` says afterwards. */
async function onHost(before: string, inside: string, after = "true") {
  const empty = `for directory in ${directories}; do mount -t tmpfs tmpfs "$directory"; done`;
  const script = `${empty}\n${before}\n"$0" bash -ec '${inside}'\n${after}`;
  const fresh = ["unshare", "--mount", "--net", "--propagation", "private", "--"];
  const { code, stdout, stderr } = await run([...fresh, "bash", "--norc", "-euc", script, apart]);
  return { code, lines: stdout.trim().split("\n"), stderr };
}

const hosts = {
  "bpffs is mounted 1777": `mount -t bpf -o mode=1777 bpf ${bpffs}`,
  "bpffs is mounted 0700": `mount -t bpf -o mode=700 bpf ${bpffs}`,
  "bpffs is not mounted": `umount --lazy --recursive ${bpffs}`,
  "there are a configuration, a gate and a network": `echo broken >/etc/ttgate/ttgate.toml
    echo broken >/run/ttgate/1.json
    ip netns add other`,
  "there are none of the directories": "mount -t tmpfs tmpfs /run; mount -t tmpfs tmpfs /etc",
};

apartTest.each(Object.entries(hosts))("everything is its own and empty where %s", async (_, before) => {
  const look = `ls -A ${directories}; stat -f -c %T ${bpffs}; stat -c %a ${bpffs}; bpftool map show pinned ${bpffs}/m 2>&1 | wc -l`;
  const { code, lines, stderr } = await onHost(before, look);
  expect([code, stderr]).toEqual([0, ""]);
  expect(lines).toEqual(["/etc/ttgate:", "", "/run/netns:", "", "/run/ttgate:", "bpf_fs", "1700", "1"]);
});

apartTest("what is made inside is not on the host, and its network is loopback alone", async () => {
  const make = `touch /etc/ttgate/ttgate.toml /run/ttgate/1.json
    ip netns add mine
    mkdir ${bpffs}/mine
    ls /sys/fs/bpf | grep mine
    ip -br link | wc -l`;
  const { code, lines, stderr } = await onHost(
    "true",
    make,
    `ls -A ${directories} ${bpffs} | grep -c -e mine -e toml -e json`,
  );
  expect([code, lines, stderr]).toEqual([1, ["mine", "1", "0"], ""]);
});

apartTest("the command's exit code and signals are its own", async () => {
  expect((await run([apart, "bash", "-c", "exit 7"])).code).toBe(7);
  expect((await run([apart, "bash", "-c", "kill -TERM $$"])).signal).toBe("SIGTERM");
  expect((await run([apart, "printenv", "TTGATE_APART"])).stdout).toBe("yes\n");
});

test("who is not root is told", async () => {
  const asNobody = ["setpriv", "--reuid=65534", "--clear-groups", "--", "bash", "-s", "true"];
  const { code, stderr } = await run(asNobody, { input: readFileSync(apart) });
  expect([code === 0, stderr]).toEqual([false, expect.stringContaining("unshare")]);
});
