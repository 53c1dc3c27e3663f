// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { profileJsonSchema } from "../../../src/core/profile/schema.ts";

test("docs/profile.schema.json is what the code checks", () => {
  const written = JSON.parse(readFileSync(`${import.meta.dirname}/../../../docs/profile.schema.json`, "utf8"));
  expect(written).toEqual(JSON.parse(JSON.stringify(profileJsonSchema())));
});
