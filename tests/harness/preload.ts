// SPDX-License-Identifier: Apache-2.0
// Loaded before every test file (bunfig.toml): a test that hung never left its scopes, and bun test ends
// without the process's exit event, so that what is still open is put back here.
import { afterAll } from "bun:test";
import { undoEverything } from "./undo.ts";

afterAll(undoEverything);
