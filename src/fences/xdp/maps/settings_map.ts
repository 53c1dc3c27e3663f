// SPDX-License-Identifier: Apache-2.0
// The one entry of the settings map: what the program is to do, and the sign of life that other tools
// read. Written whole each time; the program reads single fields, none of which depends on another.
import process from "node:process";
import { type BpfMap, updateAny } from "../../../kernel/bpf_map.ts";
import { check } from "../../../kernel/errno.ts";
import { nativeBytes } from "../../../kernel/native_bytes.ts";
import { readSettings, type Settings, type SettingsFound, structBytes, writeSettings } from "./layout.ts";

/** A daemon writes its heartbeat each second: one that is older than this is not alive. */
export const aliveMs = 5000;

/** `other`: another daemon has taken the maps over. `overwritten`: somebody's hands were in it. */
export type SettingsOwner = "ours" | "other" | "overwritten";

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

  /**
   * Whose settings these are. Another daemon's have its pid and a heartbeat that goes on.
   * @param nowMs milliseconds since boot.
   */
  owner(nowMs: number): SettingsOwner {
    const value = this.#map.lookup(this.#key);
    if (value?.every((byte, index) => byte === this.#value[index]) === true) return "ours";
    const found = this.read();
    if (found.kind !== "settings") return "overwritten";
    const { daemonPid, heartbeatMs } = found.settings;
    const isAnother = daemonPid !== process.pid && daemonPid !== 0;
    return isAnother && Math.abs(nowMs - heartbeatMs) < aliveMs ? "other" : "overwritten";
  }
}
