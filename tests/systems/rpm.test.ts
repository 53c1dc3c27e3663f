// SPDX-License-Identifier: Apache-2.0
// The RPM, installed by rpm into a root directory of its own, run there and removed. What lies below it is a Debian, whose
// glibc rpm does not know: so without a look at dependencies.
import { expect, setDefaultTimeout, test } from "bun:test";
import { globSync, mkdirSync } from "node:fs";
import { resolve } from "node:path";
import process from "node:process";
import { run } from "../harness/child.ts";
import { noMachine } from "../harness/machine.ts";
import { TempDir } from "../harness/temp_dir.ts";

setDefaultTimeout(120_000);

const machine = process.arch === "arm64" ? "aarch64" : "x86_64";
const built = globSync(`dist/ttgate-*.${machine}.rpm`).sort();
const missing = built.length === 0 ? 'there is no package under "dist": run make rpm' : noMachine();
if (missing !== undefined) console.log(`Skipped: ${missing}`);

test.skipIf(missing !== undefined)("the RPM is installed, runs, and is removed", async () => {
  using place = new TempDir();
  for (const name of ["upper", "work", "root"]) mkdirSync(place.file(name));
  const root = place.file("root");
  const layers = `lowerdir=${resolve("build/debian-root")},upperdir=${place.file("upper")},workdir=${place.file("work")}`;
  const inside = async (command: string): Promise<string> => {
    const mounts = `mount -t overlay overlay -o '${layers}' '${root}' && mount -t proc proc '${root}/proc'`;
    const { code, stdout, stderr } = await run(["unshare", "-m", "bash", "-ec", `${mounts}\n${command}`], {
      timeoutMs: 100_000,
    });
    if (code !== 0) throw new Error(`"${command}" ended with ${code}: ${stdout}${stderr}`);
    return stdout;
  };
  const rpm = `rpm --root '${root}'`;

  expect(await inside(`rpm -qp --requires '${built.at(-1)}'`)).toMatch(/^glibc >= 2\.\d+$/m);
  await inside(`${rpm} --install --nodeps '${built.at(-1)}'`);
  await inside(`${rpm} --verify --nodeps ttgate`);
  const commands =
    "ttgate version && ttgate config check && stat -c '%a %U' /usr/sbin/ttgate /var/lib/ttgate /run/ttgate";
  expect(await inside(`chroot '${root}' sh -c "${commands}"`)).toMatch(
    /^ttgate \S+ .*\n\/etc\/ttgate\/ttgate\.toml is valid\n755 root\n700 root\n700 root\n$/,
  );
  const files = (await inside(`${rpm} --query --list ttgate`)).trim().split("\n");
  expect(files).toEqual(
    expect.arrayContaining([
      "/usr/lib/systemd/system/ttgate.service",
      "/usr/share/doc/ttgate/docs/images/page.png",
      "/usr/share/doc/ttgate/contrib/fail2ban/action.d/ttgate.conf",
      "/usr/share/licenses/ttgate/NOTICE",
    ]),
  );
  await inside(`${rpm} --erase --nodeps ttgate`);
  const left = await inside(`cd '${root}' && find . -xdev -name '*ttgate*' | sort`);
  expect(left).toBe("./run/ttgate\n./var/lib/ttgate\n");
});
