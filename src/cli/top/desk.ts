// SPDX-License-Identifier: Apache-2.0
// What the person at `ttgate top` has asked for: order, filter, the chosen row, and what a key means. Pure.
import type { BanOrder } from "../../core/bans/search.ts";
import type { Key } from "../../host/terminal.ts";
import { nextOrder } from "./picture.ts";

/** What is to be done after a key. */
export type Deed = "quit" | "look" | "draw" | "lift";

/** Longer than any address, protocol or origin; the daemon takes no longer one. */
const searchMost = 100;

export class Desk {
  order: BanOrder = "newest";
  search = "";
  /** The source that is chosen. */
  chosen: string | undefined;
  /** `filter`: letters go into `typed`. `lift`: it is asked whether the chosen one is to be lifted. */
  mode: "list" | "filter" | "lift" | "help" = "list";
  typed = "";
  isPaused = false;
  /** What became of the last deed. */
  message = "";

  /** @param sources that are shown, in order. */
  press(key: Key, sources: readonly string[]): Deed {
    this.message = "";
    if (key.isControl && (key.name === "c" || key.name === "d")) return "quit";
    switch (this.mode) {
      case "filter":
        return this.#type(key);
      case "lift":
        this.mode = "list";
        return key.text === "y" ? "lift" : "draw";
      case "help":
        this.mode = "list";
        return "draw";
      case "list":
        return this.#command(key, sources);
      default:
        return this.mode satisfies never;
    }
  }

  #type({ name, text, isControl }: Key): Deed {
    if (name === "escape") {
      this.mode = "list";
      return "draw";
    }
    if (name === "return" || name === "enter") {
      this.mode = "list";
      this.search = this.typed;
      return "look";
    }
    if (name === "backspace") this.typed = this.typed.slice(0, -1);
    else if (isControl && name === "u") this.typed = "";
    else if (/^[\x20-\x7e]+$/.test(text)) this.typed = `${this.typed}${text}`.slice(0, searchMost);
    return "draw";
  }

  #command({ name, text }: Key, sources: readonly string[]): Deed {
    switch (text === "/" || text === "?" ? text : name) {
      case "q":
        return "quit";
      case "s":
        this.order = nextOrder(this.order);
        return "look";
      case "/":
        this.mode = "filter";
        this.typed = this.search;
        return "draw";
      case "escape":
        this.search = "";
        return "look";
      case "?":
      case "h":
        this.mode = "help";
        return "draw";
      case "p":
      case "space":
        this.isPaused = !this.isPaused;
        return "look";
      case "up":
      case "k":
        return this.#choose(sources, -1);
      case "down":
      case "j":
        return this.#choose(sources, 1);
      case "l":
        if (this.chosen !== undefined && sources.includes(this.chosen)) this.mode = "lift";
        else this.message = "Choose a ban first, with the arrow keys";
        return "draw";
      default:
        return "draw";
    }
  }

  #choose(sources: readonly string[], by: 1 | -1): Deed {
    const at = this.chosen === undefined ? -1 : sources.indexOf(this.chosen);
    const next = at < 0 ? (by === 1 ? 0 : sources.length - 1) : at + by;
    this.chosen = sources[Math.max(0, Math.min(sources.length - 1, next))];
    return "draw";
  }
}
