// SPDX-License-Identifier: Apache-2.0
// Attacks on the built ./ttgate by the directory it is started in and by its environment. Each attack is
// first made on a build of the same sources without any protection, where it must work: an attack that
// does nothing there proves nothing about ./ttgate.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { harden } from "../../scripts/harden.ts";
import { hostileNames } from "../../scripts/hostile_names.ts";
import { Child, run } from "../harness/child.ts";
import { freePort, listening } from "../harness/ports.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { waitFor } from "../harness/wait.ts";

const hardened = join(process.cwd(), "ttgate");
const home = new TempDir();
const unprotected = home.file("unprotected");

beforeAll(async () => {
  if (!existsSync(hardened)) throw new Error('There is no "./ttgate" to attack: run make bpf first');
  const autoload = ["bunfig", "dotenv", "tsconfig", "package-json"].map((name) => `--compile-autoload-${name}`);
  const build = ["build", "--compile", "--minify", ...autoload, `--outfile=${unprotected}`, "src/main.ts"];
  const { code, stderr } = await run([process.execPath, ...build], { timeoutMs: 60_000 });
  if (code !== 0) throw new Error(`Building without protection: ${stderr}`);
}, 70_000);
afterAll(() => home[Symbol.dispose]());

/** One start of an executable in a hostile place: what it said, and what it did that it should not. */
interface Outcome {
  readonly said: string;
  readonly done: readonly string[];
}

interface Attack {
  /** Files of the directory where it is started; text may say CANARY for a path that must not appear. */
  readonly files?: Readonly<Record<string, string>>;
  readonly env?: Readonly<Record<string, string>>;
}

const script = 'require("node:fs").writeFileSync("CANARY", "script"); console.log("script ran");';
const longAgo = new Date(1000);

async function attack(executable: string, { files = {}, env = {} }: Attack): Promise<Outcome> {
  using place = new TempDir();
  mkdirSync(place.file("canaries"));
  const fill = (text: string) =>
    text.replaceAll("CANARY", place.file("canaries/file")).replaceAll("CANARIES", place.file("canaries"));
  for (const [name, text] of Object.entries(files)) {
    place.write(name, fill(text));
    utimesSync(place.file(name), longAgo, new Date());
  }
  const visits: string[] = [];
  const debuggerServer = createServer((socket) => {
    visits.push("connected to the debugger");
    socket.destroy();
  });
  await new Promise<void>((resolve) => debuggerServer.listen(place.file("debugger"), resolve));
  const filled = Object.fromEntries(
    Object.entries(env).map(([name, text]) => [name, fill(text).replaceAll("DEBUGGER", place.file("debugger"))]),
  );
  await using child = new Child([executable, "version"], { cwd: place.path, env: { NO_COLOR: "1", ...filled } });
  const exit = await waitFor("the end", () => child.exit, 3000).catch(() => undefined);
  debuggerServer.close();
  return {
    said: `${JSON.stringify(exit ?? "did not end")} ${child.stdout}${child.stderr}`,
    done: [
      ...visits,
      ...readdirSync(place.file("canaries")).map((name) => `wrote ${name.replace(/\d+/g, "N")}`),
      ...Object.keys(files)
        .filter((name) => statSync(place.file(name)).atimeMs !== longAgo.getTime())
        .map((name) => `read ${name}`),
    ],
  };
}

function said(executable: string): Promise<Outcome> {
  return attack(executable, {});
}

