// SPDX-License-Identifier: Apache-2.0
// `ttgate events`: what happens, a line each, as it happens.
import { refusal } from "../control.ts";
import { formatDuration } from "../core/duration.ts";
import { Failure } from "../failure.ts";
import { oneLine, printable } from "../log.ts";
import type { EventView } from "../status/event_stream.ts";
import { asking, flagsOf } from "./reading.ts";

const shape = {
  name: "events",
  operands: "",
  count: 0,
  about: "Follows what happens: bans, lifts, ends of bans, who was spared, upstreams that come and go. Ctrl-C ends it.",
};

export const eventsFlags = flagsOf(shape);

export async function events(args: readonly string[]): Promise<number> {
  const call = asking(args, shape);
  if (call === undefined) return 0;
  let name = "";
  const refused = await call.control.follow("/events", (line) => {
    if (line === "") name = "";
    else if (line.startsWith("event: ")) name = line.slice("event: ".length);
    else if (line.startsWith("data: ")) {
      const data = line.slice("data: ".length);
      if (!call.json) console.log(oneLine(rendered(name, data)));
      else console.log(name === "lost" ? JSON.stringify({ type: name, ...JSON.parse(data) }) : data);
    }
  });
  if (refused !== undefined) throw new Failure(refusal(refused), { exitCode: 3 });
  return 0;
}

function rendered(name: string, data: string): string {
  if (name === "lost") return `... ${(JSON.parse(data) as { count: number }).count} more, too many to show`;
  const event = JSON.parse(data) as EventView;
  return `${event.at} ${event.type.padEnd(9)} ${described(event)}`;
}

function described(event: EventView): string {
  if (event.type === "upstream") {
    return `${event.upstream} is ${event.reachable ? "reachable" : `not reachable: ${event.error}`}`;
  }
  const { type, source, protocol, firstBytes, seconds, by, kernel } = event;
  const said = firstBytes === null ? "" : ` "${printable(Uint8Array.fromHex(firstBytes))}"`;
  const left = seconds === null || seconds === 0 ? "" : ` ${formatDuration(seconds * 1000)}`;
  const ever = type === "ban" && seconds === null ? " without an end" : "";
  return `${source} ${protocol}${said} by ${by}${left}${ever}${kernel === null ? "" : `, kernel: ${kernel}`}`;
}
