// SPDX-License-Identifier: Apache-2.0
// The Debian package in a fresh Debian with systemd: a guarded port within three commands, an upgrade that keeps
// bans and configuration, and nothing that is left behind by removal and purge. One story in the order of its life.
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { globSync, linkSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { steps } from "../docs/pages.ts";
import { run } from "../harness/child.ts";
import { Machine, noMachine } from "../harness/machine.ts";
import { Network } from "../harness/netns.ts";
import { probeFrom } from "../harness/probe.ts";
import { type StandInServer, startClient, startServer } from "../harness/standin.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { waitFor } from "../harness/wait.ts";

setDefaultTimeout(120_000);

const architecture = process.arch === "arm64" ? "arm64" : "amd64";
const built = globSync(`dist/ttgate_*_${architecture}.deb`).sort();
const missing = built.length === 0 ? 'there is no package under "dist": run make deb' : noMachine();
if (missing !== undefined) console.log(`Skipped: ${missing}`);

const stranger = new TextEncoder().encode("GET / HTTP/1.1\r\nHost: example.org\r\n\r\n");

interface Ban {
  readonly source: string;
  /** Read from the state directory it may be a millisecond off. */
  readonly until: string;
}

describe.skipIf(missing !== undefined)("the package", () => {
  let stack: AsyncDisposableStack;
  let share: TempDir;
  let network: Network;
  let machine: Machine;
  let server: StandInServer;
  let banned: Ban;

  beforeAll(async () => {
    stack = new AsyncDisposableStack();
    share = stack.use(new TempDir());
    linkOrCopy(built.at(-1) ?? "", share.file("ttgate.deb"));
    await repack(share, "newer.deb", "99");
    network = stack.use(new Network());
    server = stack.use(await startServer(network.gate, "--port", "6001"));
    machine = stack.use(await Machine.boot(network.gate, { share: share.path }));
  });
  afterAll(() => stack.disposeAsync());

  const visit = (client: number) => {
    const from = network.clientIpv4(client);
    return probeFrom(network.client, { host: network.gateIpv4, port: 5000, from, send: [stranger], waitMs: 2000 });
  };
  const bans = async (): Promise<readonly Ban[]> => {
    const { bans: all } = JSON.parse(await machine.sh("ttgate bans --json")) as { readonly bans: readonly Ban[] };
    return all.map(({ source, until }) => ({ source, until }));
  };
  const hasTheBan = async () => {
    const [kept, ...others] = await bans();
    expect([kept?.source, others]).toEqual([banned.source, []]);
    expect(Math.abs(Date.parse(kept?.until ?? "") - Date.parse(banned.until))).toBeLessThan(1000);
  };
  const listens = () => waitFor("readiness", async () => (await machine.run("ttgate", "status")).code === 0, 30_000);
  const friendIsServed = async () => {
    const address = ["--host", network.gateIpv4, "--from", network.clientIpv4(1), "--port", "5000"];
    await using friend = await startClient(network.client, ...address);
    await friend.until("an exchange", ({ packets }) => packets > 0, 20_000);
    expect((await friend.stop()).failures).toBe(0);
  };

  test("three commands without an editor, in less than a minute: a friend is served, a stranger is blocked", async () => {
    const startMs = performance.now();
    await machine.sh("apt-get install -y /root/share/ttgate.deb");
    await machine.sh(`echo 'upstream = "127.0.0.1:6001"' >>/etc/ttgate/ttgate.toml`);
    await machine.sh("systemctl enable --now ttgate");
    await listens();
    await friendIsServed();
    await visit(2);
    [banned] = (await waitFor("the ban", async () => {
      const all = await bans();
      return all.length > 0 && all;
    })) as [Ban];
    expect(banned.source).toStartWith(network.clientIpv4(2));
    expect((await visit(2)).outcome).toBe("no answer");
    const seconds = (performance.now() - startMs) / 1000;
    console.log(`From a fresh Debian to a guarded port: ${seconds.toFixed(1)} s`);
    expect(seconds).toBeLessThan(60);
    expect((await server.until("a friend", ({ packets }) => packets > 0)).strangers).toBe(0);
  });

  test("what it brings: manual pages, completions, a configuration that is valid, licences", async () => {
    const files = (await machine.sh("dpkg -L ttgate")).split("\n");
    expect(files).toEqual(
      expect.arrayContaining([
        "/usr/sbin/ttgate",
        "/etc/ttgate/ttgate.toml",
        "/usr/share/bash-completion/completions/ttgate",
        "/usr/share/zsh/vendor-completions/_ttgate",
        "/usr/share/fish/vendor_completions.d/ttgate.fish",
      ]),
    );
    await machine.sh("dpkg --verify ttgate");
    // A page's links lead to files that are there, but for those to the sources.
    const links = `grep -oE '\\]\\([^):#]+' "$page" | cut -c 3- | grep -vE '^(src/|https?$)'`;
    const broken = `for link in $(${links}); do [ -e "$(dirname "$page")/$link" ] || echo "$page: $link"; done`;
    const pages = "/usr/share/doc/ttgate";
    expect(await machine.sh(`cd ${pages} && for page in *.md docs/*.md; do ${broken}; done`)).toBe("");
    await machine.sh(`test -e ${pages}/docs/images/page.png -a -e ${pages}/contrib/fail2ban/action.d/ttgate.conf`);
    expect(await machine.sh("ttgate config check")).toBe("/etc/ttgate/ttgate.toml is valid\n");
    expect(await machine.sh("stat -c %a /var/lib/ttgate /run/ttgate")).toBe("700\n700\n");
    expect(await machine.sh("ttgate licences")).toContain("JavaScriptCore");
  });

  test("a token of one's own, as docs/install.md has it, lets another user change bans after a restart", async () => {
    const make = steps("docs/install.md").find(
      (step) => step.kind === "run" && step.command.includes("TTGATE_TOKEN=$("),
    );
    const [, unit = ""] = /^```ini\n(.*?)^```$/ms.exec(readFileSync("docs/install.md", "utf8")) ?? [];
    const place = "/etc/systemd/system/ttgate.service.d";
    await machine.sh(make?.kind === "run" ? make.command : "false");
    await machine.sh(`mkdir ${place} && printf '%s' '${unit}' >${place}/token.conf && systemctl daemon-reload`);
    await machine.sh("systemctl restart ttgate");
    await listens();
    const asNobody = (token: string, command: string) =>
      machine.sh(`TTGATE_TOKEN=${token} setpriv --reuid=65534 --clear-groups ${command}`);
    const token = (await machine.sh("stat -c %a /etc/ttgate/token && cut -d = -f 2 /etc/ttgate/token")).split("\n");
    expect(token).toEqual(["600", expect.stringMatching(/^[0-9a-f]{64}$/), ""]);
    await expect(asNobody("another", "ttgate ban 203.0.113.9")).rejects.toThrow("Not allowed by the gate");
    expect(await asNobody(token[1] ?? "", "ttgate ban 203.0.113.9")).toStartWith("Banned 203.0.113.9");
    expect(await asNobody(token[1] ?? "", "ttgate lift 203.0.113.9")).toBe("Lifted 203.0.113.9\n");
    await machine.sh(`rm -r ${place} /etc/ttgate/token && systemctl daemon-reload && systemctl restart ttgate`);
    await listens();
  });

  test("an upgrade runs the new version, with the bans, the configuration and the connections of the old one", async () => {
    const before = await machine.sh("systemctl show -p MainPID ttgate");
    const to = ["--host", network.gateIpv4, "--from", network.clientIpv4(1), "--port", "5000"];
    await using friend = await startClient(network.client, ...to, "--rate", "20", "--reconnect", "100000");
    await friend.until("an exchange", ({ packets }) => packets > 0, 20_000);
    await machine.sh("apt-get install -y /root/share/newer.deb");
    expect(await machine.sh("dpkg-query --show ttgate | cut -f 2")).toBe("99\n");
    await listens();
    expect(await machine.sh("systemctl show -p MainPID ttgate")).not.toBe(before);
    await hasTheBan();
    expect((await visit(2)).outcome).toBe("no answer");
    const { packets } = await friend.until("a report", () => true);
    await friend.until("more", (report) => report.packets > packets + 20);
    expect((await friend.stop()).failures).toBe(0);
    await friendIsServed();
  });

  test("removed, it leaves nothing in the kernel, and the bans and the configuration where they are", async () => {
    expect(readdirSync("/sys/fs/bpf").filter((name) => name.startsWith("ttgate"))).not.toEqual([]);
    await machine.sh("apt-get remove -y ttgate");
    expect(readdirSync("/sys/fs/bpf").filter((name) => name.startsWith("ttgate"))).toEqual([]);
    expect(await machine.sh("ip -details link show")).not.toContain("xdp");
    expect((await visit(2)).outcome).toBe("refused");
    expect(await machine.sh("ls /usr/sbin/ttgate 2>/dev/null || pgrep ttgate || echo gone")).toBe("gone\n");
    expect(await machine.sh("ls /etc/ttgate /var/lib/ttgate")).toMatch(/ttgate\.toml\n.*bans/s);
  });

  test("installed again, it has them", async () => {
    await machine.sh("apt-get install -y /root/share/ttgate.deb && systemctl enable --now ttgate");
    await listens();
    await hasTheBan();
  });

  test("purged while it runs, it leaves nothing at all", async () => {
    await machine.sh("apt-get purge -y ttgate");
    expect(readdirSync("/sys/fs/bpf").filter((name) => name.startsWith("ttgate"))).toEqual([]);
    const except = "-path /root/share -prune -o -path /proc -prune -o -path /sys -prune -o";
    expect(await machine.sh(`find / ${except} -name '*ttgate*' -print`)).toBe("");
    expect(await machine.sh("grep -rl ttgate /etc /usr/lib/systemd /var/lib/systemd || true")).toBe("");
    expect((await machine.run("systemctl", "is-enabled", "ttgate.service")).stdout).not.toContain("enabled");
  });
});

describe.skipIf(built.length === 0)("how it is made", () => {
  test("lintian finds nothing", async () => {
    const lintian = ["lintian", "--allow-root", "--fail-on=error,warning", "--display-info"];
    const hidden = "package-supports-alternative-init-but-no-init.d-script,spelling-error-in-binary";
    const { code, stdout, stderr } = await run([...lintian, `--suppress-tags=${hidden}`, built.at(-1) ?? ""], {
      timeoutMs: 60_000,
    });
    expect([code, stdout.replaceAll(/^N:.*\n/gm, ""), stderr]).toEqual([0, "", ""]);
  });
});

async function made(argv: readonly string[]): Promise<void> {
  const { code, stderr } = await run(argv, { timeoutMs: 60_000 });
  if (code !== 0) throw new Error(`"${argv.join(" ")}" ended with ${code}: ${stderr}`);
}

function linkOrCopy(from: string, to: string): void {
  try {
    linkSync(from, to);
  } catch {
    writeFileSync(to, readFileSync(from));
  }
}

/** The same package as another version. */
async function repack(share: TempDir, name: string, version: string): Promise<void> {
  const tree = share.file("tree");
  await made(["dpkg-deb", "-R", share.file("ttgate.deb"), tree]);
  const control = join(tree, "DEBIAN/control");
  writeFileSync(control, readFileSync(control, "utf8").replace(/^Version: .*$/m, `Version: ${version}`));
  await made(["dpkg-deb", "-Znone", "--root-owner-group", "-b", tree, share.file(name)]);
}
