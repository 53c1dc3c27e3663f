// SPDX-License-Identifier: Apache-2.0
// A real redis-server for one test: on loopback, in a directory of its own, with nothing saved. It can be frozen,
// killed and started again empty, and reached through a wire that can be cut.
import { connect, createServer, type Server, type Socket } from "node:net";
import { Child, run } from "./child.ts";
import { freePort, listening } from "./ports.ts";
import { TempDir } from "./temp_dir.ts";

export class RedisServer implements AsyncDisposable {
  readonly port: number;
  readonly directory = new TempDir();
  readonly #args: readonly string[];
  readonly #env: Readonly<Record<string, string>>;
  #child: Child | undefined;

  private constructor(port: number, args: readonly string[], env: Readonly<Record<string, string>>) {
    this.port = port;
    this.#args = args;
    this.#env = env;
  }

  /** @param args of redis-server, beside what makes it one of a test. */
  static start(...args: readonly string[]): Promise<RedisServer> {
    return RedisServer.startWith({}, ...args);
  }

  static async startWith(env: Readonly<Record<string, string>>, ...args: readonly string[]): Promise<RedisServer> {
    const server = new RedisServer(await freePort(), args, env);
    await server.start();
    return server;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  get log(): string {
    return this.#child?.stdout ?? "";
  }

  async start(): Promise<void> {
    const own = ["--port", String(this.port), "--bind", "127.0.0.1", "--save", "", "--dir", this.directory.path];
    this.#child = new Child(["redis-server", ...own, "--logfile", "", ...this.#args], {
      env: { ...this.#env },
    });
    await listening(this.port);
  }

  freeze(): void {
    this.#child?.signal("SIGSTOP");
  }

  thaw(): void {
    this.#child?.signal("SIGCONT");
  }

  /** As a loss of power. */
  async kill(): Promise<void> {
    this.#child?.signal("SIGKILL");
    await this.#child?.exited;
  }

  /** `redis-cli ARGS`. @throws Error with what it said when it fails. */
  cli(...args: readonly string[]): Promise<string> {
    return redisCli(this.port, ...args);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.thaw();
    await this.kill();
    this.directory[Symbol.dispose]();
  }
}

export async function redisCli(port: number, ...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await run(["redis-cli", "-e", "-p", String(port), ...args]);
  if (code !== 0) throw new Error(`redis-cli ${args.join(" ")}: ${stdout}${stderr}`);
  return stdout.trim();
}

/** A wire to a port of loopback. Cut, nothing goes through, and nobody is told; mended, what is new does. It may lie. */
export class Wire implements Disposable {
  readonly port: number;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #near = new Set<Socket>();
  #isCut = false;

  private constructor(server: Server, port: number, to: number) {
    this.port = port;
    this.#server = server;
    server.on("connection", (near) => this.#join(near, to));
  }

  static async to(to: number): Promise<Wire> {
    const port = await freePort();
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
    return new Wire(server, port, to);
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  cut(): void {
    this.#isCut = true;
  }

  mend(): void {
    this.#isCut = false;
    // What was open when it was cut does not come back to life.
    for (const socket of this.#sockets) socket.destroy();
  }

  /** In the place of who is at its other end, on each connection. */
  say(text: string): void {
    for (const socket of this.#near) socket.write(text);
  }

  [Symbol.dispose](): void {
    this.mend();
    this.#server.close();
  }

  #join(near: Socket, to: number): void {
    const far = connect({ port: to, host: "127.0.0.1" });
    this.#near.add(near);
    near.on("close", () => this.#near.delete(near));
    for (const [from, into] of [
      [near, far],
      [far, near],
    ] as const) {
      this.#sockets.add(from);
      from.on("data", (bytes) => {
        if (!this.#isCut) into.write(bytes);
      });
      from.on("error", () => {});
      from.on("close", () => {
        this.#sockets.delete(from);
        if (!this.#isCut) into.destroy();
      });
    }
  }
}
