// SPDX-License-Identifier: Apache-2.0
// The one entry of the settings map: what the program is to do, and the sign of life that other tools
// read. Written whole each time; the program reads single fields, none of which depends on another.
import process from "node:process";
import type { BpfMap } from "./bpf_map.ts";
import { updateAny } from "./bpf_map.ts";
import { check } from "./errno.ts";
import { readSettings, type Settings, type SettingsFound, structBytes, writeSettings } from "./layout.ts";
import { nativeBytes } from "./native_bytes.ts";

export class SettingsMap {
  readonly #map: BpfMap;
  readonly #key = nativeBytes(4);
  readonly #value = nativeBytes(structBytes.settings);
  #settings: Settings;

  constructor(map: BpfMap, settings: Omit<Settings, "cidrEntries" | "daemonPid">) {
    this.#map = map;
    this.#settings = { ...settings, cidrEntries: 0, daemonPid: process.pid };
  }

  /** What stands there now, which may be another process's. */
  read(): SettingsFound {
    const value = this.#map.lookup(this.#key);
    return value === undefined ? { kind: "empty" } : readSettings(value);
  }

  get cidrEntries(): number {
    return this.#settings.cidrEntries;
  }

  /** @throws KernelError */
  write(changes: Partial<Settings>): void {
    this.#settings = { ...this.#settings, ...changes };
    writeSettings(this.#settings, this.#value);
    check("Write the settings map", this.#map.update(this.#key, this.#value, updateAny));
  }

  /** False when another process has taken the maps over since. */
  get isOurs(): boolean {
    const found = this.read();
    return found.kind === "settings" && found.settings.daemonPid === process.pid;
  }
}