const attacks: Readonly<Record<string, Attack>> = {
  "bunfig.toml": { files: { "bunfig.toml": 'preload = ["./preload.js"]', "preload.js": script } },
  ".env": { files: { ".env": "SECRET=1" } },
  "tsconfig.json": { files: { "tsconfig.json": '{ "compilerOptions": { "paths": { "*": ["./*"] } } }' } },
  "package.json": { files: { "package.json": '{ "imports": { "#x": "./x.js" } }' } },
  BUN_BE_BUN: { env: { BUN_BE_BUN: "1" } },
  "BUN_OPTIONS preload": { files: { "preload.js": script }, env: { BUN_OPTIONS: "--preload ./preload.js" } },
  "BUN_OPTIONS profile": { env: { BUN_OPTIONS: "--cpu-prof --cpu-prof-dir=CANARIES" } },
  BUN_INSPECT: { env: { BUN_INSPECT: "ws+unix://CANARY?wait=1" } },
  BUN_INSPECT_NOTIFY: { env: { BUN_INSPECT: "ws+unix://CANARY", BUN_INSPECT_NOTIFY: "unix://DEBUGGER" } },
  BUN_INSPECT_CONNECT_TO: { env: { BUN_INSPECT_CONNECT_TO: "unix://DEBUGGER" } },
  BUN_BYTECODE_ORDER_OUT: { env: { BUN_BYTECODE_ORDER_OUT: "CANARY" } },
  BUN_BYTECODE_DIGEST_OUT: { env: { BUN_BYTECODE_DIGEST_OUT: "CANARY" } },
  JSC_SIGNAL_FOR_GC: { env: { JSC_SIGNAL_FOR_GC: "11" } },
  "BUN_JSC_ options": { env: { BUN_JSC_dumpOptions: "2" } },
  "BUN_JSC_ code": { files: { overrides: "code of its own" }, env: { BUN_JSC_functionOverrides: "./overrides" } },
  "BUN_JSC_ dump": { env: { BUN_JSC_useJITDump: "1", BUN_JSC_jitDumpDirectory: "CANARIES" } },
  "BUN_JSC_ profile": { env: { BUN_JSC_useSamplingProfiler: "1", BUN_JSC_samplingProfilerPath: "CANARIES" } },
};

for (const [name, means] of Object.entries(attacks)) {
  test(`${name} has no power over ./ttgate`, async () => {
    expect(await attack(unprotected, means)).not.toEqual(await said(unprotected));
    expect(await attack(hardened, means)).toEqual(await said(hardened));
  });
}

test("a debugger's port is not opened by ./ttgate", async () => {
  const opens = async (executable: string) => {
    const port = await freePort();
    const env = { BUN_INSPECT: `ws://127.0.0.1:${port}/x?wait=1` };
    await using child = new Child([executable, "version"], { env });
    return await Promise.race([listening(port).then(() => true), child.exited.then(() => false)]);
  };
  expect(await opens(unprotected)).toBe(true);
  expect(await opens(hardened)).toBe(false);
});

test("nothing is run when ./ttgate crashes", async () => {
  using place = new TempDir();
  chmodSync(place.write("curl", `#!/bin/sh\necho "$@" >"${place.file("curl-ran")}"\n`), 0o755);
  const crash = async (executable: string) => {
    const port = await freePort();
    const env = { BUN_ENABLE_CRASH_REPORTING: "1", PATH: `${place.path}:${process.env["PATH"]}` };
    const argv = [
      "--listen",
      `127.0.0.1:${port}`,
      "--upstream",
      "127.0.0.1:1",
      "--status",
      "off",
      "--config",
      "/dev/null",
    ];
    await using child = new Child(["sh", "-c", 'ulimit -c 0; exec "$@"', "sh", executable, ...argv], { env });
    await listening(port);
    child.signal("SIGSEGV");
    await child.exited;
  };
  await crash(hardened);
  const afterHardened = existsSync(place.file("curl-ran"));
  await crash(unprotected);
  await waitFor("curl", () => existsSync(place.file("curl-ran")));
  expect(afterHardened).toBe(false);
});

