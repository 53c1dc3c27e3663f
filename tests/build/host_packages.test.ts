// SPDX-License-Identifier: Apache-2.0
// What make does about programs that the host does not have: installs them by apt-get as root, says so,
// and names them elsewhere. apt-get is a stand-in that puts the program where the real one would.

import { expect, test } from "bun:test";
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, symlinkSync } from "node:fs";
import { type Completed, run } from "../harness/child.ts";
import { testWith } from "../harness/needs.ts";
import { TempDir } from "../harness/temp_dir.ts";

/** A host with the script, its tools and no others, where nobody may read whatever the clone's mode is. */
function bareHost(): TempDir {
  const host = new TempDir();
  chmodSync(host.path, 0o755);
  mkdirSync(host.file("bin"));
  for (const name of ["host_packages.sh", "host_packages.txt"]) cpSync(`scripts/${name}`, host.file(name));
  for (const tool of ["bash", "cat", "dirname", "gcc", "grep", "id", "mktemp", "rm"]) {
    symlinkSync(Bun.which(tool) ?? "", host.file(`bin/${tool}`));
  }
  return host;
}

function addProgram(host: TempDir, name: string, body: string): void {
  chmodSync(host.write(`bin/${name}`, `#!/bin/bash\n${body}\n`), 0o755);
}

function addApt(host: TempDir, install: string): void {
  addProgram(host, "apt-get", `echo "$@" >>"${host.file("apt.log")}"\ncase "$*" in *install*) ${install} ;; esac`);
  addProgram(host, "apt-cache", 'echo "  Candidate: 1.0"');
}

/** clang-format is all that the group "lint" is about. */
function check(host: TempDir, group = "lint", before: readonly string[] = []): Promise<Completed> {
  return run([...before, "/bin/bash", host.file("host_packages.sh"), group], {
    cwd: host.path,
    env: { PATH: host.file("bin") },
  });
}

test("what is missing is installed by name, and said", async () => {
  using host = bareHost();
  addApt(
    host,
    `printf '#!/bin/bash\\n' >"${host.file("bin/clang-format")}"; /bin/chmod +x "${host.file("bin/clang-format")}"`,
  );
  const { code, stdout, stderr } = await check(host);
  expect({ code, stdout, stderr }).toEqual({
    code: 0,
    stdout: "Installing with apt-get: clang-format\n",
    stderr: "",
  });
  expect(readFileSync(host.file("apt.log"), "utf8")).toEndWith("--no-install-recommends install clang-format\n");
});

test("nothing is installed, and nothing said, when all is there", async () => {
  using host = bareHost();
  addApt(host, "false");
  addProgram(host, "clang-format", "");
  const { code, stdout, stderr } = await check(host);
  expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: "", stderr: "" });
  expect(existsSync(host.file("apt.log"))).toBe(false);
});

test("without apt-get it names what is missing and stops", async () => {
  using host = bareHost();
  const { code, stdout, stderr } = await check(host);
  expect({ code, stdout, stderr }).toEqual({
    code: 1,
    stdout: "",
    stderr:
      "Missing on this host: clang-format (Debian calls the packages clang-format): install them and run make again\n",
  });
});

testWith("root")("not being root, it names what is missing and stops", async () => {
  using host = bareHost();
  addApt(host, "false");
  const asNobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"];
  const { code, stdout, stderr } = await check(host, "lint", [Bun.which("setpriv") ?? "", ...asNobody.slice(1)]);
  expect({ code, stdout, stderr }).toEqual({
    code: 1,
    stdout: "",
    stderr: "Missing on this host: clang-format: run as root: apt-get install clang-format\n",
  });
});

test("a package that does not bring the program is an error", async () => {
  using host = bareHost();
  addApt(host, "true");
  const { code, stderr } = await check(host);
  expect(code).toBe(1);
  expect(stderr).toStartWith("Still missing after installing clang-format: clang-format: ");
});

test("a failing apt-get is shown", async () => {
  using host = bareHost();
  addApt(host, 'echo "E: no network"; exit 100');
  const { code, stderr } = await check(host);
  expect(code).toBe(1);
  expect(stderr).toContain("E: no network\n");
});
