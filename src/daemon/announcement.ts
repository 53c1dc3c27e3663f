// SPDX-License-Identifier: Apache-2.0
// This daemon as others on the host find it: written when it is up, and again when a reload moves a gate.
import { formatStatus } from "../config/endpoints.ts";
import type { Config } from "../config/options.ts";
import { formatEndpoint } from "../core/address.ts";
import { messageOf } from "../failure.ts";
import type { Log } from "../log.ts";
import { announce } from "./instance.ts";

export interface AnnouncementParts {
  readonly version: string;
  readonly token: string;
  /** The pid of the gate before. */
  readonly replaces: number | undefined;
  readonly log: Log;
}

export class Announcement {
  readonly #parts: AnnouncementParts;
  #takeBack = () => {};
  /** As it was written last. */
  #listens: string | undefined;

  constructor(parts: AnnouncementParts) {
    this.#parts = parts;
  }

  renew(config: Pick<Config, "gates" | "status" | "block-map">): void {
    const { version, token, replaces, log } = this.#parts;
    const blockMap = config["block-map"];
    const listens = config.gates.map(({ listen: { host, port } }) => formatEndpoint({ address: host, port }));
    if (listens.join() === this.#listens) return;
    this.#listens = listens.join();
    try {
      this.#takeBack = announce({
        ...{ version, token, listens, listen: listens[0] ?? "", status: formatStatus(config.status) },
        ...(blockMap === undefined ? {} : { blockMap }),
        ...(replaces === undefined ? {} : { replaces }),
      });
    } catch (error) {
      log("warn", `Cannot write to the run directory: ${messageOf(error)}; "ttgate ban" and "lift" need TTGATE_TOKEN`);
    }
  }

  /** Idempotent. */
  end(): void {
    this.#takeBack();
  }
}
