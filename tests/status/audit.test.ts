// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import { Hono } from "hono";
import { type AuditEntry, auditTrail } from "../../src/status/audit.ts";

test("an entry repeats no more than the beginning of what somebody asked for", async () => {
  const entries: AuditEntry[] = [];
  const app = new Hono();
  app.use(
    auditTrail({ isWritten: () => true, userOf: async () => undefined, record: (entry) => void entries.push(entry) }),
  );
  app.notFound((context) => context.json({ error: `Not found: "${context.req.path}"` }, 404));
  await app.fetch(new Request(`http://127.0.0.1/${"a".repeat(10_000)}`, { method: "POST" }));
  await app.fetch(new Request(`http://127.0.0.1/bans/${"b".repeat(10_000)}`, { method: "DELETE" }));
  expect(entries.map(({ action, outcome }) => [action.length, outcome.length])).toEqual([
    [257, 257],
    [4, 257],
  ]);
});
