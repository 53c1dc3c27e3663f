// SPDX-License-Identifier: Apache-2.0
// The unit under a systemd that knows Type=notify-reload (253), which would carry out a reload itself beside ExecReload=:
// one reload is one, and over when it is carried out; one that is refused says why, and an upgrade is not a death.
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { executable } from "../harness/gate.ts";
import { Machine, noMachine } from "../harness/machine.ts";
import { Network } from "../harness/netns.ts";
import { waitFor } from "../harness/wait.ts";

setDefaultTimeout(120_000);

const config = "/etc/ttgate/ttgate.toml";
const program = "/usr/local/sbin/ttgate";

const missing = noMachine("trixie");
if (missing !== undefined) console.log(`Skipped: ${missing}`);

describe.skipIf(missing !== undefined)("the service under a newer systemd", () => {
  const stack = new AsyncDisposableStack();
  let network: Network;
  let machine: Machine;

  beforeAll(async () => {
    network = stack.use(new Network());
    machine = stack.use(await Machine.boot(network.gate, { release: "trixie" }));
    await machine.install(executable, program);
    machine.write("/etc/systemd/system/ttgate.service", readFileSync("contrib/ttgate.service", "utf8"));
    configure();
    await machine.sh("systemctl daemon-reload && systemctl start ttgate.service");
  });
  afterAll(() => stack.disposeAsync());

  function configure(...lines: readonly string[]): void {
    machine.write(config, [`block-map = "ttgate"`, `interface = "${network.device}"`, ...lines].join("\n"));
  }

  async function reloads(): Promise<number> {
    const lines = await machine.sh("journalctl --no-pager -o cat -u ttgate.service");
    return lines.match(/Profile tapetrack was read again/g)?.length ?? 0;
  }

  async function shown(property: string): Promise<string> {
    return (await machine.sh(`systemctl show -P ${property} ttgate.service`)).trim();
  }

  test("knows every line of the unit", async () => {
    expect(await machine.sh("journalctl --no-pager -o cat --grep 'ttgate.service:[0-9]+:' || true")).toBe("");
  });

  test("a reload is over when it is carried out", async () => {
    const pid = await shown("MainPID");
    configure("max-per-source = 7");
    await machine.sh("systemctl reload ttgate.service");
    expect(await reloads()).toBe(1);
    expect(await machine.sh(`${program} config show --json`)).toContain(`"max-per-source":7`);
    expect([await shown("SubState"), await shown("MainPID")]).toEqual(["running", pid]);
    // Asked for by others, it is one too, and systemd is told that it is over.
    await machine.sh(`${program} reload && kill -HUP ${pid}`);
    await waitFor("the third", async () => (await reloads()) === 3 && (await shown("SubState")) === "running");
  });

  test("one that is refused says why, and the gate goes on", async () => {
    const pid = await shown("MainPID");
    configure(`timeout2 = "soon"`);
    expect((await machine.run("systemctl", "reload", "ttgate.service")).code).not.toBe(0);
    const { stdout } = await machine.run("systemctl", "status", "--no-pager", "ttgate.service");
    expect(stdout).toContain(`Unknown key "timeout2"`);
    expect([await shown("SubState"), await shown("MainPID")]).toEqual(["running", pid]);
    configure();
  });

  test("an upgrade hands over to the next main process", async () => {
    const pid = await shown("MainPID");
    await machine.install(executable, program);
    await machine.sh("systemctl reload ttgate.service");
    await waitFor("the end of the one before", async () => (await machine.run("kill", "-0", pid)).code !== 0);
    const next = await shown("MainPID");
    expect([next === pid, await shown("SubState")]).toEqual([false, "running"]);
    expect(await machine.sh(`${program} status`)).toContain(`pid ${next}`);
  });
});
