// SPDX-License-Identifier: Apache-2.0
// The one entry of the settings map: what the program is to do, and the sign of life that other tools
// read. Written whole each time; the program reads single fields, none of which depends on another.
import process from "node:process";
import type { BpfMap } from "../../../kernel/bpf_map.ts";
import { updateAny } from "../../../kernel/bpf_map.ts";
import { check } from "../../../kernel/errno.ts";
import { nativeBytes } from "../../../kernel/native_bytes.ts";
import { readSettings, type Settings, type SettingsFound, structBytes, writeSettings } from "./layout.ts";

export class SettingsMap {
  readonly #map: BpfMap;
  readonly #key = nativeBytes(4);
  readonly #value = nativeBytes(structBytes.settings);
  #settings: Settings;

  /** Takes the number of ranges over: while it is 0 the program looks at none of those that are there. */
  constructor(map: BpfMap, settings: Omit<Settings, "cidrEntries" | "daemonPid">) {
    this.#map = map;
    const before = this.read();
    const cidrEntries = before.kind === "settings" ? before.settings.cidrEntries : 0;
    this.#settings = { ...settings, cidrEntries, daemonPid: process.pid };
  }

  /** What stands there now, which may be another process's. */
  read(): SettingsFound {
    const value = this.#map.lookup(this.#key);
    return value === undefined ? { kind: "empty" } : readSettings(value);
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
