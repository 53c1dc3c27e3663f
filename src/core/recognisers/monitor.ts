// SPDX-License-Identifier: Apache-2.0
// Monitoring and logs, as data.
import type { Recogniser } from "../signature/signature.ts";

export const zabbix: Recogniser = {
  name: "zabbix",
  description: "Zabbix: a header, Zabbix manual, appendix protocols",
  rules: [
    {
      // Signature and flags up to 7: 32 + 5 bits.
      kind: "all",
      rules: [
        { kind: "text", text: "ZBXD" },
        { kind: "number", at: 4, size: 1, max: 7 },
      ],
    },
  ],
};

export const nrpe: Recogniser = {
  name: "nrpe",
  description: "NRPE: a query packet of version 2 to 4, NRPE's common.h",
  rules: [
    {
      // Version 2: a query, a check sum, a result; the command. 32 + 48 bits, 48 of them beyond a short header.
      kind: "all",
      rules: [
        { kind: "bytes", hex: "00 02 00 01" },
        { kind: "text", at: 10, text: ["_NRPE_", "check_"] },
      ],
    },
    {
      // Version 3 and 4: and a length before the command. 31 + 48 bits.
      kind: "all",
      rules: [
        { kind: "bytes", hex: ["00 03 00 01", "00 04 00 01"] },
        { kind: "text", at: 16, text: ["_NRPE_", "check_"] },
      ],
    },
  ],
};

export const beats: Recogniser = {
  name: "beats",
  description: "Beats and Logstash: a window and the frame behind it, Lumberjack protocol version 1 and 2",
  rules: [
    {
      // A window below 65,536; compressed, data or JSON. 31 + 14 bits.
      kind: "all",
      rules: [
        { kind: "bytes", hex: ["31 57 00 00", "32 57 00 00"] },
        { kind: "bytes", at: 6, hex: ["31 43", "31 44", "32 43", "32 4a"] },
      ],
    },
  ],
};

export const elasticsearch: Recogniser = {
  name: "elasticsearch",
  description: "Elasticsearch: the transport between nodes, a message or a ping",
  rules: [
    // A ping has -1 in the size's place: 48 bits.
    { kind: "bytes", hex: "45 53 ff ff ff ff" },
    {
      // ES, a size below 65,536, any request, a status below 16, a version below 2^24; the upper half of what
      // comes next is 0, whether a length or a count. 32 + 4 + 8 + 16 bits.
      kind: "all",
      rules: [
        { kind: "bytes", hex: "45 53 00 00" },
        { kind: "bytes", at: 14, hex: "00 00", mask: "f0 ff" },
        { kind: "bytes", at: 19, hex: "00 00" },
      ],
    },
  ],
};
