// SPDX-License-Identifier: Apache-2.0
// Message queues beside those in broker.ts, as data.
import type { Recogniser } from "../signature/signature.ts";

export const nats: Recogniser = {
  name: "nats",
  description: "NATS: a client's first commands, client protocol documentation",
  // 40 bits and more.
  rules: [{ kind: "text", text: ["CONNECT {", "CONNECT  {", "HPUB ", "INFO {"] }],
};

export const stomp: Recogniser = {
  name: "stomp",
  description: "STOMP 1.0 to 1.2: CONNECT and STOMP frames, STOMP 1.2 section CONNECT or STOMP Frame",
  // 48 bits and more.
  rules: [{ kind: "text", text: ["STOMP\n", "STOMP\r\n", "CONNECT\n", "CONNECT\r\n"] }],
};

export const openwire: Recogniser = {
  name: "openwire",
  description: "OpenWire: ActiveMQ's WireFormatInfo, OpenWire version 2 specification",
  // 72 bits, with a size in front or without.
  rules: [
    { kind: "bytes", at: 4, hex: "01 41 63 74 69 76 65 4d 51" },
    { kind: "bytes", hex: "01 41 63 74 69 76 65 4d 51" },
  ],
};

export const rocketmq: Recogniser = {
  name: "rocketmq",
  description: "RocketMQ: a remoting command with a header in JSON",
  rules: [
    {
      // Sizes below 2^24, and the beginning of the header. 16 + 56 bits.
      kind: "all",
      rules: [
        { kind: "bytes", hex: "00" },
        { kind: "bytes", at: 4, hex: "00" },
        { kind: "text", at: 8, text: ['{"code"', '{"extFi', '{"flag"', '{"langu'] },
      ],
    },
  ],
};

export const pulsar: Recogniser = {
  name: "pulsar",
  description: "Pulsar: the CONNECT command, binary protocol specification",
  rules: [
    // Sizes below 65,536; type 2, the command of that type, the client's version in it. 32 + 32 bits.
    { kind: "bytes", hex: "00 00 00 00 00 00 00 00 08 02 12 00 0a", mask: "ff ff 00 00 ff ff 00 00 ff ff ff 80 ff" },
    {
      kind: "bytes",
      hex: "00 00 00 00 00 00 00 00 08 02 12 80 00 0a",
      mask: "ff ff 00 00 ff ff 00 00 ff ff ff 80 80 ff",
    },
  ],
};

export const rabbitmqStream: Recogniser = {
  name: "rabbitmq-stream",
  description: "RabbitMQ streams: PeerProperties, stream protocol specification",
  rules: [
    {
      // A size below 65,536, key 17, version 1, a correlation below 65,536, fewer than 256 properties; the
      // first one's name. 16 + 32 + 16 + 24 + 8 + 6 bits.
      kind: "all",
      rules: [
        {
          kind: "bytes",
          hex: "00 00 00 00 00 11 00 01 00 00 00 00 00 00 00 00 00",
          mask: "ff ff 00 00 ff ff ff ff ff ff 00 00 ff ff ff 00 ff",
        },
        { kind: "run", at: 18, class: "letter", also: "5f", min: 3 },
      ],
    },
  ],
};

export const zeromq: Recogniser = {
  name: "zeromq",
  description: "ZeroMQ: the greeting of ZMTP 2 and 3, RFC 23/ZMTP",
  // 80 bits.
  rules: [{ kind: "bytes", hex: ["ff 00 00 00 00 00 00 00 01 7f", "ff 00 00 00 00 00 00 00 00 7f"] }],
};

export const gearman: Recogniser = {
  name: "gearman",
  description: "Gearman: a binary request, protocol documentation",
  // 56 bits.
  rules: [{ kind: "bytes", hex: "00 52 45 51 00 00 00" }],
};

export const nsq: Recogniser = {
  name: "nsq",
  description: "NSQ: the magic of protocol version 2, TCP protocol specification",
  rules: [
    {
      // And a command: 32 + 10 bits.
      kind: "all",
      rules: [
        { kind: "text", text: "  V2" },
        { kind: "run", at: 4, class: "upper", min: 3 },
      ],
    },
    {
      // Or silence: 4 bytes, no friend's packet.
      kind: "all",
      rules: [
        { kind: "text", text: "  V2" },
        { kind: "length", max: 4 },
      ],
    },
  ],
};
