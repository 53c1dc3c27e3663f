// SPDX-License-Identifier: Apache-2.0
// Message queues beside those of queue.ts, as data.
import type { Recogniser } from "../signature/signature.ts";
import { pattern } from "./pattern.ts";

export const ibmMq: Recogniser = {
  name: "ibm-mq",
  description: "IBM MQ: a segment header in ASCII or EBCDIC",
  // The eye catcher and a length below 65,536: 48 bits.
  rules: [
    { kind: "any", rules: [pattern("54 53 48 20 00 00"), pattern("54 53 48 4d 00 00"), pattern("e3 e2 c8 40 00 00")] },
  ],
};

export const beanstalk: Recogniser = {
  name: "beanstalk",
  description: "Beanstalkd commands, protocol.txt",
  rules: [
    {
      // A command and four numbers: 32 + 4 * 12 bits.
      kind: "all",
      rules: [
        { kind: "text", text: "put " },
        { kind: "run", class: "digit", min: 1, max: 10, until: "20", after: true },
        { kind: "run", class: "digit", min: 1, max: 10, until: "20", after: true },
        { kind: "run", class: "digit", min: 1, max: 10, until: "20", after: true },
        { kind: "run", class: "digit", min: 1, max: 10, until: "0d", after: true },
      ],
    },
    // 56 bits and more.
    { kind: "text", text: ["list-tubes", "reserve\r", "reserve-", "peek-ready\r", "stats-job ", "stats-tube "] },
  ],
};
