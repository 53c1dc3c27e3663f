// SPDX-License-Identifier: Apache-2.0
// This daemon as others on the host find it: written when it is up, and again when a reload moves a gate.
import { rmSync } from "node:fs";
import { formatStatus } from "../config/endpoints.ts";
import type { Config } from "../config/options.ts";
import { formatEndpoint } from "../core/address.ts";
import { messageOf } from "../failure.ts";
import { identityAt, wasRemoved } from "../host/file_identity.ts";
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
  /** As it was written last. */
  #instance: Parameters<typeof announce>[0] | undefined;
  #path: string | undefined;
  #identity: string | undefined;

  constructor(parts: AnnouncementParts) {
    this.#parts = parts;
  }

  renew(config: Pick<Config, "gates" | "status" | "block-map">): void {
    const { version, token, replaces, log } = this.#parts;
    const blockMap = config["block-map"];
    const listens = config.gates.map(({ listen: { host, port } }) => formatEndpoint({ address: host, port }));
    if (listens.join() === this.#instance?.listens?.join()) return;
    this.#instance = {
      ...{ version, token, listens, listen: listens[0] ?? "", status: formatStatus(config.status) },
      ...(blockMap === undefined ? {} : { blockMap }),
      ...(replaces === undefined ? {} : { replaces }),
    };
    try {
      this.#write(this.#instance);
    } catch (error) {
      log("warn", `Cannot write to the run directory: ${messageOf(error)}; "ttgate ban" and "lift" need TTGATE_TOKEN`);
    }
  }

  /** Now and then: somebody may have removed it. @throws Error when it cannot be put back. */
  look(): void {
    const path = this.#path;
    if (this.#instance === undefined || path === undefined || !wasRemoved(path, this.#identity)) return;
    this.#write(this.#instance);
    this.#parts.log("warn", `"${path}" was removed and is written again: "ttgate status" finds this gate by it`);
  }

  #write(instance: Parameters<typeof announce>[0]): void {
    this.#path = announce(instance);
    this.#identity = identityAt(this.#path);
  }

  /** Idempotent. */
  end(): void {
    try {
      if (this.#path !== undefined) rmSync(this.#path, { force: true });
    } catch {
      // Of another user by now (--user): whoever looks next finds that the process is gone and removes it.
    }
    this.#path = undefined;
  }
}
