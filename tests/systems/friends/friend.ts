// SPDX-License-Identifier: Apache-2.0
// A real server of a built-in profile's protocol with the clients that people use for it.
import { chmodSync, chownSync } from "node:fs";
import { Child, type ChildOptions, run } from "../../harness/child.ts";
import type { Network } from "../../harness/netns.ts";
import type { TempDir } from "../../harness/temp_dir.ts";
import { sleep, waitFor } from "../../harness/wait.ts";

/** Where the servers listen: at every address, for both modes. */
export const serverPort = 5001;

export interface Site {
  readonly network: Network;
  readonly directory: TempDir;
  /** A key of its own and a certificate for it. */
  readonly key: string;
  readonly certificate: string;
}

/** Where a client finds the server: at the gate, or at the guarded port. */
export interface Visit extends Site {
  readonly host: string;
  readonly port: number;
}

export interface Client {
  readonly name: string;
  /** @throws Error when it was not served. */
  visit(at: Visit): Promise<void>;
}

export interface Friend {
  readonly profile: string;
  readonly server: string;
  readonly programs: readonly string[];
  /** What keeps the server running: its processes, ended last to first. */
  start(site: Site, stack: AsyncDisposableStack): Promise<void>;
  readonly clients: readonly Client[];
  /** Sent by somebody who speaks another protocol, and that protocol's name. */
  readonly stranger?: { readonly text: string; readonly protocol: string };
}

/** Starts a server in the namespace and waits until it listens. */
export async function serve(
  site: Site,
  stack: AsyncDisposableStack,
  argv: readonly string[],
  options: ChildOptions & { readonly port?: number } = {},
): Promise<Child> {
  const { port = serverPort, ...rest } = options;
  const child = stack.use(new Child(argv, { namespace: site.network.gate, cwd: site.directory.path, ...rest }));
  const listening = ["ss", "-Hltn", `sport = :${port}`];
  await waitFor(
    `"${argv.join(" ")}" to listen`,
    async () => {
      if (child.exit !== undefined) throw new Error(`It ended: ${child.stdout}${child.stderr}`);
      return (await run(listening, { namespace: site.network.gate })).stdout !== "";
    },
    30_000,
  );
  return child;
}

/** What is run once before a server starts. @throws Error with what it said. */
export async function prepare(argv: readonly string[], options: ChildOptions = {}): Promise<void> {
  const { code, stdout, stderr } = await run(argv, { ...options, timeoutMs: 60_000 });
  if (code !== 0) throw new Error(`"${argv.join(" ")}" failed: ${stdout}${stderr}`);
}

/** A client that is a program: it ends well, and says what is wanted. */
export function client(
  name: string,
  argv: (at: Visit) => readonly string[],
  wanted: RegExp,
  options: ChildOptions & { readonly codes?: readonly number[] } = {},
): Client {
  const { codes = [0], ...rest } = options;
  return {
    name,
    visit: async (at) => {
      const where = { namespace: at.network.client, cwd: at.directory.path };
      const { code, stdout, stderr } = await run(argv(at), { ...where, ...rest, timeoutMs: 30_000 });
      const said = `${stdout}${stderr}`;
      if (codes.includes(code ?? -1) && wanted.test(said)) return;
      throw new Error(`"${argv(at).join(" ")}" ended with ${code} and said: ${said.slice(-2000)}`);
    },
  };
}

/** A client that runs until it was served. */
export function watcher(name: string, argv: (at: Visit) => readonly string[], wanted: RegExp): Client {
  return {
    name,
    visit: async (at) => {
      await using child = new Child(argv(at), { namespace: at.network.client, cwd: at.directory.path });
      await child.said(wanted, 30_000);
    },
  };
}

/** HAProxy as a health checker: it tells when a server comes up, and of every check that failed. */
export function healthCheck(name: string, option: string, server = ""): Client {
  return {
    name,
    visit: async (at) => {
      const config = at.directory.write(
        `haproxy-${at.port}.cfg`,
        `global
  log stdout format raw local0
defaults
  mode ${option.includes("http") ? "http" : "tcp"}
  log global
  option log-health-checks
  timeout connect 5s
  timeout server 5s
  timeout client 5s
  timeout check 5s
frontend nobody
  bind 127.0.0.1:1
  default_backend checked
backend checked
  ${option}
  server gate ${at.host}:${at.port} check inter 200ms fall 1 ${server}
`,
      );
      await using child = new Child(["haproxy", "-db", "-f", config], { namespace: at.network.client });
      await child.said(/Health check for server checked\/gate succeeded/, 30_000);
      await sleep(checksMs);
      if (/failed/.test(child.stdout)) throw new Error(child.stdout);
    },
  };
}

/** Some checks in a row. */
const checksMs = 1000;

/** Bytes as they come, and the first answer. */
export function plain(name: string, text: string, wanted: RegExp): Client {
  return client(name, ({ host, port }) => ["nc", "-w", "2", host, String(port)], wanted, { input: text });
}

/** A directory of the site that a server without privileges may write to. */
export async function ownedBy(site: Site, user: string): Promise<readonly [number, number]> {
  const { stdout } = await run(["getent", "passwd", user]);
  const [, , uid = "0", gid = "0"] = stdout.split(":");
  chmodSync(site.directory.path, 0o755);
  chownSync(site.directory.path, Number(uid), Number(gid));
  return [Number(uid), Number(gid)];
}

export const as = (user: string): string[] => ["setpriv", `--reuid=${user}`, `--regid=${user}`, "--clear-groups"];
