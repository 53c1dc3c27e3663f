// SPDX-License-Identifier: Apache-2.0
// `make demo`: good clients keep talking to their server through the gate while others attack it, in
// throwaway network namespaces. Ends by itself; exit code 0 only if the good clients never failed and
// every attacker was banned.
import process from "node:process";
import { openScene, type Scene } from "./demo_scene.ts";
import { friendsOf, line, type Picture, screen, verdict } from "./demo_screen.ts";
import { notBuilt } from "./gate.ts";
import { noNamespaces } from "./netns.ts";
import { sleep } from "./wait.ts";

const lengthSeconds = 20;

async function take(scene: Scene, startedMs: number): Promise<Picture> {
  return {
    atSeconds: Math.min(lengthSeconds, Math.round((performance.now() - startedMs) / 1000)),
    ofSeconds: lengthSeconds,
    status: await scene.gate.status(),
    bans: await scene.gate.bans(),
    friends: friendsOf(scene.friends.map((friend) => friend.reports())),
    attackers: scene.attackers,
  };
}

/** Home, and after the picture clear what an earlier one left below. */
function draw(picture: Picture, first: boolean): void {
  const lines = screen(picture).split("\n");
  const up = first ? "" : `\x1b[${lines.length}A`;
  process.stdout.write(`${up}${lines.map((text) => `\x1b[2K${text}\n`).join("")}`);
}

async function show(scene: Scene, startedMs: number): Promise<void> {
  const terminal = process.stdout.isTTY === true;
  let first = true;
  while (performance.now() - startedMs < lengthSeconds * 1000) {
    const picture = await take(scene, startedMs);
    if (terminal) draw(picture, first);
    else console.log(line(picture));
    first = false;
    await sleep(terminal ? 250 : 1000);
  }
}

async function demo(): Promise<number> {
  const reason = noNamespaces() ?? notBuilt();
  if (reason !== undefined) {
    console.error(`Cannot run the demo: ${reason}`);
    return 3;
  }
  await using scene = await openScene();
  const stop = new AbortController();
  const startedMs = performance.now();
  const attacks = scene.attack(stop.signal);
  await show(scene, startedMs);
  stop.abort();
  await attacks;
  for (const friend of scene.friends) await friend.stop();
  const last = await take(scene, startedMs);
  const { strangers } = await scene.server.stop();
  if (process.stdout.isTTY !== true) console.log(`\n${screen(last)}`);
  const { good, text } = verdict(last, strangers);
  console.log(`\n${text}`);
  return good ? 0 : 1;
}

process.exitCode = await demo();
