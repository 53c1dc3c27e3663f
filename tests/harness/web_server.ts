// SPDX-License-Identifier: Apache-2.0
// A web server in a network namespace, for gates in front of HTTP.
import process from "node:process";
import { Child } from "./child.ts";

const script = `Bun.serve({ hostname: "::", port: Number(process.argv[1]), fetch: () => new Response("hello") });
console.log("ready");`;

export async function startWebServer(namespace: string, port: number): Promise<Child> {
  const child = new Child([process.execPath, "-e", script, String(port)], { namespace });
  await child.said(/^ready\n/);
  return child;
}
