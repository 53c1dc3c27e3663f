// SPDX-License-Identifier: Apache-2.0
// What the engine keeps of a fleet, and the scripts that write it. All keys of a fleet have one hash tag, so that
// a cluster keeps them together. A gate writes its own three keys and the two that all share, and nobody else's:
// an ACL can hold it to that. What is in the shared ones is no more than a hint; what counts is read from the
// keys of the gate that it is about, or comes on that gate's own channel.
import type { Announcement } from "../../core/fleet/record.ts";
import { messageOf } from "../../failure.ts";

export class FleetKeys {
  /** Stream of hints: which gate changed which sources. */
  readonly log: string;
  /** Sorted set of gates by when they were last there. */
  readonly gates: string;
  readonly #head: string;
  readonly #headOfAll: string;

  constructor(fleet: string) {
    this.#head = `ttgate:{${fleet}}`;
    this.#headOfAll = `${this.#head}:`;
    this.log = `${this.#head}:log`;
    this.gates = `${this.#head}:gates`;
  }

  /** Hash of records by source. */
  records(gate: string): string {
    return `${this.#head}:${gate}:records`;
  }

  /** Sorted set of sources by when their records are over. */
  ends(gate: string): string {
    return `${this.#head}:${gate}:ends`;
  }

  /** Channel: what it writes into its records, when it does. */
  said(gate: string): string {
    return `${this.#head}:${gate}:said`;
  }

