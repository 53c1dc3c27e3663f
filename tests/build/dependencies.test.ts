// SPDX-License-Identifier: Apache-2.0
// What make lint says of the packages from npm; the registry that npm asks is one of the test.
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import process from "node:process";
import { unpinned } from "../../scripts/dependencies.ts";
import { run } from "../harness/child.ts";
import { freePort } from "../harness/ports.ts";

const integrity = "sha512-AAAA";
const clean = { packages: { "": {}, "node_modules/a": { version: "1.2.3", integrity } } };

describe("what is not pinned is named", () => {
  test("nothing where all is", () => {
    expect(unpinned({ dependencies: { a: "1.2.3" }, devDependencies: { b: "1.0.0-rc.1" } }, clean)).toEqual([]);
  });

  test.each(["^1.2.3", "~1.2.3", "1.2", "*", "latest", ">=1.2.3", "1.2.3 || 2.0.0", "file:../a", "github:a/a"])(
    "%s",
    (version) => {
      for (const group of ["dependencies", "devDependencies", "optionalDependencies", "peerDependencies"] as const) {
        const [problem, ...others] = unpinned({ [group]: { a: version } }, clean);
        expect([problem, others]).toEqual([expect.stringContaining(`"a": "${version}" is not an exact version`), []]);
      }
    },
  );

  test.each([
    [{ version: "1.2.3" }, "no exact version with a SHA-512"],
    [{ version: "1.2.3", integrity: "sha1-AAAA" }, "no exact version with a SHA-512"],
    [{ integrity }, "no exact version with a SHA-512"],
    [{ version: "1.2.3", integrity, resolved: "git+ssh://host/a.git" }, 'comes from "git+ssh://host/a.git"'],
    [{ version: "1.2.3", integrity, resolved: "http://host/a.tgz" }, 'comes from "http://host/a.tgz"'],
    [{ version: "1.2.3", integrity, hasInstallScript: true }, "runs a script"],
  ])("%j", (locked, problem) => {
    const lock = { packages: { "": {}, "node_modules/b/node_modules/a": locked } };
    expect(unpinned({}, lock)).toEqual([expect.stringContaining(problem)]);
    const isAllowed = "hasInstallScript" in locked;
    if (isAllowed) expect(unpinned({ allowScripts: { a: true } }, lock)).toEqual([]);
  });
});

/** What make lint says when the registry answers so to the question for known vulnerabilities. */
async function checked(answer: () => Response) {
  const asked: string[] = [];
  using registry = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: ({ url, method }) => {
      asked.push(`${method} ${new URL(url).pathname}`);
      return method === "POST" ? answer() : new Response("{}", { status: 404 });
    },
  });
  const completed = await against(registry.port ?? 0);
  return { ...completed, asked };
}

function against(port: number) {
  const env = { npm_config_registry: `http://127.0.0.1:${port}/` };
  return run([process.execPath, "scripts/dependencies.ts"], { env, timeoutMs: 60_000 });
}

test("the packages of this tree are pinned, and pass where nothing is known of them", async () => {
  const { code, stdout, stderr, asked } = await checked(() => Response.json({}));
  expect([code, stdout, stderr]).toEqual([0, "", ""]);
  expect(asked).toContain("POST /-/npm/v1/security/advisories/bulk");
});

test("a known vulnerability fails, with where to read of it", async () => {
  const { version } = JSON.parse(readFileSync("package-lock.json", "utf8")).packages["node_modules/hono"];
  const advisory = { id: 1, url: "https://example.org/1", title: "Lets everybody in", severity: "low", cwe: [] };
  const known = {
    hono: [{ ...advisory, vulnerable_versions: `<=${version}`, cvss: { score: 0, vectorString: null } }],
  };
  const { code, stderr } = await checked(() => Response.json(known));
  expect(code).toBe(1);
  expect(stderr).toMatch(/^package-lock.json: "hono": low: Lets everybody in \(https:\/\/example.org\/1\): take/);
});

test("a registry that cannot be asked is said, and fails nothing", async () => {
  const refused = await checked(() => new Response("", { status: 405 }));
  expect([refused.code, refused.stderr]).toEqual([0, ""]);
  expect(refused.stdout).toStartWith("Not audited: the registry did not answer: 405 Method Not Allowed");
  const unreachable = await against(await freePort());
  expect([unreachable.code, unreachable.stderr]).toEqual([0, ""]);
  expect(unreachable.stdout).toMatch(/^Not audited: the registry did not answer: .*ECONNREFUSED/);
});
