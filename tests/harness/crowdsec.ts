// SPDX-License-Identifier: Apache-2.0
// Debian's CrowdSec as its local API alone (LAPI), for one test: configuration, database and credentials of its own,
// no hub, no central API, nothing of /etc/crowdsec. It can be killed and started again empty.
import { rmSync } from "node:fs";
import { Child, run } from "./child.ts";
import { TempDir } from "./temp_dir.ts";
import { waitFor } from "./wait.ts";

export interface LocalApiOptions {
  /** Network namespace, where its port is its own. */
  readonly namespace: string;
  /** PEM files of its certificate and its key. */
  readonly tls?: { readonly certificate: string; readonly key: string };
  readonly port?: number;
}

const usualPort = 8080;

export class LocalApi implements AsyncDisposable {
  readonly directory = new TempDir();
  readonly url: string;
  /** Files for --crowdsec-key and --crowdsec-push. */
  readonly keyFile: string;
  readonly machineFile: string;
  readonly #namespace: string;
  readonly #config: string;
  #child: Child | undefined;
  #token: string | undefined;

  private constructor({ namespace, tls, port = usualPort }: LocalApiOptions) {
    const { path } = this.directory;
    this.#namespace = namespace;
    this.url = `${tls === undefined ? "http" : "https"}://127.0.0.1:${port}`;
    this.keyFile = this.directory.write("key", "0123456789abcdef0123456789abcdef\n");
    this.machineFile = this.directory.file("web-1.yaml");
    this.directory.write("index.json", "{}");
    this.directory.write("simulation.yaml", "simulation: false\n");
    this.directory.write("profiles.yaml", 'name: none\nfilters: ["false"]\non_success: break\n');
    const paths = [
      ...[`config_dir: ${path}`, `data_dir: ${path}`, `simulation_path: ${path}/simulation.yaml`, `hub_dir: ${path}`],
      ...[`index_path: ${path}/index.json`, `notification_dir: ${path}`, `plugin_dir: ${path}`],
    ];
    const secure = tls === undefined ? "" : `, tls: {cert_file: ${tls.certificate}, key_file: ${tls.key}}`;
    const insecure = `insecure_skip_verify: ${tls !== undefined}`;
    const server = `{listen_uri: "127.0.0.1:${port}", profiles_path: ${path}/profiles.yaml, log_level: info${secure}}`;
    this.#config = this.directory.write(
      "config.yaml",
      [
        "common: {daemonize: false, log_media: stdout, log_level: info}",
        `config_paths: {${paths.join(", ")}}`,
        `db_config: {type: sqlite, db_path: ${path}/database, use_wal: true}`,
        `api: {client: {${insecure}, credentials_path: ${path}/scout.yaml}, server: ${server}}`,
        "prometheus: {enabled: false}",
        "",
      ].join("\n"),
    );
  }

  static async start(options: LocalApiOptions): Promise<LocalApi> {
    const api = new LocalApi(options);
    try {
      await api.#register();
      await api.start();
    } catch (error) {
      await api[Symbol.asyncDispose]();
      throw error;
    }
    return api;
  }

  /** `cscli WORDS`. @throws Error with what it said when it fails. */
  async cscli(...words: readonly string[]): Promise<string> {
    const argv = ["cscli", "-c", this.#config, ...words];
    const { code, stdout, stderr } = await run(argv, { namespace: this.#namespace });
    if (code !== 0) throw new Error(`cscli ${words.join(" ")}: ${stdout}${stderr}`);
    return stdout;
  }

  /** What it has decided on an address or range, also what is hidden behind something longer. */
  async decisions(value: string): Promise<readonly { readonly origin: string; readonly id: number }[]> {
    const found = await this.#ask(`/v1/decisions?value=${value}`, `X-Api-Key: ${await this.#key()}`);
    return (found as { origin: string; id: number }[] | null) ?? [];
  }

  /** So many decisions, as a list that was imported, on addresses of 45.0.0.0/8. */
  async fill(count: number): Promise<void> {
    const rows = Array.from({ length: count }, (_, n) => `24h,ip,45.0.${n >> 8}.${n & 255},crowdsecurity/ssh-bf,ban`);
    const list = this.directory.write("list.csv", ["duration,scope,value,reason,type", ...rows, ""].join("\n"));
    await this.cscli("decisions", "import", "-i", list);
  }

  /** A ban of an address, as another component tells it: in a few milliseconds, where cscli takes a tenth of a second. */
  async decide(value: string, duration: string): Promise<void> {
    const scenario = "crowdsecurity/ssh-bf";
    const at = new Date().toISOString();
    const alert = {
      ...{ scenario, scenario_hash: "", scenario_version: "", message: "", events_count: 1, start_at: at, stop_at: at },
      ...{ capacity: 0, leakspeed: "0s", simulated: false, events: [], source: { scope: "Ip", value, ip: value } },
      decisions: [{ duration, origin: "crowdsec", scenario, scope: "Ip", type: "ban", value }],
    };
    this.#token ??= await this.#login();
    await this.#ask("/v1/alerts", `Authorization: Bearer ${this.#token}`, [alert]);
  }

  async start(): Promise<void> {
    this.#child = new Child(["crowdsec", "-c", this.#config, "-no-cs"], { namespace: this.#namespace });
    await this.#child.said(/Local API listening/, 20_000);
    // One that says no is there too.
    const answer = () => this.decisions("192.0.2.1").catch((error: Error) => /forbidden/.test(error.message));
    await waitFor("its answer", async () => (await answer()) !== false);
  }

  /** As a loss of power. */
  async kill(): Promise<void> {
    this.#child?.signal("SIGKILL");
    await this.#child?.exited;
  }

  /** Its database is lost. @param knows the key and the machines are there again. */
  async forget(knows: boolean): Promise<void> {
    this.#token = undefined;
    for (const suffix of ["", "-shm", "-wal"]) rmSync(this.directory.file(`database${suffix}`), { force: true });
    if (knows) await this.#register();
    else await this.#addMachine("scout", this.directory.file("scout.yaml"));
  }

  /** A key of its own for another gate. @returns the file that it is in. */
  async addBouncer(name: string, key?: string): Promise<string> {
    const given = key === undefined ? [] : ["-k", key];
    const printed = await this.cscli("bouncers", "add", name, ...given, "-o", "raw");
    return this.directory.write(`${name}.key`, printed);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    this.directory[Symbol.dispose]();
  }

  async #login(): Promise<string> {
    const credentials = { machine_id: "scout", password: "of-scout", scenarios: [] };
    return ((await this.#ask("/v1/watchers/login", "Accept: */*", credentials)) as { token: string }).token;
  }

  /** @throws Error with what it said when it refuses. */
  async #ask(path: string, header: string, body?: unknown): Promise<unknown> {
    const data = body === undefined ? [] : ["--data", JSON.stringify(body)];
    const argv = ["curl", "-sk", "--fail-with-body", "-H", header, ...data, this.url + path];
    const { code, stdout } = await run(argv, { namespace: this.#namespace });
    if (code !== 0) throw new Error(`${this.url}${path}: ${stdout || `curl ends with ${code}`}`);
    return JSON.parse(stdout);
  }

  async #register(): Promise<void> {
    await this.#addMachine("scout", this.directory.file("scout.yaml"));
    await this.#addMachine("web-1", this.machineFile);
    await this.addBouncer("web-1", await this.#key());
  }

  async #addMachine(name: string, file: string): Promise<void> {
    // They are read before they are written.
    if (name === "scout") this.directory.write("scout.yaml", "");
    await this.cscli("machines", "add", name, "--password", `of-${name}`, "--force", "-f", file);
  }

  async #key(): Promise<string> {
    return (await Bun.file(this.keyFile).text()).trim();
  }
}
