// SPDX-License-Identifier: Apache-2.0
// Clients of binary protocols that nobody knows. What they say while ttgate learns, and what others of them say
// later: with other ids, names, places, sizes, the next version, the next year. Seeded.
import { createRandom } from "./friends.ts";

/** One connection of a client. */
interface Moment {
  /** Below its argument. */
  readonly below: (limit: number) => number;
  readonly client: number;
  readonly atMs: number;
  /** Learned from; otherwise one of those that come later. */
  readonly isKnown: boolean;
}

export interface Visit {
  readonly source: string;
  readonly atMs: number;
  readonly bytes: Uint8Array;
}

const be = (value: number, size: number) =>
  Array.from({ length: size }, (_, index) => Math.floor(value / 256 ** (size - 1 - index)) % 256);
const le = (value: number, size: number) => be(value, size).reverse();
const text = (value: string) => Array.from(value, (character) => character.charCodeAt(0));
const random = ({ below }: Moment, count: number) => Array.from({ length: count }, () => below(256));
const sized = (value: readonly number[]) => [value.length, ...value];
const name = ({ client, isKnown }: Moment) => text(isKnown ? `till-${client}` : `gate-of-the-north-${client * 31}`);
const words = (moment: Moment) =>
  text("alpha bravo charlie delta ".repeat(9)).slice(0, 4 + moment.below(moment.isKnown ? 60 : 200));
/** Half of those that come later are of the next version, batch, or place. */
const next = <T>({ isKnown, client }: Moment, now: T, later: T) => (isKnown || client % 2 === 0 ? now : later);
const decimal = (value: number) => Math.floor(value / 10) * 16 + (value % 10);
const dateOf = ({ atMs }: Moment) => {
  const date = new Date(atMs);
  return [date.getUTCFullYear(), date.getUTCMonth() + 1, date.getUTCDate(), date.getUTCHours(), date.getUTCMinutes()];
};
const float = (value: number) => [...new Uint8Array(new Float32Array([value]).buffer)].reverse();
const fixed = (value: number) => [...new Uint8Array(new Int32Array([Math.round(value * 1e7)]).buffer)].reverse();

