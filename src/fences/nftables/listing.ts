// SPDX-License-Identifier: Apache-2.0
// Reads what `nft -j list` prints, while it is printed: elements are handed over one by one, so that a table of a
// hundred thousand is neither kept as text nor parsed in one go. Pure.
import { entryChain, ownerOf, rawPriority } from "./ruleset.ts";

/** An element of a set, as nft tells it. */
export interface ListedElement {
  readonly set: string;
  readonly value: string;
  /** Undefined: without an end. */
  readonly expiresSeconds: number | undefined;
  readonly comment: string | undefined;
  readonly packets: number;
  readonly bytes: number;
}

/** One table, but for its elements. */
export interface Listing {
  readonly isThere: boolean;
  /** Sets, chains and rules in one text: another text is another table. */
  readonly fingerprint: string;
  /** Sets and chains, a text each: lines of the fingerprint. */
  readonly objects: readonly string[];
  readonly sets: readonly string[];
  readonly rules: number;
  /** The chain that sees every packet is where it has to be, and the table has no flags: one that is dormant is passed over. */
  readonly isHooked: boolean;
  /** Chains by which processes call the table theirs. */
  readonly owners: readonly string[];
  /** By all rules. */
  readonly packets: number;
  readonly bytes: number;
}

type Json = Readonly<Record<string, unknown>>;

/** {"nftables": [ {"set": {..., "elem": [ {...} ]}} ]}: how deep each of them lies. */
const objectDepth = 3;
const elementsDepth = 5;

export class ListingReader {
  readonly #table: string;
  readonly #found: (element: ListedElement) => void;
  readonly #objects: Json[] = [];
  #depth = 0;
  #isInString = false;
  #isEscaped = false;
  /** Of the object that is being read, without its elements. */
  #object = "";
  /** The set whose elements are being read; undefined outside of such a list. */
  #set: { readonly name: string; readonly isOurs: boolean } | undefined;
  #element = "";

  /** @param table whose elements are wanted, and what else is in it. */
  constructor(table: string, found: (element: ListedElement) => void = () => {}) {
    this.#table = table;
    this.#found = found;
  }

  push(text: string): void {
    let from = 0;
    for (let at = 0; at < text.length; at++) {
      const code = text.charCodeAt(at);
      if (this.#isInString || code === quote) this.#string(code);
      else if (code === brace || code === bracket) from = this.#open(text, from, at, code);
      else if (code === closingBrace || code === closingBracket) {
        from = this.#close(text, from, at);
        this.#depth--;
      } else if (code === comma && this.#depth === elementsDepth && this.#set !== undefined) {
        from = this.#endElement(text, from, at);
      }
    }
    this.#take(text.slice(from));
  }

  /** A character that begins, goes on with or ends a string. */
  #string(code: number): void {
    if (!this.#isInString) this.#isInString = true;
    else if (this.#isEscaped) this.#isEscaped = false;
    else if (code === backslash) this.#isEscaped = true;
    else if (code === quote) this.#isInString = false;
  }

  /** @throws Error when the text was not whole. */
  end(): Listing {
    if (this.#depth !== 0 || this.#isInString) throw new Error("The listing of nft is not whole");
    return listingOf(this.#objects, this.#table);
  }

  #take(text: string): void {
    if (this.#depth < objectDepth) return;
    if (this.#set === undefined) this.#object += text;
    else this.#element += text;
  }

  /** @returns where the text goes on that is not taken yet. */
  #open(text: string, from: number, at: number, code: number): number {
    this.#depth++;
    if (code === brace && this.#depth === objectDepth) return at;
    return code === bracket && this.#depth === elementsDepth ? this.#openList(text, from, at) : from;
  }

  #openList(text: string, from: number, at: number): number {
    const before = this.#object + text.slice(from, at);
    if (!/"elem"\s*:\s*$/.test(before)) return from;
    this.#object = `${before}[`;
    this.#set = {
      name: /"name"\s*:\s*"([^"]*)"/.exec(before)?.[1] ?? "",
      isOurs: /"table"\s*:\s*"([^"]*)"/.exec(before)?.[1] === this.#table,
    };
    return at + 1;
  }

  #close(text: string, from: number, at: number): number {
    if (this.#depth === elementsDepth && this.#set !== undefined) {
      this.#endElement(text, from, at);
      this.#set = undefined;
      return at;
    }
    if (this.#depth !== objectDepth) return from;
    this.#objects.push(...ours(JSON.parse(this.#object + text.slice(from, at + 1)) as Json, this.#table));
    this.#object = "";
    return at + 1;
  }

  #endElement(text: string, from: number, at: number): number {
    const whole = (this.#element + text.slice(from, at)).trim();
    this.#element = "";
    if (whole !== "" && this.#set?.isOurs === true) this.#found(elementOf(this.#set.name, JSON.parse(whole)));
    return at + 1;
  }
}

const [quote, backslash, comma, brace, closingBrace, bracket, closingBracket] = [34, 92, 44, 123, 125, 91, 93] as const;

/** `{"elem": {"val": ...}}`, or the value alone where there is nothing to tell of it. */
function elementOf(set: string, json: unknown): ListedElement {
  const element = ((json as { readonly elem?: Json })?.elem ?? { val: json }) as Json;
  const counter = (element["counter"] ?? {}) as Json;
  const { expires, comment, val } = element;
  return {
    set,
    value: typeof val === "string" ? val : JSON.stringify(val),
    expiresSeconds: typeof expires === "number" ? expires : undefined,
    comment: typeof comment === "string" ? comment : undefined,
    packets: Number(counter["packets"] ?? 0),
    bytes: Number(counter["bytes"] ?? 0),
  };
}

/** What belongs to the table, and the table itself. */
function ours(object: Json, table: string): Json[] {
  const [kind, value] = Object.entries(object)[0] ?? [];
  const { table: of, name } = (value ?? {}) as Json;
  return (kind === "table" ? name : of) === table ? [object] : [];
}

function listingOf(objects: readonly Json[], table: string): Listing {
  const of = (kind: string) => objects.flatMap((object) => (kind in object ? [object[kind] as Json] : []));
  const sets = of("set").map(({ name }) => String(name));
  const chains = of("chain");
  const rules = of("rule");
  const counters = rules.flatMap(({ expr }) => (expr as readonly Json[]).flatMap(({ counter }) => counter ?? []));
  const sum = (field: "packets" | "bytes") =>
    counters.reduce((total: number, counter) => total + Number((counter as Json)[field] ?? 0), 0);
  const plain = [...of("set"), ...chains].map(stable).toSorted();
  return {
    isThere: of("table").some(({ name }) => name === table),
    objects: plain,
    fingerprint: [...plain, ...rules.map(stable)].join("\n"),
    sets,
    rules: rules.length,
    isHooked:
      !of("table").some((object) => "flags" in object) &&
      chains.some(
        ({ name, hook, prio, policy }) =>
          name === entryChain && hook === "prerouting" && prio === rawPriority && policy === "accept",
      ),
    owners: chains.map(({ name }) => String(name)).filter((name) => ownerOf(name) !== undefined),
    packets: sum("packets"),
    bytes: sum("bytes"),
  };
}

/** Changes by itself, or with every element. */
const unstable: ReadonlySet<string> = new Set(["handle", "elem", "count"]);

function stable(object: Json): string {
  return JSON.stringify(object, (key, value: unknown) =>
    unstable.has(key) ? undefined : key === "counter" ? null : value,
  );
}
