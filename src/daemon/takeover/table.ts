// SPDX-License-Identifier: Apache-2.0
// The table on its way to another process: all of it, then what changed meanwhile, then each new ban. In the form of
// the state file, in memory that has a descriptor, so that no disk is needed.
import { readFileSync } from "node:fs";
import { parsePrefix } from "../../core/address.ts";
import type { BanChange, BanFollower } from "../../core/bans/change.ts";
import type { Enforcement } from "../../core/bans/enforcement.ts";
import type { Offenders } from "../../core/bans/offenders.ts";
import { writeBytes } from "../../host/write_all.ts";
import { check } from "../../kernel/errno.ts";
import type { Libc } from "../../kernel/libc.ts";
import { cString } from "../../kernel/native_bytes.ts";
import { journalHead, type Moment, parseJournalLine } from "../state/journal.ts";
import { type Table, TableWriter } from "../state/lines.ts";

/** linux/memfd.h */
const memfdCloexec = 1;

/** Which sources changed since it was begun. */
export class ChangedSources implements BanFollower {
  #changed: Set<string> | undefined;
  #bansOnly = false;

  begin(bansOnly = false): void {
    this.#changed = new Set();
    this.#bansOnly = bansOnly;
  }

  end(): void {
    this.#changed = undefined;
  }

  bansChanged(changes: readonly BanChange[]): void {
    for (const { kind, ban } of changes) {
      if (kind === "ban" || !this.#bansOnly) this.#changed?.add(ban.prefix.text);
    }
  }

  /** Those since the last call. */
  take(): readonly string[] {
    const taken = [...(this.#changed ?? [])];
    this.#changed?.clear();
    return taken;
  }
}

/** @returns a descriptor, the caller's to close. @throws KernelError */
export function wholeTable(libc: Libc, table: Table, moment: () => Moment): Promise<number> {
  return filled(libc, (fd) => new TableWriter(fd, table, moment).writeAll());
}

/** @returns a descriptor, the caller's to close. @throws KernelError */
export function changesOf(libc: Libc, table: Table, sources: readonly string[], moment: () => Moment): Promise<number> {
  return filled(libc, (fd) => new TableWriter(fd, table, moment).writeOf(sources));
}

async function filled(libc: Libc, fill: (fd: number) => Promise<unknown>): Promise<number> {
  const fd = check("Make memory for the bans", libc.result(libc.calls.memfd_create(cString("bans"), memfdCloexec)));
  try {
    await writeBytes(fd, new TextEncoder().encode(`${journalHead}\n`));
    await fill(fd);
    return fd;
  } catch (error) {
    libc.calls.close(fd);
    throw error;
  }
}

/** Where a table goes. */
export interface TableGoal {
  readonly enforcement: Enforcement;
  readonly offenders: Offenders;
  readonly moment: () => Moment;
}

/** What the process before said last of some sources, in place of what is known of them. */
export function takeChanges(path: string, { enforcement, offenders, moment }: TableGoal): void {
  const [head, ...lines] = readFileSync(path, "utf8").split("\n");
  if (head !== journalHead) throw new Error("Bans of another form");
  const now = moment();
  const changes = lines.flatMap((line) => {
    const saved = line === "" ? undefined : parseJournalLine(line, now);
    const prefix = saved === undefined ? undefined : parsePrefix(saved.source);
    return saved === undefined || prefix === undefined ? [] : [{ prefix, claims: saved.claims, saved }];
  });
  enforcement.replace(changes, now.nowMs);
  for (const { saved } of changes) offenders.restore(saved.source, saved.offender);
}
