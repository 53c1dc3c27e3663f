// SPDX-License-Identifier: Apache-2.0
// `ttgate events`: what happens, a line each, as it happens.
import type { Command } from "../cli/command.ts";
import { refusal } from "../cli/daemon_client.ts";
import { daemonCommand } from "../cli/daemon_command.ts";
import { eventLine } from "../cli/event_line.ts";
import { oneLine } from "../log.ts";
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
  return eventLine(JSON.parse(data) as EventView);
}
