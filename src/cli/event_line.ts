// SPDX-License-Identifier: Apache-2.0
// An event as a line for people.
import { formatDuration } from "../core/duration.ts";
import { printable } from "../log.ts";
import type { EventView } from "../status/event_view.ts";

export function eventLine(event: EventView): string {
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