  /** Whose channel it is; empty: nobody's. */
  sayer(channel: string): string {
    const isOne = channel.startsWith(this.#headOfAll) && channel.endsWith(":said");
    return isOne ? channel.slice(this.#headOfAll.length, -":said".length) : "";
  }

  /** Hash: sign of life. */
  about(gate: string): string {
    return `${this.#head}:${gate}:about`;
  }
}

/** The engine's memory of hints: a gate that was away for longer reads everything anew. */
const logLength = 20_000;
/** Records that are over and go with each write. */
const cleanedAtOnce = 20;

const now = `local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local function whole(n) return string.format('%.0f', math.max(0, n)) end`;

/** A gate does not wait for an answer any longer, and announces it again. */
const lateMs = 3000;

/**
 * KEYS log gates records ends about; ARGV gate, its channel or nothing, when it was written by this clock, then seven for
 * each announcement. Gives now, the records, how many were taken out, and why the log took no hint: whoever may write it can
 * use its numbers up, which is to stop nobody. Ages and rests are those of that moment: what was on its way for longer
 * moves no end and no lift, and what nobody waits for any more is not carried out.
 */
const writeScript = `${now}
local late = math.max(0, now - ARGV[3])
if late > ${lateMs} then return redis.error_reply('LATE by '..whole(late)..' ms') end
local at = now - late
local names = {}
local said = {}
for i = 4, #ARGV, 7 do
  local source, left, ago, lifted, keep = ARGV[i], tonumber(ARGV[i+1]), tonumber(ARGV[i+2]), tonumber(ARGV[i+3]), tonumber(ARGV[i+4])
  local made = math.max(1, at - ago)
  local untilMs = made
  if left < 0 then untilMs = 0 elseif left > 0 then untilMs = at + left end
  local liftedMs = 0
  if lifted >= 0 then liftedMs = at - lifted end
  local record = whole(made)..' '..whole(untilMs)..' '..whole(liftedMs)..' '..ARGV[i+5]..' '..ARGV[i+6]
  redis.call('HSET', KEYS[3], source, record)
  if left < 0 or keep < 0 then redis.call('ZREM', KEYS[4], source)
  else redis.call('ZADD', KEYS[4], whole(at + math.max(left, keep)), source) end
  names[#names + 1] = source
  said[#said + 1] = source..' '..record
end
local over = redis.call('ZRANGE', KEYS[4], '-inf', whole(now), 'BYSCORE', 'LIMIT', 0, ${cleanedAtOnce})
if #over > 0 then
  redis.call('ZREM', KEYS[4], unpack(over))
  redis.call('HDEL', KEYS[3], unpack(over))
end
local number = redis.pcall('HINCRBY', KEYS[5], 'hints', 1)
if type(number) == 'table' then
  if string.find(number.err, 'WRONGTYPE', 1, true) then return number end
  number = 1
  redis.call('HSET', KEYS[5], 'hints', number)
end
local hint = redis.pcall('XADD', KEYS[1], 'MAXLEN', '~', ${logLength}, '*', 'g', ARGV[1], 'n', number, 's', table.concat(names, ' '))
local refused = type(hint) == 'table' and hint.err or ''
if refused ~= '' and not string.find(refused, 'exhausted', 1, true) then return hint end
if ARGV[2] ~= '' then redis.pcall('PUBLISH', ARGV[2], number..'\\n'..table.concat(said, '\\n')) end
return {whole(now), redis.call('HLEN', KEYS[3]), #over, refused}`;

/** KEYS gates about records; ARGV gate session position version bans. Gives the session before, when, records, and the time. */
const beatScript = `${now}
local before = redis.call('HMGET', KEYS[2], 'session', 'seen')
redis.call('HSET', KEYS[2], 'session', ARGV[2], 'seen', whole(now), 'at', ARGV[3], 'version', ARGV[4], 'bans', ARGV[5])
redis.call('ZADD', KEYS[1], whole(now), ARGV[1])
return {before[1], before[2], redis.call('HLEN', KEYS[3]), t[1], t[2]}`;

/** Longer than what any gate writes: a hint has the most, 200 sources. */
const longestText = 16_384;

/**
 * ARGV a command that reads. Somebody who may write can make texts of a megabyte and more: of these nothing comes, so that
 * no answer fills a gate's memory. The key stands among the arguments because who runs a script is asked for the
 * right to write its keys.
 */
const readScript = `local function short(reply)
  if type(reply) == 'string' then return #reply > ${longestText} and '' or reply end
  if type(reply) == 'table' then for i = 1, #reply do reply[i] = short(reply[i]) end end
  return reply
end
return short(redis.call(unpack(ARGV)))`;

/**
 * KEYS log; ARGV how many, behind which. Gives a text for each hint, which costs the engine and each gate a fraction of what
 * the parts of it would: all gates look at all hints of each second.
 */
const hintsScript = `local reply = redis.call('XREAD', 'COUNT', ARGV[1], 'STREAMS', KEYS[1], ARGV[2])
local hints = {}
for i, hint in ipairs(reply and reply[1][2] or {}) do
  hints[i] = string.sub(hint[1]..' '..table.concat(hint[2], ' '), 1, ${longestText})
end
return hints`;

export function hintsCommand({ log }: FleetKeys, count: number, behind: string): string[] {
  return ["EVAL", hintsScript, "1", log, String(count), behind];
}

export function readCommand({ log }: FleetKeys, command: readonly string[]): string[] {
  return ["EVAL", readScript, "1", log, ...command];
}

/** A key that a command is about holds something that no gate puts there. */
export class StrangeKey extends Error {
  constructor(command: readonly string[]) {
    const keys = [...new Set(command.filter((word) => word.startsWith("ttgate:{") && !word.endsWith(":said")))];
    const [key = ""] = keys;
    const remedy = `redis-cli del '${key}'`;
    super(
      keys.length === 1
        ? `the key ${key} is of another type than a fleet's: ${remedy}`
        : `one of the keys ${keys.join(", ")} is of another type than a fleet's: "redis-cli type KEY" says which, delete it`,
    );
  }
}

/** @returns what is to be thrown for it. */
export function strangeKeyOr(error: unknown, command: readonly string[]): unknown {
  return /\bWRONGTYPE\b/.test(messageOf(error)) ? new StrangeKey(command) : error;
}

export interface Writing {
  readonly announcements: readonly Announcement[];
  /** When they were made, by the engine's clock. */
  readonly engineMs: number;
  /** Also on the gate's channel. */
  readonly isSaid: boolean;
}

/** It fails with LATE when it comes to the engine so late that nobody waits for it. */
export function writeCommand(keys: FleetKeys, gate: string, { announcements, engineMs, isSaid }: Writing): string[] {
  const all = [keys.log, keys.gates, keys.records(gate), keys.ends(gate), keys.about(gate)];
  const head = [gate, isSaid ? keys.said(gate) : "", String(Math.round(engineMs))];
  return ["EVAL", writeScript, String(all.length), ...all, ...head, ...announcements.flatMap(argumentsOf)];
}

export interface Beat {
  readonly gate: string;
  readonly session: string;
  /** The last hint that was followed. */
  readonly position: string;
  readonly version: string;
  readonly bans: number;
}

export function beatCommand(keys: FleetKeys, { gate, session, position, version, bans }: Beat): string[] {
  const all = [keys.gates, keys.about(gate), keys.records(gate)];
  return ["EVAL", beatScript, String(all.length), ...all, gate, session, position, version, String(bans)];
}

/** Minus one stands for what has no end, and for what never was. */
function argumentsOf({ source, leftMs, agoMs, liftedAgoMs, keepMs, reason, evidence }: Announcement): string[] {
  const left = Number.isFinite(leftMs) ? Math.max(0, Math.round(leftMs)) : -1;
  const keep = Number.isFinite(keepMs) ? Math.round(keepMs) : -1;
  const lifted = liftedAgoMs === undefined ? -1 : Math.max(0, Math.round(liftedAgoMs));
  return [source, String(left), String(Math.max(0, Math.round(agoMs))), String(lifted), String(keep), reason, evidence];
}
