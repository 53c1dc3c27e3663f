// SPDX-License-Identifier: Apache-2.0
// Message brokers, as data.
import type { Recogniser, Rule } from "../signature/signature.ts";

export const mqtt: Recogniser = {
  name: "mqtt",
  description: "MQTT 3.1, 3.1.1 and 5: CONNECT, MQTT 5.0 section 3.1",
  // Packet type 1, a remaining length of 1 to 4 bytes, the protocol's name: 8 + 48 bits.
  rules: ["00 04 4d 51 54 54", "00 06 4d 51 49 73 64 70"].flatMap((name) =>
    ["00", "80 00", "80 80 00", "80 80 80 00"].map(
      (remaining): Rule => ({
        kind: "bytes",
        hex: `10 ${remaining} ${name}`,
        mask: `ff ${remaining.replaceAll("00", "80")} ${name.replaceAll(/[0-9a-f]{2}/g, "ff")}`,
      }),
    ),
  ),
};

export const amqp: Recogniser = {
  name: "amqp",
  description: "AMQP 0-8 to 1.0: the protocol header, AMQP 1.0 section 2.2",
  // 32 bits, and a protocol id of 0 to 3 or the 1 of AMQP 0-8: 6 bits.
  rules: [
    {
      kind: "all",
      rules: [
        { kind: "text", text: "AMQP" },
        { kind: "number", at: 4, size: 1, max: 3 },
      ],
    },
  ],
};

export const kafka: Recogniser = {
  name: "kafka",
  description: "Kafka: the first request of a client, protocol guide, request header",
  rules: [
    {
      // A length below 65,536, API 18 (ApiVersions) of version 0 to 4, a client id below 256 bytes or none.
      // 16 + 24 + 6 + 8 bits, of which a clear header of length and version could pretend to all but 18 and
      // the client id's: 16 bits, where a version of 18 is not to be expected.
      kind: "all",
      rules: [
        { kind: "bytes", hex: "00 00" },
        { kind: "bytes", at: 4, hex: "00 12 00" },
        { kind: "number", at: 7, size: 1, max: 4 },
        { kind: "bytes", at: 12, hex: ["00", "ff ff"] },
      ],
    },
    {
      // Any other API, with a client id that names a Kafka library: 16 + 8 + 8 + 48 bits.
      kind: "all",
      rules: [
        { kind: "bytes", hex: "00 00" },
        { kind: "bytes", at: 4, hex: "00" },
        { kind: "bytes", at: 6, hex: "00" },
        { kind: "bytes", at: 12, hex: "00" },
        {
          kind: "text",
          at: 14,
          text: ["adminclient", "consumer", "console", "kafka", "producer", "rdkafka", "sarama"],
        },
      ],
    },
  ],
};
