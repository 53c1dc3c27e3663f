// SPDX-License-Identifier: Apache-2.0
import { afterAll, describe, expect, test } from "bun:test";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { loadConfig } from "../../src/config/load.ts";
import { crowdsecSecrets, machineIn, sameMachine } from "../../src/daemon/crowdsec.ts";
import { crowdsecFindings } from "../../src/daemon/crowdsec_findings.ts";
import { Reread } from "../../src/daemon/reread.ts";
import { TempDir } from "../harness/temp_dir.ts";

const directory = new TempDir();
afterAll(() => directory[Symbol.dispose]());

const url = "http://127.0.0.1:8080";
const none = directory.write("none.toml", "");

function secrets(options: Readonly<Record<string, string>>, variables: Readonly<Record<string, string>> = {}) {
  return crowdsecSecrets(loadConfig({ crowdsec: url, ...options }, none), variables);
}

describe("the key", () => {
  const file = directory.write("given", "of-the-file\n");
  directory.write("crowdsec-key", "of-the-credential\r\n");
  const credentials = { CREDENTIALS_DIRECTORY: directory.path };
  const variable = { TTGATE_CROWDSEC_KEY: "of-the-environment" };

  test("comes from its file, from systemd's credential or from the environment, in this order", () => {
    expect(secrets({ "crowdsec-key": file }, { ...credentials, ...variable }).key).toBe("of-the-file");
    expect(secrets({}, { ...credentials, ...variable }).key).toBe("of-the-credential");
    expect(secrets({}, { CREDENTIALS_DIRECTORY: "/nonexistent", ...variable }).key).toBe("of-the-environment");
  });

  test.each([
    [{}, {}, 'There is no key for CrowdSec: "cscli bouncers add NAME -o raw" prints one'],
    [{ "crowdsec-key": directory.write("empty", "\n") }, {}, "There is no key for CrowdSec"],
    [{ "crowdsec-key": directory.write("two", "a\nb\n") }, {}, "Invalid key for CrowdSec"],
    [{ "crowdsec-key": "/nonexistent" }, {}, 'Cannot read --crowdsec-key "/nonexistent"'],
  ] as const)("%p is told", (options, variables, message) => {
    expect(() => secrets(options, variables)).toThrow(message);
  });
});

describe("the machine's credentials", () => {
  test("as cscli writes them", () => {
    const path = directory.write("web-1.yaml", `url: ${url}/\nlogin: web-1\npassword: p4bqQbIp:#y \n`);
    expect(secrets({ "crowdsec-push": path }, { TTGATE_CROWDSEC_KEY: "k" }).machine).toEqual({
      ...{ login: "web-1", password: "p4bqQbIp:#y" },
    });
    expect(machineIn("login: \"a\"\r\npassword: 'b c'\r\n")).toEqual({ login: "a", password: "b c" });
  });

  test.each(["", "login: a\n", "password: b\n", "login: a b\npassword: c\n", "login:\npassword:\n"])(
    "%j are none",
    (text) => {
      expect(machineIn(text)).toBeUndefined();
      const path = directory.write("bad.yaml", text);
      expect(() => secrets({ "crowdsec-push": path }, { TTGATE_CROWDSEC_KEY: "k" })).toThrow(
        `Invalid --crowdsec-push "${path}": it names no login and password; "cscli machines add`,
      );
    },
  );
});

describe("files that are changed while the gate runs", () => {
  const key = directory.write("rotated", "one\n");
  const push = directory.write("rotated.yaml", "login: web-1\npassword: one\n");

  test("are read again; what is none leaves what was there, and says why", () => {
    const read = new Reread(() => secrets({ "crowdsec-key": key, "crowdsec-push": push }), sameMachine);
    const now = () => [read.now().key, read.now().machine?.password];
    expect(now()).toEqual(["one", "one"]);
    directory.write("rotated", "");
    directory.write("rotated.yaml", "login: web-1\npassword: two\n");
    expect(now()).toEqual(["one", "one"]);
    expect(read.failure).toStartWith("There is no key for CrowdSec");
    directory.write("rotated", "two\n");
    expect([...now(), read.failure]).toEqual(["two", "two", undefined]);
    directory.write("rotated.yaml", "login: web-2\npassword: three\n");
    expect(now()).toEqual(["two", "two"]);
    expect(read.failure).toBe('--crowdsec-push names another machine, "web-2": restart to be that one');
  });
});

describe("the doctor", () => {
  test.each([
    ["more than fits", 200, JSON.stringify(["x".repeat(1 << 20)]), "its answer is larger than 1 MiB"],
    ["a failure", 500, '{"message":"no such table"}', "no such table"],
  ])("finds CrowdSec good that answers %s to who is left out", async (_, status, answer, why) => {
    const server = createServer(({ url: asked = "" }, response) => {
      response.statusCode = asked.includes("scopes=") ? status : 200;
      response.end(asked.includes("scopes=") ? answer : "null");
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    try {
      const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
      const key = directory.write("key", "k\n");
      const findings = await crowdsecFindings(loadConfig({ crowdsec: address, "crowdsec-key": key }, none));
      expect(findings).toMatchObject([
        { state: "good", found: `${address} answers, and knows the key` },
        { state: "warning", found: expect.stringContaining(why), remedy: expect.stringContaining("--scope Country") },
      ]);
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });
});
