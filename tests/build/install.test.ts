// SPDX-License-Identifier: Apache-2.0
// What make install puts where, that it works there, and that make uninstall takes all of it away again.
import { expect, test } from "bun:test";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { run } from "../harness/child.ts";
import { TempDir } from "../harness/temp_dir.ts";

async function make(target: string, root: string): Promise<void> {
  const { code, stdout, stderr } = await run(["make", target, `DESTDIR=${root}`, "PREFIX=/opt/gate"]);
  if (code !== 0) throw new Error(`make ${target}: ${stdout}${stderr}`);
}

test("make install and make uninstall", async () => {
  using root = new TempDir();
  await make("install", root.path);
  const executable = root.file("opt/gate/sbin/ttgate");
  const unit = root.file("opt/gate/lib/systemd/system/ttgate.service");
  expect(
    readdirSync(root.path, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile()),
  ).toHaveLength(4);
  expect(statSync(executable).mode & 0o7777).toBe(0o755);
  expect(statSync(unit).mode & 0o7777).toBe(0o644);
  expect(readFileSync(executable).equals(readFileSync("ttgate"))).toBe(true);
  expect((await run([executable, "version"])).stdout).toStartWith("ttgate ");
  expect(readFileSync(unit, "utf8")).toContain("\nExecStart=/opt/gate/sbin/ttgate run --keep\n");

  await make("uninstall", root.path);
  expect(readdirSync(root.path, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())).toEqual(
    [],
  );
});

const systemd = Bun.which("systemd-analyze");
if (systemd === null) console.log("Skipped: no systemd-analyze on this host to verify contrib/ttgate.service with");

test.skipIf(systemd === null)("systemd finds no fault with the unit", async () => {
  using root = new TempDir();
  await make("install", root.path);
  const unit = readFileSync(root.file("opt/gate/lib/systemd/system/ttgate.service"), "utf8");
  const path = root.write("ttgate.service", unit.replaceAll("/opt/gate", `${root.path}/opt/gate`));
  const sockets = ["ttgate.socket", "ttgate-status.socket"].map((name) =>
    root.file(`opt/gate/lib/systemd/system/${name}`),
  );
  const { code, stdout, stderr } = await run(["systemd-analyze", "verify", "--man=no", path, ...sockets]);
  expect(`${stdout}${stderr}`).toBe("");
  expect(code).toBe(0);
  const broken = root.write("broken.service", unit.replace("ProtectSystem=strict", "ProtectSystem=strictly"));
  expect((await run(["systemd-analyze", "verify", "--man=no", broken])).stderr).toContain("strictly");
});
