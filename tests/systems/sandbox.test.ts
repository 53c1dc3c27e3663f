// SPDX-License-Identifier: Apache-2.0
// The sandbox of contrib/ttgate.service under a real systemd: breakout.c runs in the place of ttgate and tries to get
// out. Each attempt is made in a service without a sandbox too, where it must come further than inside: what the host
// forbids by itself proves nothing.
import { expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "../harness/child.ts";
import { Machine, noMachine } from "../harness/machine.ts";
import { Network } from "../harness/netns.ts";
import { TempDir } from "../harness/temp_dir.ts";

setDefaultTimeout(120_000);

const everything = {
  capabilities: "all",
  systemCalls:
    "bpf perf_event_open fanotify_init kexec_load open_by_handle_at syslog @clock @debug @keyring @module @raw-io @reboot @swap",
};

/** What no line of the unit can take away, because ttgate needs it or because it is root: docs/security.md says so. */
const possible = [
  "configure an interface",
  "execute from memory",
  "make code in memory",
  "pin and unpin BPF objects",
  "read a file of root elsewhere",
  "read memory of the kernel by BPF",
  "signal a process of root",
];

const dropIn = (victim: string) => `[Service]
Type=exec
ExecStartPre=
ExecStart=
ExecStart=/usr/local/sbin/breakout ${victim}
ExecReload=
Restart=no
RestartForceExitStatus=
WatchdogSec=0
StandardOutput=file:/var/inside
`;

/** The attempts by name: "done", or the name of the error. */
function outcomes(said: string): Readonly<Record<string, string>> {
  return Object.fromEntries(
    said
      .trim()
      .split("\n")
      .map((line) => line.split("\t")),
  );
}

const missing = noMachine();
if (missing !== undefined) console.log(`Skipped: ${missing}`);

test.skipIf(missing !== undefined)("who takes ttgate over in its service does not get out of it", async () => {
  using place = new TempDir();
  const source = join(import.meta.dirname, "breakout.c");
  const built = await run(["gcc", "-O2", "-static", "-o", place.file("breakout"), source], { timeoutMs: 60_000 });
  if (built.code !== 0) throw new Error(`Compiling "${source}": ${built.stderr}`);
  using network = new Network();
  await using machine = await Machine.boot(network.gate, { privileges: everything });
  await machine.install(place.file("breakout"), "/usr/local/sbin/breakout");
  machine.write("/etc/systemd/system/ttgate.service", readFileSync("contrib/ttgate.service", "utf8"));
  for (const path of ["/etc/ttgate/ttgate.toml", "/etc/ssh/ssh_host_key", "/root/secret", "/home/somebody/secret"]) {
    machine.write(path, "");
  }
  for (const path of ["/srv/of-root", "/srv/of-somebody"]) machine.write(path, "");
  await machine.sh("mkdir /run/ttgate /var/lib/ttgate && chmod 600 /srv/* && chown 1000 /srv/of-somebody");
  await machine.sh("systemd-run --unit=victim sleep infinity");
  const engine = `use IO::Socket::UNIX; $s = IO::Socket::UNIX->new(Local => "/run/engine.sock", Listen => 9); sleep`;
  await machine.sh(`systemd-run --unit=engine perl -e '${engine}'`);
  await machine.sh("timeout 20 sh -c 'until [ -S /run/engine.sock ]; do sleep 0.1; done'");
  const victim = (await machine.sh("systemctl show -P MainPID victim")).trim();
  machine.write("/etc/systemd/system/ttgate.service.d/breakout.conf", dropIn(victim));
  const outside = outcomes(await machine.sh(`systemd-run --quiet --wait --pipe /usr/local/sbin/breakout ${victim}`));
  await machine.sh("systemctl daemon-reload && systemctl start --wait ttgate.service");
  const inside = outcomes(await machine.sh("cat /var/inside"));

  const names = Object.keys(outside);
  expect(names.length).toBeGreaterThan(50);
  expect(Object.keys(inside)).toEqual(names);
  expect(names.filter((name) => inside[name] === "done").toSorted()).toEqual(possible);
  expect(names.filter((name) => inside[name] === outside[name]).toSorted()).toEqual(possible);
  const page = readFileSync("docs/security.md", "utf8");
  expect(possible.filter((name) => !page.includes(name))).toEqual([]);
});
