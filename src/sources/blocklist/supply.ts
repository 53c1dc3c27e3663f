// SPDX-License-Identifier: Apache-2.0
// Where a list comes from: a file, or a URL by HTTP. Says that it is the same as before where that can be told, and
// gives its text a chunk at a time within limits of size and time.
import { closeSync, constants, createReadStream, fstatSync, openSync, type Stats, statSync } from "node:fs";
import { shownSource } from "../../config/blocklist.ts";
import { messageOf } from "../../failure.ts";

/** A million lines of JSON have some 70 bytes each. */
const mostBytes = 128 * 1024 * 1024;
const chunkBytes = 64 * 1024;
const mostRedirects = 5;
/** Who writes a file in place is done after so long, whatever it ends with. */
const writtenMs = 60_000;

export type Supply =
  /** The same as at the last time. */
  | { readonly kind: "unchanged" }
  /** `version`: what to come back with. `changedMs`: since when it is so, since 1970; undefined: that is not said. */
  | {
      readonly kind: "text";
      readonly version: string;
      readonly changedMs: number | undefined;
      readonly chunks: AsyncIterable<string>;
      /** After the last chunk: whether who writes it may not have come to its end. */
      readonly isCut: () => boolean;
    };

/** What tells one version of a file from the next; undefined where it is not there, or cannot be looked at. */
export function fileVersion(path: string): string | undefined {
  try {
    return versionOf(statSync(path));
  } catch {
    return undefined;
  }
}

function versionOf({ ino, mtimeMs, size }: Stats): string {
  return `${ino} ${mtimeMs} ${size}`;
}

/**
 * @param known the version that was taken before; undefined: none.
 * @throws Error when it cannot be had; so do the chunks.
 */
export function openSupply(source: string, known: string | undefined, signal: AbortSignal): Promise<Supply> {
  return source.startsWith("/") ? Promise.resolve(openFile(source, known)) : openUrl(source, known, signal);
}

/** What a runtime says of a request has its URL, with the key in its query; and Deno's reason is the cause of it. */
function withoutKeys(error: unknown): unknown {
  if (!(error instanceof TypeError)) return error;
  const { cause } = error;
  const reason = cause instanceof Error ? `${messageOf(error)}: ${messageOf(cause)}` : messageOf(error);
  return new Error(reason.replaceAll(/\bhttps?:\/\/[^\s"')]+/g, shownSource));
}

function openFile(path: string, known: string | undefined): Supply {
  // A pipe would be waited for.
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  let isRead = false;
  try {
    const found = fstatSync(fd);
    if (!found.isFile()) throw new Error("it is no file");
    if (found.size > mostBytes) throw new Error(tooLarge);
    const { mtimeMs } = found;
    const version = versionOf(found);
    if (version === known) return { kind: "unchanged" };
    isRead = true;
    let last = "";
    return {
      ...{ kind: "text", version, changedMs: mtimeMs },
      chunks: textOfFile({ path, fd, version }, (end) => (last = end)),
      // A future time is another clock's.
      isCut: () => last !== "\n" && Math.abs(Date.now() - mtimeMs) < writtenMs,
    };
  } finally {
    if (!isRead) closeSync(fd);
  }
}

interface OpenedFile {
  readonly path: string;
  readonly fd: number;
  readonly version: string;
}

async function* textOfFile({ path, fd, version }: OpenedFile, onEnd: (last: string) => void): AsyncGenerator<string> {
  try {
    const options = { fd, autoClose: false, encoding: "utf8", highWaterMark: chunkBytes } as const;
    for await (const chunk of createReadStream(path, options) as AsyncIterable<string>) {
      onEnd(chunk.at(-1) ?? "");
      yield chunk;
    }
    // One that is written in place: half of it would be half a list.
    if (versionOf(fstatSync(fd)) !== version) throw new Error("it was changed while it was read");
  } finally {
    closeSync(fd);
  }
}

const tooLarge = `it is larger than ${mostBytes / 1024 / 1024} MiB`;

async function openUrl(url: string, known: string | undefined, signal: AbortSignal): Promise<Supply> {
  const [etag = "", modified = ""] = known?.split("\n") ?? [];
  const headers: Record<string, string> = {
    accept: "text/plain, application/json, */*;q=0.5",
    "user-agent": "ttgate",
    ...(etag === "" ? {} : { "if-none-match": etag }),
    ...(modified === "" ? {} : { "if-modified-since": modified }),
  };
  const response = await follow(new URL(url), headers, signal);
  if (response.status === 304 && known !== undefined) {
    await response.body?.cancel();
    return { kind: "unchanged" };
  }
  if (response.status !== 200 || response.body === null) {
    await response.body?.cancel();
    throw new Error(`the server answers ${response.status}`);
  }
  const version = `${response.headers.get("etag") ?? ""}\n${response.headers.get("last-modified") ?? ""}`;
  const changedMs = Date.parse(response.headers.get("last-modified") ?? "");
  return {
    ...{ kind: "text", version, chunks: textOf(response), isCut: () => false },
    changedMs: Number.isNaN(changedMs) ? undefined : changedMs,
  };
}

/** Never from https to http, nor to anything else. */
async function follow(from: URL, headers: Record<string, string>, signal: AbortSignal): Promise<Response> {
  let url = from;
  for (let hops = 0; hops <= mostRedirects; hops++) {
    const response = await fetch(url, { headers, signal, redirect: "manual" }).catch((error: unknown) => {
      throw withoutKeys(error);
    });
    const location = response.headers.get("location");
    if (![301, 302, 303, 307, 308].includes(response.status) || location === null) return response;
    await response.body?.cancel();
    const next = new URL(location, url);
    const isAllowed = next.protocol === "https:" || (next.protocol === "http:" && url.protocol === "http:");
    if (!isAllowed) throw new Error(`it is redirected from ${url.protocol}// to ${next.protocol}//, which is refused`);
    url = next;
  }
  throw new Error(`it is redirected more than ${mostRedirects} times`);
}

async function* textOf(response: Response): AsyncGenerator<string> {
  const isEncoded = response.headers.get("content-encoding") !== null;
  const promised = isEncoded ? undefined : Number(response.headers.get("content-length") ?? Number.NaN);
  const decoder = new TextDecoder();
  let bytes = 0;
  let last = "";
  for await (const chunk of bodyOf(response)) {
    bytes += chunk.length;
    if (bytes > mostBytes) throw new Error(tooLarge);
    for (let start = 0; start < chunk.length; start += chunkBytes) {
      const text = decoder.decode(chunk.subarray(start, start + chunkBytes), { stream: true });
      last = text.at(-1) ?? last;
      yield text;
    }
  }
  if (promised !== undefined && bytes < promised) throw new Error(`it ends after ${bytes} of ${promised} bytes`);
  // Half an address may be another one.
  if (!isMeasured(response) && last !== "\n")
    throw new Error("it ends within a line, and its server does not say where");
  yield decoder.decode();
}

async function* bodyOf({ body }: Response): AsyncGenerator<Uint8Array> {
  try {
    yield* body ?? [];
  } catch (error) {
    throw withoutKeys(error);
  }
}

/** Otherwise its end is that of the connection, whatever ended that. HTTP/2 has none of these headers. */
function isMeasured({ headers, url }: Response): boolean {
  const has = (name: string) => headers.get(name) !== null;
  if (has("content-length") || has("transfer-encoding") || has("content-encoding")) return true;
  return url.startsWith("https:") && headers.get("connection") !== "close";
}
