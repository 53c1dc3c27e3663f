// SPDX-License-Identifier: Apache-2.0
// `ttgate events`: what happens, a line each, as it happens.
import type { Command } from "../cli/command.ts";
import { refusal } from "../cli/daemon_client.ts";
import { daemonCommand } from "../cli/daemon_command.ts";
import { formatDuration } from "../core/duration.ts";
import { oneLine, printable } from "../log.ts";
import type { EventView } from "../status/event_view.ts";

export const events: Command = daemonCommand({
  name: "events",
  about: "bans, lifts and other events as they happen",
  description:
    "Follows what happens: bans, lifts, bans that end, sources that were spared, upstreams that come and go. Ctrl-C ends it.",
  async run({ daemon, json }, { stdout }) {
    let name = "";
    const refused = await daemon.follow("/events", (line) => {
      if (line === "") name = "";
      else if (line.startsWith("event: ")) name = line.slice("event: ".length);
      else if (line.startsWith("data: ")) {
        const data = line.slice("data: ".length);
        if (!json) stdout.line(oneLine(rendered(name, data)));
        else stdout.line(name === "lost" ? JSON.stringify({ type: name, ...JSON.parse(data) }) : data);
      }
    });
    if (refused !== undefined) throw refusal(refused, 3);
    return 0;
  },
});

function rendered(name: string, data: string): string {
  if (name === "lost") return `... ${(JSON.parse(data) as { count: number }).count} more, too many to show`;
  const event = JSON.parse(data) as EventView;
  return `${event.at} ${event.type.padEnd(9)} ${described(event)}`;
}

function described(event: EventView): string {
  if (event.type === "upstream") {
    return `${event.upstream} is ${event.reachable ? "reachable" : `not reachable: ${event.error}`}`;
  }
  if (event.type === "unseen") {
    const by = event.interface === null ? "" : ` by interface "${event.interface}"`;
    return `${event.source} port ${event.sourcePort} to port ${event.port}${by}: ${event.why}`;
  }
  const { type, source, protocol, firstBytes, seconds, by, kernel } = event;
  const said = firstBytes === null ? "" : ` "${printable(Uint8Array.fromHex(firstBytes))}"`;
  const left = seconds === null || seconds === 0 ? "" : ` ${formatDuration(seconds * 1000)}`;
  const ever = type === "ban" && seconds === null ? " without an end" : "";
  return `${source} ${protocol}${said} by ${by}${left}${ever}${kernel === null ? "" : `, kernel: ${kernel}`}`;
}
