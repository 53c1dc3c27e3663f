// SPDX-License-Identifier: Apache-2.0
// The terminal of this process as a screen: keys one by one, nothing left of it afterwards. Whatever ends the
// process, but for SIGKILL, the terminal is as it was before; while it is stopped too.
import process from "node:process";
import { emitKeypressEvents } from "node:readline";
import { isatty } from "node:tty";
import { writeAll } from "./write_all.ts";

export interface Key {
  /** `up`, `return`, `escape`, `a`; undefined for what has no name. */
  readonly name: string | undefined;
  /** What it writes, if anything. */
  readonly text: string;
  readonly isControl: boolean;
}

export interface TerminalEvents {
  key(key: Key): void;
  /** Another size, or back from being stopped: everything is to be drawn again. */
  changed(): void;
  /** Nobody types any more. */
  ended(): void;
}

export interface Terminal {
  readonly columns: number;
  readonly rows: number;
  /** Takes the screen, until it is disposed of. */
  open(events: TerminalEvents): Disposable;
  /** Shows these lines and nothing else. */
  draw(lines: readonly string[]): void;
}

/** Alternate screen, no cursor, no line wrap; and the reverse (xterm's control sequences). */
const take = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J";
const giveBack = "\x1b[?7h\x1b[?25h\x1b[?1049l";

/** Those that end a process by default, by their numbers. */
const ending = { SIGHUP: 1, SIGINT: 2, SIGQUIT: 3, SIGTERM: 15 } as const;

/** @returns undefined where standard input and output are not both a terminal. */
export function processTerminal(): Terminal | undefined {
  // Of a terminal without a name, or a dumb one, nobody knows that it takes control sequences: terminfo(5).
  const name = process.env["TERM"] ?? "";
  if (!isatty(0) || !isatty(1) || name === "" || name === "dumb") return undefined;
  const { stdin, stdout } = process;
  let isTaken = false;
  const enter = () => {
    isTaken = true;
    stdin.setRawMode(true);
    writeAll(1, take);
  };
  const leave = () => {
    if (!isTaken) return;
    isTaken = false;
    try {
      writeAll(1, giveBack);
      stdin.setRawMode(false);
    } catch {
      // The terminal is gone: there is nothing to give back.
    }
  };
  return {
    get columns() {
      return stdout.columns || 80;
    },
    get rows() {
      return stdout.rows || 24;
    },
    open(events) {
      const stop = () => {
        leave();
        process.once("SIGCONT", () => {
          enter();
          events.changed();
        });
        process.kill(process.pid, "SIGSTOP");
      };
      const heard = (text: string | undefined, key: { name?: string; ctrl?: boolean }) => {
        if (key.ctrl === true && key.name === "z") return stop();
        events.key({ name: key.name, text: text ?? "", isControl: key.ctrl === true });
      };
      const ends = Object.entries(ending).map(([signal, number]) => {
        const end = () => {
          leave();
          process.exit(128 + number);
        };
        return [signal as NodeJS.Signals, end] as const;
      });
      for (const [signal, end] of ends) process.on(signal, end);
      process.on("SIGTSTP", stop);
      process.on("exit", leave);
      emitKeypressEvents(stdin);
      stdin.on("keypress", heard);
      stdin.on("end", events.ended);
      stdout.on("resize", events.changed);
      enter();
      stdin.resume();
      return {
        [Symbol.dispose]() {
          leave();
          stdin.off("keypress", heard);
          stdin.off("end", events.ended);
          stdin.pause();
          stdout.off("resize", events.changed);
          process.off("exit", leave);
          process.off("SIGTSTP", stop);
          for (const [signal, end] of ends) process.off(signal, end);
        },
      };
    },
    draw(lines) {
      if (isTaken) writeAll(1, `\x1b[H${lines.map((line) => `${line}\x1b[K`).join("\r\n")}\x1b[J`);
    },
  };
}
