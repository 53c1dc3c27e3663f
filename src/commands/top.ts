// SPDX-License-Identifier: Apache-2.0
// `ttgate top`: what is going on, again and again.
import { setTimeout as sleep } from "node:timers/promises";
import type { Command } from "../cli/command.ts";
import { type DaemonClient, refusal } from "../cli/daemon_client.ts";
import { type DaemonCall, daemonCommand } from "../cli/daemon_command.ts";
import type { Env } from "../cli/env.ts";
import { Desk } from "../cli/top/desk.ts";
import { type Picture, takePicture } from "../cli/top/picture.ts";
import { paintOf } from "../cli/top/style.ts";
import { parseDuration } from "../core/duration.ts";
import { Failure, messageOf } from "../failure.ts";
import type { Key, Terminal } from "../host/terminal.ts";

const everyDefault = "1s";
/** Each look is five questions to the daemon. */
const everyLeastMs = 200;
const everyMostMs = 3_600_000;
const plainBans = 20;

export const top: Command = daemonCommand({
  name: "top",
  about: "rates, gates, fences, last bans and top talkers, live",
  description:
    "Shows what is going on, again and again: rates, gates, fences, bans, and who talks most. On a terminal with keys\nto order, filter and lift (? tells them); elsewhere as plain text.",
  flags: {
    once: { help: "look once, print plain text and end" },
    every: { value: "DURATION", help: `time between two looks (default ${everyDefault})` },
  },
  async run(call, env) {
    const { once, every = everyDefault } = call.flags;
    const everyMs = typeof every === "string" ? parseDuration(every) : undefined;
    if (everyMs === undefined || everyMs < everyLeastMs || everyMs > everyMostMs) {
      throw new Failure(`Invalid --every "${every}": expected a duration from ${everyLeastMs}ms to 1h, such as 2s`, {
        exitCode: 2,
      });
    }
    const terminal = once === true || call.json ? undefined : await env.terminal?.();
    if (terminal === undefined) return inLines(call, env, once === true ? undefined : everyMs);
    return onScreen(call, env, terminal, everyMs);
  },
});

/** @param everyMs undefined: once. */
async function inLines({ daemon, json }: DaemonCall, { stdout }: Env, everyMs: number | undefined): Promise<number> {
  const { plainFrame } = await import("../cli/top/frame.ts");
  const desk = new Desk();
  for (;;) {
    const picture = await takePicture(daemon, { order: desk.order, search: desk.search, limit: plainBans });
    stdout.line(json ? JSON.stringify(picture) : plainFrame(picture, desk).join("\n"));
    if (everyMs === undefined) return 0;
    if (!json) stdout.line("");
    await sleep(everyMs);
  }
}

async function onScreen({ daemon }: DaemonCall, env: Env, terminal: Terminal, everyMs: number): Promise<number> {
  const { screenFrame } = await import("../cli/top/frame.ts");
  const desk = new Desk();
  const paint = paintOf(env.variables);
  const bell = new Bell();
  let trouble: string | undefined;
  let isOver = false;
  let isLifting = false;
  const look = () =>
    takePicture(daemon, { order: desk.order, search: desk.search, limit: Math.max(10, terminal.rows) });
  // Before the screen is taken: who cannot be asked at all is told so in a line.
  let picture: Picture = await look();
  const draw = () => {
    const { columns, rows } = terminal;
    terminal.draw(screenFrame(picture, desk, { columns, rows, paint }, trouble));
  };
  const press = (key: Key) => {
    const deed = desk.press(
      key,
      picture.bans.bans.map(({ source }) => source),
    );
    isOver ||= deed === "quit";
    isLifting ||= deed === "lift";
    if (deed === "draw") draw();
    else bell.ring();
  };
  const ended = () => {
    isOver = true;
    bell.ring();
  };
  using _screen = terminal.open({ key: press, changed: draw, ended });
  draw();
  while (!isOver) {
    await bell.wait(desk.isPaused ? undefined : everyMs);
    try {
      if (isLifting) desk.message = await lift(daemon, desk.chosen ?? "");
      isLifting = false;
      if (!isOver) picture = await look();
      trouble = undefined;
    } catch (error) {
      if (isLifting) desk.message = messageOf(error);
      else trouble = messageOf(error);
      isLifting = false;
    }
    if (!isOver) draw();
  }
  return 0;
}

async function lift(daemon: DaemonClient, source: string): Promise<string> {
  const reply = await daemon.ask("DELETE", `/bans/${encodeURIComponent(source)}`);
  return reply.status === 200 ? `Lifted ${source}` : refusal(reply).message;
}

/** A pause that a key ends, also one that was pressed before it began. */
class Bell {
  #isRung = false;
  #wake: (() => void) | undefined;

  ring(): void {
    this.#isRung = true;
    this.#wake?.();
  }

  /** @param forMs undefined: until it rings. */
  async wait(forMs: number | undefined): Promise<void> {
    const stop = new AbortController();
    if (!this.#isRung) {
      const rung = new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      const over = forMs === undefined ? [] : [sleep(forMs, undefined, { signal: stop.signal }).catch(() => {})];
      await Promise.race([rung, ...over]);
      stop.abort();
    }
    this.#wake = undefined;
    this.#isRung = false;
  }
}
