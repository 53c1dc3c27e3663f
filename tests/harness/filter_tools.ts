// SPDX-License-Identifier: Apache-2.0
// Scripts in the place of the tools that list the rules of a packet filter: they answer, fail, or are missing.
import { chmodSync, existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import process from "node:process";
import { TempDir } from "./temp_dir.ts";

export const filterTools = [
  "ip6tables-legacy-save",
  "ip6tables-save",
  "iptables-legacy-save",
  "iptables-save",
  "nft",
] as const;
type Tool = (typeof filterTools)[number];

export class FilterTools implements Disposable {
  readonly #directory = new TempDir();
  readonly #path = process.env["PATH"];

  /** All of them answer with nothing. */
  constructor() {
    process.env["PATH"] = this.#directory.path;
    for (const tool of filterTools) this.answer(tool, "");
  }

  answer(tool: Tool, text: string): void {
    this.#write(tool, text.replaceAll(/^.*$/gm, "echo '$&'"));
  }

  fail(tool: Tool): void {
    this.#write(tool, "exit 1");
  }

  remove(tool: Tool): void {
    rmSync(this.#directory.file(tool));
  }

  /** Those that ran since the last time. */
  asked(): readonly string[] {
    const path = this.#directory.file("asked");
    const names = existsSync(path) ? readFileSync(path, "utf8").trim().split("\n").sort() : [];
    rmSync(path, { force: true });
    return names;
  }

  #write(tool: Tool, lines: string): void {
    const path = this.#directory.file(tool);
    writeFileSync(path, `#!/bin/sh\necho ${tool} >>${this.#directory.file("asked")}\n${lines}\n`);
    chmodSync(path, 0o755);
  }

  [Symbol.dispose](): void {
    process.env["PATH"] = this.#path;
    this.#directory[Symbol.dispose]();
  }
}
