// SPDX-License-Identifier: Apache-2.0
// The configuration as flags: what every command has that reads it.
import { defaultConfigFile } from "../config/config_file.ts";
import { options } from "../config/options.ts";
import { helpFlag } from "./command.ts";

export const configFlags = {
  ...options,
  config: {
    short: "c",
    value: "FILE",
    help: `every option above as a key; flags win, --no-NAME unsets a switch (default ${defaultConfigFile})`,
  },
  help: helpFlag,
} as const;
