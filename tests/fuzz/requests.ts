// SPDX-License-Identifier: Apache-2.0
// Bytes that somebody sends to an HTTP server: requests right and wrong, one behind the other. Seeded and pure.
import { pick, type Random } from "../harness/random.ts";
import { mutateBytes } from "./mutate.ts";

const methods = ["GET", "GET", "GET", "GET", "HEAD", "POST", "POST", "DELETE"];
const strangeMethods = ["PUT", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PRI", "get", "X".repeat(300)];

const paths = [
  ...[
    "/",
    "/healthz",
    "/readyz",
    "/status",
    "/metrics",
    "/bans",
    "/bans/192.0.2.1",
    "/why/::1",
    "/talkers",
    "/history",
  ],
  ...[
    "/events",
    "/fleet",
    "/bans/list",
    "/lifts/list",
    "/reload",
    "/source/192.0.2.1",
    "/page.js",
    "/style.css",
    "*",
    "",
  ],
  ...["/bans/%", "/bans/%zz", "/bans/%00", "/bans/%ff%fe", "/why/%E0%A4%A", "/..%2f..%2fetc/passwd", "//", "/./../x"],
  ...[
    `/bans/${"a".repeat(9000)}`,
    "/bans/192.0.2.0%2F24",
    "/bans/fe80::1%25eth0",
    "http://127.0.0.1/status",
    "http://[::1/",
    "ftp:x",
  ],
  ...["/source/%", "/why/__proto__", "/constructor", "/status/", "/bans/1.2.3.4/5/6"],
];

const queries = [
  ...["", "", "?", "?limit=-1", "?limit=1e9", "?offset=99999999999", "?sort=x", "?step=second&count=9999", "?count=0"],
  ...[
    "?limit[]=1",
    "?limit=1&limit=2",
    "?%",
    "?%ff=%00",
    `?a=${"b".repeat(5000)}`,
    "?for=1h&force=true&name=%20",
    "?by=x",
  ],
  ...["?q=(((((", "?protocol=__proto__", "?#x", "?since=NaN"],
];

const headers = [
  ...[
    "Last-Event-ID: 1",
    "Last-Event-ID: -1",
    `Last-Event-ID: ${"9".repeat(400)}`,
    "Accept: text/html",
    "Accept-Encoding: gzip, br",
  ],
  ...[
    "Authorization: Bearer x",
    "Authorization: Bearer ",
    "Authorization: Basic eA==",
    "Connection: close",
    "Expect: 100-continue",
  ],
  ...[
    "Range: bytes=0-1,2-3",
    "If-None-Match: *",
    "TE: trailers",
    `Cookie: ${"c=d; ".repeat(800)}`,
    "Content-Type: application/json",
  ],
  ...["Content-Type: multipart/form-data; boundary=x", "Origin: http://evil.example", "X-Forwarded-For: 1.2.3.4"],
];

const strangeHeaders = [
  ...[
    "Host: localhost:1",
    "Host: evil.example",
    "Host: [::1",
    "Host: ",
    "Host: a b",
    "Host: 127.0.0.1\r\nHost: x",
    "Connection: upgrade",
  ],
  ...[
    "Upgrade: websocket\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13",
    "Upgrade: h2c\r\nHTTP2-Settings: AAAA",
  ],
  ...[
    "Expect: x",
    "X: \u0000",
    " folded",
    "X",
    ": x",
    "X : y",
    "X-TTGate-Operator: \u00fc\u0001",
    "Transfer-Encoding: chunked, chunked",
  ],
];

const bodies = [
  ...[
    "{}",
    "null",
    "[]",
    '{"address":"192.0.2.9"}',
    '{"address":"192.0.2.9","for":"1h","force":true,"by":"operator"}',
    "[".repeat(5000),
  ],
  ...[
    '{"address":1}',
    '{"address":"192.0.2.9","for":"99999d"}',
    '{"__proto__":{"address":"x"}}',
    "192.0.2.1\n192.0.2.2 10m\n",
    "\u0000\n".repeat(500),
  ],
  ...["{", '{"address":"0.0.0.0/0","force":true}', `{"address":"${"1".repeat(3000)}"}`],
];

function framed(random: Random, body: string): string {
  const length = Buffer.byteLength(body);
  switch (random(12)) {
    case 0:
      return `Transfer-Encoding: chunked\r\n\r\n${length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;
    case 1:
      return `Transfer-Encoding: chunked\r\n\r\n${pick(random, ["ffffffff", "-1", "x", "1;a=b", "0"])}\r\n${body}\r\n0\r\n\r\n`;
    case 2:
      return `Content-Length: ${pick(random, ["-1", "1e3", "99999999999999999999", String(length + 5), "0x10"])}\r\n\r\n${body}`;
    case 3:
      return `Content-Length: ${length}\r\nContent-Length: ${random(9)}\r\n\r\n${body}`;
    case 4:
      return `Content-Length: ${length}\r\nTransfer-Encoding: chunked\r\n\r\n${body}`;
    default:
      return `Content-Length: ${length}\r\n\r\n${body}`;
  }
}

function request(random: Random): string {
  const version = random(16) > 0 ? "HTTP/1.1" : pick(random, ["HTTP/1.0", "HTTP/2.0", "HTTP/9", "", "HTTP/1.1 x"]);
  const method = pick(random, random(12) > 0 ? methods : strangeMethods);
  const head = [`${method} ${pick(random, paths)}${pick(random, queries)} ${version}`];
  if (random(12) > 0) head.push("Host: 127.0.0.1");
  for (let count = random(4); count > 0; count--) head.push(pick(random, random(12) > 0 ? headers : strangeHeaders));
  if (random(40) === 0) head.push(...Array.from({ length: 2000 }, (_, index) => `X-${index}: y`));
  if (random(40) === 0) head.push(`X: ${"y".repeat(200_000)}`);
  const hasBody = method === "POST" ? random(8) > 0 : random(12) === 0;
  const end = hasBody ? framed(random, pick(random, bodies)) : "\r\n";
  return `${head.join(random(12) > 0 ? "\r\n" : "\n")}\r\n${end}`;
}

/** A connection's worth. */
export function requests(random: Random): Uint8Array {
  const encoder = new TextEncoder();
  const bytes = encoder.encode(Array.from({ length: 1 + random(4) }, () => request(random)).join(""));
  if (random(3) > 0) return bytes;
  // The mutator keeps what is short.
  const at = random(bytes.length);
  const damaged = mutateBytes(random, bytes.subarray(at, at + 400), encoder.encode(request(random)).subarray(0, 400));
  return Uint8Array.from([...bytes.subarray(0, at), ...damaged, ...bytes.subarray(at + 400)]);
}
