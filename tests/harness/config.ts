// SPDX-License-Identifier: Apache-2.0
// Configurations for tests, without a look at the host's own file.
import { configOf, type RawOptions } from "../../src/config/load.ts";
import type { Config } from "../../src/config/options.ts";

/** Of a process with one gate, by options as they would be typed. */
export function configWith(options: RawOptions): Config {
  return configOf({ file: undefined, flags: options, top: {}, tables: [] });
}
