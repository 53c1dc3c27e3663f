// SPDX-License-Identifier: Apache-2.0
// `make picture`: the status page of a gate that is under attack, as a PNG for README:
//   page_picture.ts FILE [WIDTH HEIGHT light|dark [PATH]]
import { writeFileSync } from "node:fs";
import process from "node:process";
import { Browser } from "./browser.ts";
import { openScene } from "./demo_scene.ts";
import { notBuilt } from "./gate.ts";
import { noNamespaces } from "./netns.ts";
import { sleep } from "./wait.ts";

/** The attackers have all come by then, and come back. */
const attackMs = Number(process.env["SECONDS"] ?? 75) * 1000;

async function main([file, width = "1000", height = "1180", theme = "light"]: readonly string[]): Promise<number> {
  const reason = noNamespaces() ?? notBuilt();
  if (reason !== undefined || file === undefined) {
    console.error(`Cannot take a picture: ${reason ?? "name the file"}`);
    return 3;
  }
  await using scene = await openScene();
  const stop = new AbortController();
  const attacks = scene.attack(stop.signal);
  await sleep(attackMs);
  // The gate's own network is not the browser's.
  await using server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: ({ url }) => scene.gate.fetch(new URL(url).pathname),
  });
  await using browser = await Browser.start();
  await using page = await browser.page({
    width: Number(width),
    height: Number(height),
    theme: theme === "dark" ? "dark" : "light",
  });
  await page.open(`http://127.0.0.1:${server.port}/`);
  writeFileSync(file, await page.picture());
  stop.abort();
  await attacks;
  return 0;
}

process.exitCode = await main(process.argv.slice(2));
