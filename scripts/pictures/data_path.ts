// SPDX-License-Identifier: Apache-2.0
// The way of a client's bytes to the server, and of a stranger's into the kernel's map.
//   data_path.ts >docs/images/data_path.svg
import process from "node:process";
import { type Diagram, drawn } from "./diagram.ts";

const diagram: Diagram = {
  title:
    "A friend's bytes go through XDP and ttgate to the server. A stranger is reset and banned; XDP drops what follows.",
  size: [910, 330],
  boxes: [
    { at: [210, 20, 200, 290], title: "Kernel", isArea: true },
    { at: [450, 20, 240, 290], title: "ttgate", isArea: true },
    { at: [20, 70, 120, 56], title: "Friend", lines: ["your protocol"], tone: "friend" },
    { at: [20, 152, 120, 62], title: "Stranger", lines: ["HTTP, TLS, ..."], tone: "stranger" },
    { at: [230, 60, 160, 166], title: "XDP program", lines: ["banned?", "then drop"] },
    { at: [230, 246, 160, 50], title: "Map of bans", lines: ["each with its end"] },
    { at: [470, 60, 200, 166], title: "First bytes", lines: ["what the server expects?", "then relay, unchanged"] },
    { at: [470, 246, 200, 50], title: "Time-out table", lines: ["10 minutes"] },
    { at: [750, 70, 140, 56], title: "Server", lines: ["meets no stranger"], tone: "friend" },
  ],
  arrows: [
    {
      path: [
        [140, 98],
        [228, 98],
      ],
      tone: "friend",
    },
    {
      path: [
        [390, 98],
        [468, 98],
      ],
      tone: "friend",
    },
    {
      path: [
        [670, 98],
        [748, 98],
      ],
      tone: "friend",
    },
    {
      path: [
        [140, 172],
        [228, 172],
      ],
      tone: "stranger",
      label: { at: [150, 165], text: "first" },
    },
    {
      path: [
        [390, 172],
        [468, 172],
      ],
      tone: "stranger",
    },
    {
      path: [
        [670, 172],
        [720, 172],
      ],
      tone: "stranger",
      isStopped: true,
      label: { at: [734, 177], text: "reset, banned" },
    },
    {
      path: [
        [140, 200],
        [230, 200],
      ],
      tone: "stranger",
      isStopped: true,
      label: { at: [150, 216], text: "later" },
    },
    {
      path: [
        [570, 226],
        [570, 244],
      ],
      tone: "plain",
    },
    {
      path: [
        [470, 271],
        [392, 271],
      ],
      tone: "plain",
    },
    {
      path: [
        [310, 246],
        [310, 228],
      ],
      tone: "plain",
    },
  ],
};

export function dataPath(): string {
  return drawn(diagram);
}

if (import.meta.main) process.stdout.write(dataPath());
