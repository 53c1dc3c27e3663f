// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import { requirePrefix } from "../../../src/core/address.ts";
import type { Claim } from "../../../src/core/bans/claim.ts";
import { alertOf } from "../../../src/sources/crowdsec/alert.ts";

const moment = { nowMs: 1000, wallMs: Date.parse("2026-11-29T03:00:00Z") };
const firstBytes = new TextEncoder().encode("GET / HTTP/1.1\r\n");
const claim: Claim = {
  ...{ origin: "sniffer", reason: "http", sinceMs: 1000, untilMs: 601_000, gate: "web" },
  evidence: { firstBytes, clientAddress: "203.0.113.7", clientPort: 4000, gatePort: 5000 },
};

function alert(source: string, changes: Partial<Claim> = {}) {
  const ban = { prefix: requirePrefix(source), ...claim, ...changes, others: [], standsIn: undefined };
  return alertOf(ban, ban, "ttgate:web-1", moment);
}

test("a ban is an alert with one decision, and what was seen", () => {
  expect(alert("203.0.113.7")).toMatchObject({
    ...{ scenario: "ttgate/http", message: "203.0.113.7: http at port 5000", stop_at: "2026-11-29T03:00:00.000Z" },
    source: { scope: "Ip", value: "203.0.113.7", ip: "203.0.113.7" },
    decisions: [{ duration: "600s", origin: "ttgate:web-1", scenario: "ttgate/http", scope: "Ip", type: "ban" }],
    events: [
      {
        meta: [
          { key: "service", value: "http" },
          { key: "judged_by", value: "sniffer" },
          { key: "gate", value: "web" },
          { key: "source_ip", value: "203.0.113.7" },
          { key: "target_port", value: "5000" },
          { key: "first_bytes", value: "GET / HTTP/1.1\\r\\n" },
        ],
      },
    ],
  });
});

test("an IPv6 network is a range, a ban without an end lasts ten years, one that ends now a second", () => {
  const network = alert("2001:db8:7::/64", { untilMs: Number.POSITIVE_INFINITY });
  expect(network.source).toEqual({ scope: "Range", value: "2001:db8:7::/64", range: "2001:db8:7::/64" });
  expect(network.decisions[0]?.duration).toBe("315360000s");
  expect(alert("203.0.113.7", { untilMs: 1001 }).decisions[0]?.duration).toBe("1s");
});

test("a ban by command has nothing that was seen", () => {
  const manual = alert("203.0.113.7", { origin: "operator", reason: "manual", evidence: undefined, gate: undefined });
  expect(manual).toMatchObject({ scenario: "ttgate/manual", message: "203.0.113.7: banned by operator" });
  expect(manual.events[0]?.meta.map(({ key }) => key)).toEqual(["service", "judged_by"]);
});
