// SPDX-License-Identifier: Apache-2.0
// Databases and coordination beside those of database.ts, as data.
import type { Recogniser } from "../signature/signature.ts";
import { pattern } from "./pattern.ts";

export const firebird: Recogniser = {
  name: "firebird",
  description: "Firebird: connect, remote protocol",
  // Operation 1 for attach 19 of version 2 or 3, an architecture below 256: 64 + 31 + 24 bits.
  rules: [
    {
      kind: "bytes",
      hex: ["00 00 00 01 00 00 00 13 00 00 00 02 00 00 00", "00 00 00 01 00 00 00 13 00 00 00 03 00 00 00"],
    },
  ],
};

export const clickhouse: Recogniser = {
  name: "clickhouse",
  description: "ClickHouse: a client's hello, native protocol",
  // Packet 0, the name's length, the name: 8 + 88 bits.
  rules: [{ kind: "all", rules: [pattern("00"), { kind: "text", at: 2, text: "ClickHouse " }] }],
};

export const rethinkdb: Recogniser = {
  name: "rethinkdb",
  description: "RethinkDB: versions 0.1 to 1.0 of the handshake",
  // 30 bits and more.
  rules: [{ kind: "bytes", hex: ["c3 bd c2 34", "20 2d 0c 40", "3e e8 75 5f", "35 ba 72 1f", "3d 5a 61 c7"] }],
};

export const hana: Recogniser = {
  name: "hana",
  description: "SAP HANA: initialisation, SQL command network protocol",
  // 64 bits.
  rules: [{ kind: "bytes", hex: "ff ff ff ff 04 20 00 04" }],
};

export const zookeeper: Recogniser = {
  name: "zookeeper",
  description: "ZooKeeper: commands of four letters",
  rules: [
    {
      // 4 letters and silence: no friend's packet.
      kind: "all",
      rules: [
        { kind: "text", text: ["conf", "cons", "dump", "envi", "mntr", "ruok", "srvr", "stat", "wchs"] },
        { kind: "length", max: 6 },
      ],
    },
  ],
};

export const aerospike: Recogniser = {
  name: "aerospike",
  description: "Aerospike: a request for information, wire protocol",
  rules: [
    {
      // Version 2, type 1, a length below 65,536, names in text: 16 + 32 bits and 16 of the names.
      kind: "all",
      rules: [pattern("02 01 00 00 00 00"), { kind: "run", at: 8, class: "lower", also: "0a 2d 3a 2f 3d", min: 6 }],
    },
  ],
};