test("no variable switches off the look at certificates", async () => {
  using place = new TempDir();
  const [key, cert] = [place.file("key.pem"), place.file("cert.pem")];
  const names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"];
  const made = await run(
    ["openssl", "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"].concat(names, [
      "-keyout",
      key,
      "-out",
      cert,
    ]),
  );
  if (made.code !== 0) throw new Error(made.stderr);
  const tls = { key: readFileSync(key), cert: readFileSync(cert) };
  using server = Bun.serve({ port: 0, hostname: "127.0.0.1", tls, fetch: () => new Response("203.0.113.9\n") });
  const taken = async (env: Readonly<Record<string, string>>) => {
    const list = ["--blocklist", `bad=https://localhost:${server.port}/list`];
    const where = ["--listen", `127.0.0.1:${await freePort()}`, "--upstream", "127.0.0.1:1", "--status", "off"];
    await using child = new Child([hardened, "--config", "/dev/null", ...where, ...list], { env });
    await child.said(/List "bad"|Cannot take the list "bad"/);
    return child.stderr;
  };
  expect(await taken({ NODE_TLS_REJECT_UNAUTHORIZED: "0" })).toContain("self signed certificate");
  expect(await taken({ NODE_EXTRA_CA_CERTS: cert })).toContain('List "bad": 1 entries');
});

test("the name by which an executable is started changes nothing", async () => {
  for (const name of ["bun", "bunx", "node", "npx"]) {
    const { stdout } = await run(["bash", "-c", `exec -a ${name} "${hardened}" version`]);
    expect(stdout).toStartWith("ttgate ");
  }
});

describe("a program with native calls", () => {
  const program = home.file("program");
  const protectedProgram = home.file("program-hardened");

  beforeAll(async () => {
    const source = home.write(
      "program.ts",
      `import { dlopen } from "bun:ffi";
      process.on("SIGTERM", () => { console.log("terminated"); process.exit(0); });
      console.log(dlopen("libc.so.6", { getpid: { args: [], returns: "i32" } }).symbols.getpid() === process.pid);
      setTimeout(() => {}, 2000);`,
    );
    await run([process.execPath, "build", "--compile", `--outfile=${program}`, source], { timeoutMs: 60_000 });
    const executable = readFileSync(program);
    harden(executable);
    writeFileSync(protectedProgram, executable, { mode: 0o755 });
  }, 70_000);

  async function ends(executable: string, env: Readonly<Record<string, string>>): Promise<string> {
    await using child = new Child([executable], { env });
    await child.said(/true|requires the JIT/);
    child.signal("SIGTERM");
    return (await child.done()).stdout;
  }

  test("JavaScriptCoreUseJIT does not take them away", async () => {
    expect(await ends(program, { JavaScriptCoreUseJIT: "0" })).not.toContain("true");
    expect(await ends(protectedProgram, { JavaScriptCoreUseJIT: "0" })).toContain("true");
  });

  test("JSC_SIGNAL_FOR_GC does not take SIGTERM away", async () => {
    expect(await ends(program, { JSC_SIGNAL_FOR_GC: "15" })).not.toContain("terminated");
    expect(await ends(protectedProgram, { JSC_SIGNAL_FOR_GC: "15" })).toContain("terminated");
  });
});

test("no other name in the executable makes it read, write, run or connect", async () => {
  const names = readFileSync(hardened, "latin1").matchAll(
    /(?<=\0)(?:BUN|NODE|JSC|ICU|SSL|HTTP|http|TMP|XDG|Malloc)\w+(?=\0)/g,
  );
  const all = [...new Set([...names].map(([name]) => name))];
  expect(all.length).toBeGreaterThan(500);
  for (const value of ["CANARY", "1"]) {
    const { said: heard, done } = await attack(hardened, { env: Object.fromEntries(all.map((name) => [name, value])) });
    expect(heard).toContain('{"code":0} ttgate ');
    expect(done).toEqual([]);
  }
});

test("an executable of another Bun is refused", () => {
  const executable = readFileSync(hardened);
  expect(() => harden(executable)).toThrow('Hardening: the name "BUN_BE_BUN" is not in the executable');
  const doubled = Buffer.concat([readFileSync(unprotected), Buffer.from("\0BUN_BE_BUN\0")]);
  expect(() => harden(doubled)).toThrow('Hardening: the name "BUN_BE_BUN" is more than once in the executable');
});

test("every name of hostile_names.ts is tried here", () => {
  const source = readFileSync(import.meta.path, "utf8");
  expect(hostileNames.filter(({ name }) => !source.includes(`${name}:`))).toEqual([]);
});
