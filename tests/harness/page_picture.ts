// SPDX-License-Identifier: Apache-2.0
// `make picture`: the status page of a gate that is under attack, as a PNG for README:
//   page_picture.ts FILE
import { writeFileSync } from "node:fs";
import process from "node:process";
import { Browser, type View } from "./browser.ts";
import { openScene } from "./demo_scene.ts";
import { notBuilt } from "./gate.ts";
import { noNamespaces } from "./netns.ts";
import { sleep } from "./wait.ts";

/** Every attacker has come by then and comes back, and the hour has a shape. */
const attackMs = Number(process.env["PICTURE_SECONDS"] ?? 150) * 1000;
const view: View = { width: 1000, height: 960, theme: "light" };

async function main(file: string | undefined): Promise<number> {
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
  const fetch = ({ url }: Request) => scene.gate.fetch(new URL(url).pathname);
  await using server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch });
  await using browser = await Browser.start();
  await using page = await browser.page(view);
  await page.open(`http://127.0.0.1:${server.port}/`);
  writeFileSync(file, await page.picture());
  stop.abort();
  await attacks;
  return 0;
}

process.exitCode = await main(process.argv[2]);
