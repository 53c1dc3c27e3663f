// SPDX-License-Identifier: Apache-2.0
// Reads a list of sources line by line, in the forms in which such lists are published or saved: docs/lists.md. The
// form is seen on each line. No line is passed over in silence but comments and what frames a set.

import { parseBanDuration } from "../duration.ts";
import { quoted } from "../quoted.ts";
import { isDecision, readDecision } from "./decisions.ts";
import { entry, type LineReading, mistake, nothing } from "./entry.ts";
import { NftText, readNftJson } from "./nft.ts";
import { readSource } from "./range.ts";

export class ListReader {
  readonly #nft = new NftText();

  /** @returns one reading, or one for each element of a document that is a single line. */
  read(line: string): readonly LineReading[] {
    // The usual line of a list of a million.
    if (/^[0-9a-fA-F.:/]+$/.test(line)) return [entry(line)];
    const text = line.replace(/^\ufeff/, "").trim();
    if (text === "" || text.startsWith("#") || text.startsWith(";")) return [nothing];
    if (text.startsWith("{")) return readJson(text);
    const inSet = this.#nft.read(text);
    if (inSet !== undefined) return [inSet];
    if (isDecision(text)) return [readDecision(text)];
    if (/^(add|create|COMMIT|flush)\b/.test(text)) return [readIpset(text)];
    return [readPlain(text)];
  }
}

function readJson(text: string): readonly LineReading[] {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return [mistake("Not JSON: expected a whole object on one line, as Spamhaus and nft -j write it")];
  }
  const nft = readNftJson(json);
  if (nft !== undefined) return nft;
  if (typeof json === "object" && json !== null) {
    if ("cidr" in json && typeof json.cidr === "string") return [readSource(json.cidr)];
    // The last line of Spamhaus' lists.
    if ("type" in json && json.type === "metadata") return [nothing];
  }
  return [mistake('Unknown JSON: expected {"cidr": "192.0.2.0/24"} or what "nft -j list set" prints')];
}

/** `add NAME ADDR timeout SECONDS`: "ipset save". */
function readIpset(text: string): LineReading {
  const [verb, , source = "", ...options] = text.split(/\s+/);
  if (verb !== "add") return nothing;
  if (options.includes("nomatch"))
    return mistake(`${quoted(source)} is an exception of the set (nomatch): it cannot be banned`);
  const at = options.indexOf("timeout");
  const seconds = at < 0 ? undefined : options[at + 1];
  if (seconds !== undefined && !/^\d+$/.test(seconds))
    return mistake(`Invalid timeout ${quoted(seconds)}: expected seconds`);
  const forMs = seconds === "0" ? Number.POSITIVE_INFINITY : Number(seconds) * 1000;
  return readSource(source, seconds === undefined ? undefined : forMs);
}

/** `ADDR|CIDR|FIRST-LAST [DURATION]`, with a comment behind # or ; */
function readPlain(text: string): LineReading {
  const bare = text.replace(/[#;].*/, "").trim();
  const [source = "", duration, ...rest] = bare.replace(/\s+-\s+/, "-").split(/\s+/);
  const forMs = duration === undefined ? undefined : parseBanDuration(duration);
  if (rest.length > 0 || (duration !== undefined && forMs === undefined)) {
    const behind = [duration, ...rest].join(" ");
    return mistake(
      `Invalid duration ${quoted(behind)}: expected such as 30s, 10m, 1h30m or ever, and nothing behind it`,
    );
  }
  return readSource(source, forMs);
}
