// SPDX-License-Identifier: Apache-2.0
// The JSON Schema of a profile file, for editors: docs/profile.schema.json is this. What no schema can
// say (a mask as long as its bytes, a rule that can match) is checked when the profile is loaded.
import { z } from "zod";
import { profileSchema } from "./profile.ts";

export function profileJsonSchema(): object {
  return { title: "ttgate profile", ...z.toJSONSchema(profileSchema, { target: "draft-2020-12" }) };
}