const packets: Readonly<Record<string, (moment: Moment) => readonly number[]>> = {
  "a name, a type, a length, a count": (moment) => {
    const body = [...le(moment.client, 2), ...words(moment)];
    return [...text("TTRK"), 1, 0, ...be(body.length, 4), ...le(moment.below(500), 4), ...body];
  },
  "a length, a type, a customer's number, strings": (moment) => {
    const id = le(moment.isKnown ? 100 + moment.client : 70_000 + moment.client, 4);
    const body = [...le(0x11, 2), ...id, ...sized(name(moment)), ...sized(words(moment))];
    return [...le(body.length, 4), ...body];
  },
  "a magic and a version of three numbers": (moment) => {
    const json = text(JSON.stringify({ user: moment.client, build: moment.below(9999) }));
    return [0xab, 0xcd, ...next(moment, [2, 1, 3], [3, 0, 0]), 0, ...be(json.length, 2), ...json];
  },
  "a version and ciphertext": (moment) => {
    const body = random(moment, 48 + 16 * moment.below(20));
    return [...text("ZQ"), ...next(moment, [1, 4], [1, 5]), ...be(body.length, 4), ...body];
  },
  "a version and a length, and no magic": (moment) => {
    const body = [...le(moment.client, 4), ...random(moment, 12), ...words(moment)];
    return [...be(next(moment, 0x301, 0x302), 2), ...be(body.length, 2), ...body];
  },
  "a version in text": (moment) => text(`ACMECLIENT/${next(moment, "1.4.2", "1.5.0")} ${moment.below(1000)}\r\n`),
  "a date in text": (moment) => text(`${new Date(moment.atMs).toISOString()} UNIT${100 + moment.client} OK\r\n`),
  "the year and the day as numbers": (moment) => {
    const [year = 0, ...rest] = dateOf(moment);
    return [0x5a, ...be(year, 2), ...rest, 1, ...be(moment.client, 4), ...words(moment)];
  },
  "a date in decimal digits": (moment) => {
    const [year = 0, ...rest] = dateOf(moment);
    const date = [decimal(Math.floor(year / 100)), decimal(year % 100), ...rest.map(decimal)];
    return [0x68, 0x11, ...date, ...be(moment.client * 7, 6), 0x16, ...random(moment, 6)];
  },
  "days since 2000": (moment) => {
    const days = Math.floor((moment.atMs - 946_684_800_000) / 86_400_000);
    return [0x99, 0x17, ...be(days, 2), 1, ...be(moment.client, 2), ...random(moment, 12)];
  },
  "milliseconds first": (moment) => [...le(moment.atMs, 8), 0x10, 2, ...le(moment.client, 4), ...words(moment)],
  "a hardware address of one maker": (moment) => [
    ...[0x7e, 1, ...next(moment, [0, 0x1a, 0x7d], [0x3c, 0x6a, 0x9d]), ...random(moment, 3)],
    ...[...be(moment.below(65_536), 2), ...random(moment, 6), 0x7e],
  ],
  "a serial number of one batch": (moment) => [
    ...[0x55, 0xaa, 1, ...be(next(moment, 371_600_000, 412_000_000) + moment.below(60_000), 4)],
    ...[...be(moment.below(200), 2), ...random(moment, 8 + moment.below(8))],
  ],
  "an address of one network": (moment) => [
    ...[0xd0, 0xe1, 0x30, 1, ...next(moment, [192, 168, 1], [10, 20, 3]), moment.below(255)],
    ...[...be(moment.below(65_536), 2), ...name(moment), 0],
  ],
  "the server's name": (moment) => [
    ...[1, ...sized(text(next(moment, "tt.example.org", "new.example.net")))],
    ...[...be(moment.client, 2), ...random(moment, 8)],
  ],
  "a build and an operating system": (moment) => [
    ...[0xc0, 0xde, ...le(next(moment, 22_631, 26_100), 2)],
    ...[...sized(text(next(moment, "Windows 11", "Windows 12"))), ...random(moment, 8)],
  ],
  "a temperature": (moment) => [
    ...[0xaa, 0x33, 1, ...float((moment.isKnown ? 19 : -15) + moment.below(60) / 10)],
    ...[...be(moment.client, 2), ...random(moment, 2)],
  ],
  "coordinates of one town": (moment) => [
    ...[0xaa, 0x44, ...fixed((moment.isKnown ? 49.1 : -33.9) + moment.below(90) / 1000)],
    ...[...fixed((moment.isKnown ? 16.5 : 151.2) + moment.below(90) / 1000), ...random(moment, 4)],
  ],
  "a nonce and clear text": (moment) => [...random(moment, 32), ...text(`{"u":"till-${moment.client}","n":17}`)],
  "two kinds of clients": (moment) =>
    moment.client % 10 === 3
      ? [...text("NEWP"), 2, 0, 0, ...le(moment.below(900), 4), ...random(moment, 20)]
      : [...text("NEWP"), 1, ...be(moment.below(900), 2), ...words(moment)],
  "JSON behind its length": (moment) => {
    const { client, isKnown } = moment;
    const json = text(JSON.stringify({ user: text(String(client)), items: words(moment) }, null, next(moment, 0, 2)));
    return [...le(json.length, 2), ...(isKnown ? json : json.slice(0, 12_000))];
  },
  "lines of JSON": (moment) => [
    ...text(JSON.stringify({ user: moment.client, n: moment.below(999) }, null, next(moment, 0, 1))),
    10,
  ],
  "a name and a session": (moment) => [0x0a, ...sized(name(moment)), 0x22, ...sized(random(moment, 32))],
  "a name, a zero and a key": (moment) => [0x33, 0x44, ...name(moment), 0, ...random(moment, 40)],
  "a map of text": (moment) => [
    ...[next(moment, 0x81, 0x82), 0xa1, 0x6e, 0xa0 | name(moment).length, ...name(moment)],
    ...next(moment, [], [0xa1, 0x7a, moment.below(128)]),
  ],
  "a name in UTF-16": (moment) => [
    0x10,
    0,
    ...le(moment.client, 2),
    ...name(moment).flatMap((byte) => [byte, 0]),
    0,
    0,
  ],
  "large first packets": (moment) => {
    const length = 5000 + moment.below(moment.isKnown ? 1000 : 60_000);
    return [...text("BIGP"), ...le(length, 4), ...le(moment.client, 2), ...random(moment, length - 2)];
  },
};

export const proprietary = Object.keys(packets);

/** When clients were learned from, and when others come: next month, next year, and years later. */
export const learnedMs = Date.UTC(2026, 10, 29, 12);
const dayMs = 86_400_000;
export const laterMs = [30, 34, 400, 3000].map((days) => learnedMs + days * dayMs);

/** @returns a day of visits. */
export function visits(protocol: string, startMs: number, count: number, clients: number): Visit[] {
  const next = createRandom(startMs % 9973);
  const below = (limit: number) => next() % limit;
  return Array.from({ length: count }, (_, index) => {
    const client = index < clients ? index : below(clients);
    const atMs = startMs + Math.floor((dayMs * index) / count);
    const moment = { below, client, atMs, isKnown: startMs === learnedMs };
    return { source: `client ${client}`, atMs, bytes: Uint8Array.from(packets[protocol]?.(moment) ?? []) };
  });
}
