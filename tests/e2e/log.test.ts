// SPDX-License-Identifier: Apache-2.0
// The log of a running gate: who changed what, few lines for many strangers, and what the journal of systemd wants.
import { expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import process from "node:process";
import { Loopback } from "../commands/bed.ts";
import { Child, run } from "../harness/child.ts";
import { executable, RunningGate, ttgate } from "../harness/gate.ts";
import { describeWith } from "../harness/needs.ts";

setDefaultTimeout(60_000);

const noConfig = ["-c", "/dev/null"];

describeWith("executable", "namespaces")("the audit trail", () => {
  test("names who changed what, from where, and who was not allowed to", async () => {
    using loopback = new Loopback();
    const env = { TTGATE_TOKEN: "open-sesame", SUDO_USER: "alice" };
    const argv = ttgate(["-l", "5000", "-s", "127.0.0.1:9500", "--log", "json", ...noConfig]);
    await using gate = new Child(argv, { namespace: loopback.name, env });
    await gate.said(/Never banned/);
    const command = async (args: readonly string[], more = {}) =>
      (await run(ttgate(args), { namespace: loopback.name, env: { ...env, ...more } })).code;
    expect(await command(["ban", "203.0.113.7", "--for", "1h"])).toBe(0);
    expect(await command(["ban", "10.0.0.0/8"])).toBe(1);
    expect(await command(["lift", "203.0.113.7"])).toBe(0);
    expect(await command(["lift", "--all"])).toBe(1);
    expect(await command(["reload"])).toBe(0);
    expect(await command(["ban", "203.0.113.8"], { TTGATE_TOKEN: "guessed" })).toBe(3);
    const list = ["unshare", "-r", "sh", "-c", `printf '192.0.2.1\\nx\\n' | ${executable} ban --from -`];
    const curl = [
      "setpriv",
      "--reuid=65534",
      "--clear-groups",
      "curl",
      "-sS",
      "-H",
      "Authorization: Bearer open-sesame",
    ];
    await run([...curl, "-d", '{"address":"203.0.113.9"}', "http://127.0.0.1:9500/bans"], { namespace: loopback.name });
    await run(list, { namespace: loopback.name, env });
    gate.signal("SIGHUP");
    await gate.said(/SIGHUP/);
    const trail = gate.stderr.split("\n").flatMap((line) => {
      const fields = line === "" ? {} : (JSON.parse(line) as Record<string, unknown>);
      return fields["audit"] === undefined ? [] : [fields];
    });
    const root = { peer: "127.0.0.1", uid: 0, user: "root", says: "alice (sudo)" };
    expect(trail).toMatchObject([
      { audit: "ban", outcome: "done", detail: expect.stringMatching(/^203\.0\.113\.7 until 20/), ...root },
      { audit: "ban", outcome: "refused", status: 409, detail: expect.stringContaining("--force"), ...root },
      { audit: "lift", outcome: "done", detail: "203.0.113.7", ...root },
      { audit: "lift", outcome: "done", status: 200, detail: "nobody", ...root },
      { audit: "reload", outcome: "done", ...root },
      { audit: "ban", outcome: "refused", status: 401, level: "warn", ...root },
      { audit: "ban", outcome: "done", peer: "127.0.0.1", uid: 65534 },
      { audit: "ban list", outcome: "done", detail: "stdin: 1 done, 1 refused", ...root },
      { audit: "reload", peer: "signal" },
    ]);
    const documented = readFileSync("docs/logs.md", "utf8").split("## Fields\n")[1] ?? "";
    const names = new Set(
      gate.stderr.split("\n").flatMap((line) => (line === "" ? [] : Object.keys(JSON.parse(line)))),
    );
    for (const name of names) expect(documented).toContain(`\`${name}\``);
    expect(trail[0]?.["message"]).toMatch(
      /^Audit: ban done: 203\.0\.113\.7 until \S+; by user root at 127\.0\.0\.1 port \d+, says to be alice \(sudo\)$/,
    );
  });

  test("knows the unix socket, and is not flooded by who tries tokens", async () => {
    using loopback = new Loopback();
    await using gate = await RunningGate.start(["-l", "5000", ...noConfig], { namespace: loopback.name });
    expect(await gate.command("ban", "203.0.113.7")).toMatchObject({ code: 0 });
    await gate.child.said(/Audit: ban done: [^\n]*; by the unix socket/);
    const argv = ttgate(["-l", "5005", "-s", "127.0.0.1:9501", ...noConfig]);
    await using other = new Child(argv, { namespace: loopback.name });
    await other.said(/Never banned/);
    const tries =
      "for n in $(seq 60); do curl -s -X POST -H 'Authorization: Bearer no' http://127.0.0.1:9501/reload; done";
    await run(["sh", "-c", tries], { namespace: loopback.name });
    await other.said(/More than 20 lines about changes that were not allowed/);
    expect(other.stderr.match(/Audit: reload refused \(401\)/g)).toHaveLength(20);
  });
});

describeWith("executable", "namespaces")("the log", () => {
  test("says of a gate whose address or interface is not there, and of a recording that ended, nothing else", async () => {
    using loopback = new Loopback();
    for (const listen of ["203.0.113.9:5000", "[fe80::1%nope]:5000"]) {
      const argv = ttgate(["-l", listen, "-s", "off", "--record", "/dev/full", ...noConfig]);
      await using gate = new Child(argv, { namespace: loopback.name });
      await gate.said(/Never banned/);
      await gate.said(`Cannot listen on ${listen}: no interface has this address; waiting for it`);
      await gate.said(`Not listening yet on ${listen} for tapetrack`);
      await gate.said(/Recording to "\/dev\/full" ends/);
      expect(gate.stderr).not.toMatch(/ Listening on|Recording what/);
    }
  });

  test("has a few lines for 10,000 strangers, and tells at the end how many there were", async () => {
    using loopback = new Loopback();
    const flags = ["-l", "5000", "--never-ban", "none", ...noConfig];
    await using gate = await RunningGate.start(flags, { namespace: loopback.name });
    const before = gate.child.stderr.length;
    const knock = `
      import { connect } from "node:net";
      let next = 0;
      const one = () => new Promise((resolve) => {
        const number = next++;
        const localAddress = "127.1." + (number >> 8) + "." + (number & 255);
        const socket = connect({ host: "127.0.0.1", port: 5000, localAddress }, () => socket.write("GET / HTTP/1.0\\r\\n\\r\\n"));
        socket.on("error", () => {}).on("close", resolve);
      });
      const worker = async () => { while (next < 10_000) await one(); };
      await Promise.all(Array.from({ length: 100 }, worker));`;
    const { stderr } = await run([process.execPath, "-e", knock], { namespace: loopback.name });
    expect(stderr).toBe("");
    const { bans } = await gate.until("all banned", ({ bans }) => bans.total >= 10_000, 30_000);
    gate.child.signal("SIGTERM");
    await gate.child.done();
    const lines = gate.child.stderr.slice(before).trimEnd().split("\n");
    expect(lines.filter((line) => line.includes("Banned"))).toHaveLength(20);
    // Upstream, the limit, the count, the stop.
    expect(lines.length).toBeLessThanOrEqual(26);
    const [, held] = /Held back: (\d+) about bans/.exec(gate.child.stderr) ?? [];
    expect(Number(held)).toBe(bans.total - 20);
  });

  test.each([
    ["text", /^<6>Listening on [^\n]*$/m, /^<6>Audit: ban /m],
    [
      "logfmt",
      /^<6>level=info message="Listening on [^\n]*" gate=default listen=\[::\]:5000$/m,
      /^<6>level=info message="Audit: ban/m,
    ],
    ["json", /^<6>\{"time":"20[^\n]*"message":"Listening on /m, /^<6>\{"time":"20[^\n]*"audit":"ban"/m],
  ])("as %s has priorities where the journal reads it, and no second time", async (form, start, audit) => {
    using loopback = new Loopback();
    const argv = ttgate(["-l", "5000", "-s", "127.0.0.1:9500", "--log", form, ...noConfig]);
    const stream = 'JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2) exec "$@"';
    await using gate = new Child(["sh", "-c", stream, "sh", ...argv], { namespace: loopback.name });
    await gate.said(/Never banned/);
    await run(ttgate(["ban", "203.0.113.7"]), { namespace: loopback.name });
    await gate.said(/Banned 203/);
    await gate.said(start);
    await gate.said(audit);
    await gate.said(/^<4>[^\n]*Upstream [^\n]* is not reachable/m);
  });

  test("has none where stderr is not the journal, whatever the environment says", async () => {
    using loopback = new Loopback();
    const env = { JOURNAL_STREAM: "9:4711" };
    await using gate = await RunningGate.start(["-l", "5000", ...noConfig], { namespace: loopback.name, env });
    await gate.child.said(/^20\S+Z info Listening on /m);
  });
});
