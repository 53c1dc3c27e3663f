// SPDX-License-Identifier: Apache-2.0
// A web server that gives out a list as it is told by files in its directory: `body` is the list, `mode` how it
// behaves. Each request is noted in `requests`.
//   list_server.ts DIRECTORY PORT
import { createHash } from "node:crypto";
import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { join } from "node:path";
import process from "node:process";

/**
 * `truncated` promises more than it sends; `cut` breaks a chunked body off; `unmeasured` ends with the connection, two
 * characters too soon; `unpackable` is not packed as it says; `slow` never comes to its end;
 * `same` says for ever that nothing changed since Christmas 2025.
 */
export type Mode =
  | "ok"
  | "same"
  | "error"
  | "truncated"
  | "cut"
  | "unmeasured"
  | "unpackable"
  | "slow"
  | "html"
  | "redirect"
  | "elsewhere"
  | "endless";

const listed = Array.from({ length: 50 }, (_, index) => `198.18.9.${index}`).join("\n");
const html = `<!DOCTYPE html>\n<html>\n<body>\n<pre>\n${listed}\n</pre>\n</body>\n</html>\n`;

export function listServer(directory: string): Server {
  return createServer((request, response) => {
    const file = join(directory, "mode");
    const mode = (existsSync(file) ? readFileSync(file, "utf8").trim() : "ok") as Mode;
    const body = readFileSync(join(directory, "body"));
    answer(mode, body, request, response);
    appendFileSync(join(directory, "requests"), `${request.url} ${mode} ${response.statusCode}\n`);
  });
}

function answer(mode: Mode, body: Buffer, { url, headers }: IncomingMessage, response: ServerResponse): void {
  switch (mode) {
    case "ok": {
      const etag = `"${createHash("sha1").update(body).digest("hex")}"`;
      response.setHeader("etag", etag);
      response.statusCode = headers["if-none-match"] === etag ? 304 : 200;
      response.end(response.statusCode === 304 ? undefined : body);
      return;
    }
    case "same":
      response.setHeader("last-modified", "Thu, 25 Dec 2025 00:00:00 GMT");
      response.statusCode = headers["if-modified-since"] === undefined ? 200 : 304;
      response.end(response.statusCode === 304 ? undefined : body);
      return;
    case "error":
      response.writeHead(500).end("Internal error");
      return;
    case "truncated":
      response.writeHead(200, { "content-length": body.length + 1000 });
      response.write(body, () => response.socket?.end());
      return;
    case "cut":
      response.writeHead(200);
      response.write(body, () => response.socket?.destroy());
      return;
    case "unmeasured":
      response.socket?.write("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
      response.socket?.end(body.subarray(0, -2));
      return;
    case "unpackable":
      response.writeHead(200, { "content-encoding": "gzip" }).end(body);
      return;
    case "slow":
      response.writeHead(200);
      response.write(body.subarray(0, 10));
      return;
    case "html":
      response.writeHead(200, { "content-type": "text/html" }).end(html);
      return;
    case "redirect":
      if (url === "/moved") response.writeHead(200).end(body);
      else response.writeHead(302, { location: "/moved" }).end();
      return;
    case "elsewhere":
      response.writeHead(302, { location: "file:///etc/passwd" }).end();
      return;
    case "endless": {
      response.writeHead(200);
      const more = Buffer.alloc(1024 * 1024, "192.0.2.1\n");
      const push = () => {
        while (!response.destroyed && response.write(more));
        if (!response.destroyed) response.once("drain", push);
      };
      push();
      return;
    }
    default:
      mode satisfies never;
  }
}

if (import.meta.main) {
  const [, , directory = "", port = "0"] = process.argv;
  listServer(directory).listen(Number(port), "::", () => console.log("ready"));
}
