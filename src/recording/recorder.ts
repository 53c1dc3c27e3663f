// SPDX-License-Identifier: Apache-2.0
// --record: appends what connections began with to a file. It never holds up a connection: lines wait in
// memory, in bounded number, while one write is under way. What goes wrong with the file is told once,
// and the gate goes on without it. The file is opened at start, so that --user needs no right to it.
import { closeSync, constants, fchmodSync, fstatSync, openSync, readSync } from "node:fs";
import { type Recording, recordingLine } from "../core/learn/recording.ts";
import { messageOf } from "../failure.ts";
import { identityOfOpen, wasRemoved } from "../host/file_identity.ts";
import { put, writeSome } from "../host/write_all.ts";
import type { Log } from "../log.ts";

export interface RecorderStatus {
  readonly file: string;
  readonly connections: number;
  /** Not recorded: the disk was too slow, or recording had ended. */
  readonly dropped: number;
  readonly bytes: number;
  readonly limitBytes: number;
  /** Why nothing more is recorded. */
  readonly ended: string | null;
}

export interface RecorderOptions {
  readonly file: string;
  readonly limitBytes: number;
  readonly log: Log;
}

/** About a hundred connections of the longest kind, and some thousands of the usual one. */
const waitingLimitCharacters = 1024 * 1024;
/** For a disk that hangs when the gate stops. */
const closeMs = 2000;
const newline = 0x0a;

export class Recorder {
  readonly #options: RecorderOptions;
  #fd: number | undefined;
  #bytes = 0;
  #connections = 0;
  #dropped = 0;
  #ended: string | null = null;
  #waiting: string[] = [];
  #waitingCharacters = 0;
  #writing: Promise<void> | undefined;

  constructor(options: RecorderOptions) {
    this.#options = options;
    try {
      this.#fd = this.#open();
    } catch (error) {
      this.#end(`it cannot be written: ${messageOf(error)}; correct --record and start again`);
    }
  }

  record(recording: Recording): void {
    if (this.#ended !== null || this.#waitingCharacters > waitingLimitCharacters) {
      this.#dropped++;
      return;
    }
    const line = `${recordingLine(recording)}\n`;
    this.#waiting.push(line);
    this.#waitingCharacters += line.length;
    this.#writing ??= this.#writeAll();
  }

  status(): RecorderStatus {
    const { file, limitBytes } = this.#options;
    return {
      ...{ file, limitBytes, connections: this.#connections, dropped: this.#dropped, bytes: this.#bytes },
      ended: this.#ended,
    };
  }

  /** Writes what waits. */
  async close(): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const patience = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, closeMs);
    });
    await Promise.race([this.#writing, patience]);
    clearTimeout(timer);
    this.#ended ??= "the gate stops";
    // A write that hangs still has the descriptor.
    if (this.#writing === undefined) this.#closeFile();
  }

  /** O_NONBLOCK: opening a pipe that nobody reads must not stop the gate. */
  #open(): number {
    const { O_RDWR, O_APPEND, O_CREAT, O_NOFOLLOW, O_NONBLOCK } = constants;
    const fd = openSync(this.#options.file, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o600);
    try {
      const found = fstatSync(fd);
      if (!found.isFile()) throw new Error("it is no regular file");
      fchmodSync(fd, 0o600);
      this.#bytes = found.size;
      if (found.size > 0 && lastByte(fd, found.size) !== newline) this.#add("\n");
      return fd;
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  }

  /** The file that stands there now: somebody may have moved ours away or removed it. @throws Error */
  #fileNow(fd: number): number {
    const { file, log } = this.#options;
    if (!wasRemoved(file, identityOfOpen(fd))) return fd;
    const opened = this.#open();
    closeSync(fd);
    this.#fd = opened;
    log("info", `"${file}" was moved or removed: recording goes on in a new one`);
    return opened;
  }

  /** A process that was killed may have left half a line: it must not spoil ours. */
  #add(text: string): void {
    this.#waiting.unshift(text);
    this.#waitingCharacters += text.length;
  }

  async #writeAll(): Promise<void> {
    while (this.#waiting.length > 0 && this.#fd !== undefined) {
      let lines: readonly string[] = [];
      let fits: readonly string[] = [];
      try {
        const fd = this.#fileNow(this.#fd);
        lines = this.#waiting;
        this.#waiting = [];
        this.#waitingCharacters = 0;
        fits = this.#fitting(lines);
        await this.#append(fd, fits.join(""));
        this.#connections += fits.filter((line) => line !== "\n").length;
      } catch (error) {
        this.#dropped += lines.length;
        this.#end(`${messageOf(error)}; make room and start again`);
        break;
      }
      if (fits.length === lines.length) continue;
      this.#dropped += lines.length - fits.length;
      this.#end(
        `it has reached its limit of ${this.#options.limitBytes} bytes (--record-max); move it away and start again`,
      );
    }
    this.#writing = undefined;
  }

  /** Lines are ASCII: as many bytes as characters. */
  #fitting(lines: readonly string[]): readonly string[] {
    let size = this.#bytes;
    const end = lines.findIndex((line) => {
      size += line.length;
      return size > this.#options.limitBytes;
    });
    return end < 0 ? lines : lines.slice(0, end);
  }

  async #append(fd: number, text: string): Promise<void> {
    await put(new TextEncoder().encode(text), async (bytes) => {
      const written = await writeSome(fd, bytes);
      this.#bytes += written;
      return written;
    });
  }

  #end(why: string): void {
    if (this.#ended !== null) return;
    this.#ended = why;
    this.#dropped += this.#waiting.filter((line) => line !== "\n").length;
    this.#waiting = [];
    this.#options.log("warn", `Recording to "${this.#options.file}" ends: ${why}; the gate goes on without it`);
    this.#closeFile();
  }

  #closeFile(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }
}

function lastByte(fd: number, size: number): number | undefined {
  const byte = new Uint8Array(1);
  readSync(fd, byte, 0, 1, size - 1);
  return byte[0];
}
