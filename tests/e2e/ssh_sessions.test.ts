// SPDX-License-Identifier: Apache-2.0
// Whoever is logged in by SSH cannot ban themselves by a slip of the finger, however they came: to another port than
// sshd's usual one, by a gate in front of it, with SSH_CONNECTION taken away as sudo does. With the real sshd.
import { expect, setDefaultTimeout } from "bun:test";
import { existsSync, mkdirSync, rmdirSync } from "node:fs";
import { Child, type Completed, run } from "../harness/child.ts";
import { BlockMap, RunningGate, ttgate } from "../harness/gate.ts";
import { testWith } from "../harness/needs.ts";
import { Network } from "../harness/netns.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { waitFor } from "../harness/wait.ts";

setDefaultTimeout(60_000);

/** Its path is compiled into sshd. */
const separation = "/run/sshd";

interface Site extends AsyncDisposable {
  readonly network: Network;
  /** Runs a command on the gate's host, in a session from the client's first address. */
  login(port: number, command: string): Promise<Completed>;
  gate(...args: readonly string[]): Promise<RunningGate>;
}

async function site(sshdAt: string): Promise<Site> {
  await using stack = new AsyncDisposableStack();
  const network = stack.use(new Network({ clients: 2 }));
  const directory = stack.use(new TempDir());
  const map = stack.use(new BlockMap());
  const [hostKey, userKey] = [directory.file("host"), directory.file("user")];
  for (const key of [hostKey, userKey]) await run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key]);
  if (!existsSync(separation)) {
    mkdirSync(separation, { mode: 0o755 });
    stack.defer(() => rmdirSync(separation));
  }
  const config = `ListenAddress ${sshdAt}
HostKey ${hostKey}
AuthorizedKeysFile ${userKey}.pub
StrictModes no
UsePAM no
PidFile none
`;
  const sshd = ["/usr/sbin/sshd", "-D", "-e", "-f", directory.write("sshd_config", config)];
  const server = stack.use(new Child(sshd, { namespace: network.gate }));
  await server.said("Server listening");
  const options = ["UserKnownHostsFile=/dev/null", "StrictHostKeyChecking=no", "LogLevel=ERROR", "ConnectTimeout=5"];
  const ssh = ["ssh", ...options.flatMap((option) => ["-o", option]), "-i", userKey, "-b", network.clientIpv4(1)];
  const client = { namespace: network.client };
  const owned = stack.move();
  return {
    network,
    login: (port, command) => run([...ssh, "-p", String(port), `root@${network.gateIpv4}`, command], client),
    async gate(...args) {
      const gate = await RunningGate.start(["-B", map.name, ...args], { namespace: network.gate });
      return owned.use(gate);
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

const needs = ["namespaces", "executable", { program: "sshd" }, { program: "ssh" }] as const;

/** One after the other, with what each answered; the last shows that the session is still there. */
function banOf(address: string, gate: RunningGate): string {
  return `${ttgate(["ban", address, "--status", gate.statusAddress]).join(" ")} 2>&1; echo still here`;
}

testWith(...needs)("a session at another port, with --scope host", async () => {
  await using bed = await site("0.0.0.0:2222");
  const gate = await bed.gate("--scope", "host");
  const own = bed.network.clientIpv4(1);
  const refused = `ttgate: Cannot ban "${own}": ${own} is never banned (has an SSH session here)\nstill here\n`;
  expect(await bed.login(2222, banOf(own, gate))).toMatchObject({ stdout: refused, code: 0 });
  const asBySudo = `env --unset=SSH_CONNECTION sh -c '${banOf(own, gate)}'; echo and here`;
  expect(await bed.login(2222, asBySudo)).toMatchObject({ stdout: `${refused}and here\n`, code: 0 });
  const network = own.replace(/\.\d+$/, ".0/24");
  expect((await bed.login(2222, banOf(network, gate))).stdout).toContain(`${own} is never banned`);
  // Others are, and so is this one once nobody is logged in any more.
  expect((await bed.login(2222, banOf(bed.network.clientIpv4(2), gate))).stdout).toContain("Banned");
  await waitFor(`a ban of ${own}`, async () => (await gate.command("ban", own)).code === 0, 30_000);
});

testWith(...needs)("a session through a gate in front of sshd", async () => {
  await using bed = await site("127.0.0.1:2223");
  const gate = await bed.gate("-l", "22", "-p", "ssh", "-u", "127.0.0.1:2223");
  const own = bed.network.clientIpv4(1);
  const { stdout } = await bed.login(22, banOf(own, gate));
  expect(stdout).toBe(`ttgate: Cannot ban "${own}": ${own} is never banned (has an SSH session here)\nstill here\n`);
});

testWith(...needs)("a session past a gate that judges sshd's own port", async () => {
  await using bed = await site("0.0.0.0:22");
  const gate = await bed.gate("--mode", "inline", "-l", "22", "-p", "ssh");
  const own = bed.network.clientIpv4(1);
  const { stdout } = await bed.login(22, banOf(own, gate));
  expect(stdout).toContain(`${own} is never banned (has an SSH session here)`);
  expect(stdout).toEndWith("still here\n");
});
