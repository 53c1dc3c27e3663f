// SPDX-License-Identifier: Apache-2.0
// First packets of 32 bytes and more, put together from the specifications of their protocols, by kind: what
// no recogniser need know and the verdict on ciphertext must tell. Few have a random part; where one has, it
// is written out.

export interface Structured {
  readonly kind: string;
  /** What it is, and which specification says so. */
  readonly name: string;
  readonly bytes: Uint8Array;
}

type Part = string | readonly number[] | Uint8Array;

/** Text stands for one byte a character, `0x` begins hexadecimal. */
function bytes(...parts: readonly Part[]): Uint8Array {
  return Uint8Array.from(
    parts.flatMap((part) => {
      if (typeof part !== "string") return [...part];
      if (!part.startsWith("0x")) return Array.from(part, (character) => character.charCodeAt(0));
      return (part.slice(2).replaceAll(" ", "").match(/../g) ?? []).map((pair) => Number.parseInt(pair, 16));
    }),
  );
}

const be = (value: number, size: number) =>
  Array.from({ length: size }, (_, index) => Math.floor(value / 256 ** (size - 1 - index)) % 256);
const le = (value: number, size: number) => be(value, size).reverse();
const fill = (byte: number, count: number) => new Array<number>(count).fill(byte);
const utf8 = (text: string) => new TextEncoder().encode(text);
const wide = (text: string, big = false) =>
  Array.from(text).flatMap((character) => {
    const code = character.charCodeAt(0);
    return big ? [code >> 8, code & 255] : [code & 255, code >> 8];
  });
/** Behind its own length, in so many bytes. */
const sized = (size: number, part: Part, extra = 0) => {
  const body = bytes(part);
  return bytes(be(body.length + extra, size), body);
};
const sizedLe = (size: number, part: Part, extra = 0) => {
  const body = bytes(part);
  return bytes(le(body.length + extra, size), body);
};
/** ASN.1 BER, X.690: lengths of one byte, or of three. */
const ber = (tag: number, ...parts: readonly Part[]): Uint8Array => {
  const body = bytes(...parts);
  return bytes([tag], body.length < 128 ? [body.length] : [0x82, ...be(body.length, 2)], body);
};
const doubles = (values: readonly number[], little = true) =>
  values.flatMap((value) => {
    const view = new DataView(new ArrayBuffer(8));
    view.setFloat64(0, value, little);
    return [...new Uint8Array(view.buffer)];
  });
const floats = (values: readonly number[]) =>
  values.flatMap((value) => {
    const view = new DataView(new ArrayBuffer(4));
    view.setFloat32(0, value, true);
    return [...new Uint8Array(view.buffer)];
  });
/** Protocol Buffers' wire format: a field with a length, and one with a number. */
const field = (number: number, part: Part) => bytes([(number << 3) | 2], sized(1, part));
const varint = (number: number, value: number) => [number << 3, ...leb(value)];
const leb = (value: number): number[] =>
  value < 128 ? [value] : [(value & 127) | 128, ...leb(Math.floor(value / 128))];

const json = '{"method":"login","params":{"user":"admin","version":3},"id":1,"session":0}';

const text: Structured[] = [
  ["a byte of length before JSON", sized(1, json)],
  ["two bytes of length, little-endian, before JSON", sizedLe(2, json)],
  ["four bytes of length before JSON", sized(4, json)],
  [
    "a control byte before a command: STX and ETX of serial lines",
    bytes([2], "READ:STATION=14;CHANNEL=TEMPERATURE", [3]),
  ],
  ["Veeder-Root: ^A and a function", bytes([1], "I20100\r\n", [1], "I20200\r\n", [1], "I20300\r\n", [1], "I20400\r\n")],
  ["HL7 v2 in MLLP", bytes([0x0b], "MSH|^~\\&|LAB|HOSPITAL|EHR|CLINIC|20240105120000||ORU^R01|1|P|2.5\r")],
  [
    "FIX 4.4 logon",
    bytes("8=FIX.4.4", [1], "9=65", [1], "35=A", [1], "34=1", [1], "49=CLIENT", [1], "56=BROKER", [1], "98=0", [1]),
  ],
  ["STOMP 1.2", bytes("STOMP\naccept-version:1.2\nhost:example.org\n\n", [0])],
  ["NATS CONNECT", bytes('CONNECT {"verbose":false,"pedantic":false,"tls_required":false}\r\n')],
  ["NTRIP source", bytes("SOURCE letmein /MOUNT\r\nSource-Agent: NTRIP Receiver/1.0\r\n\r\n")],
  ["base64 without a line end", bytes("Q2xpZW50SGVsbG86IHZlcnNpb249MTcgdXNlcj1vcGVyYXRvciByb2xlPWFkbWlu")],
  ["hexadecimal", bytes("48656c6c6f2c20776f726c642e20546869732069732061207465737421")],
  ["numbers in CSV", bytes("17,23.50,1013.25,0.004,882,1700000000,-12.75,0,0,1,49.195061,16.606836\n")],
  ["IRC behind a PROXY line of one's own", bytes("USER guest 0 * :Ronnie Reagan\r\nNICK ronnie\r\n")],
  ["an XML declaration behind a length", sized(4, '<?xml version="1.0" encoding="UTF-8"?><stream to="example.org"/>')],
  ["a URL alone", bytes("tcp://192.0.2.17:9000/stream?profile=main&token=0011223344556677")],
  ["T3 of WebLogic", bytes("t3 12.2.1\nAS:255\nHL:19\nMS:10000000\nPU:t3://us-l-breens:7001\n\n")],
  ["CAN over TCP of socketcand", bytes("< open can0 >< rawmode >< send 123 8 11 22 33 44 55 66 77 88 >")],
  ["Nagios NSCA of old, plain", bytes([0, 3, 0, 0], fill(0, 8), "web-server-01", fill(0, 51), "load", fill(0, 124))],
  [
    "SCGI",
    bytes(
      "70:CONTENT_LENGTH",
      [0],
      "27",
      [0],
      "SCGI",
      [0],
      "1",
      [0],
      "REQUEST_METHOD",
      [0],
      "POST",
      [0],
      "REQUEST_URI",
      [0],
      "/deepthought",
      [0],
      ",",
    ),
  ],
  ["netstrings", bytes("12:hello world!,5:login,8:operator,6:secret,3:end,")],
  ["bencode", bytes("d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe")],
  [
    "EPP behind its length, RFC 5734",
    sized(4, '<?xml version="1.0"?><epp xmlns="urn:ietf:params:xml:ns:epp-1.0"><hello/></epp>', 4),
  ],
  ["GELF, a record and a zero", bytes('{"version":"1.1","host":"example.org","short_message":"hi"}', [0])],
].map(([name, packet]) => ({ kind: "text", name: name as string, bytes: packet as Uint8Array }));

const cyrillic = "Здравствуйте, уважаемый сервер";
const greek = "Καλημέρα κόσμε, τι κάνεις;";
const chinese = "你好，世界。请登录到服务器";
const japanese = "こんにちは世界、接続してください";
const korean = "안녕하세요 서버에 접속합니다";
const arabic = "مرحبا بالعالم كيف حالك اليوم";
const hindi = "नमस्ते दुनिया आप कैसे हैं";
const scripts: Structured[] = [
  ["UTF-16, little-endian", bytes(wide("LOGIN operator secret 17"))],
  ["UTF-16, big-endian", bytes(wide("LOGIN operator secret 17", true))],
  ["UTF-16 with a byte-order mark", bytes([0xff, 0xfe], wide("<stream version='1'>"))],
  ["UTF-16 behind a length", bytes(le(52, 4), wide("Workstation\\Administrator"))],
  ["UTF-16, Cyrillic", bytes(wide(cyrillic))],
  ["UTF-16, Greek, big-endian", bytes(wide(greek, true))],
  ["UTF-32", bytes(Array.from("HELLO SERVER").flatMap((character) => le(character.charCodeAt(0), 4)))],
  ["UTF-8, Cyrillic", utf8(cyrillic)],
  ["UTF-8, Greek", utf8(greek)],
  ["UTF-8, Chinese", utf8(chinese)],
  ["UTF-8, Japanese", utf8(japanese)],
  ["UTF-8, Korean", utf8(korean)],
  ["UTF-8, Arabic", utf8(arabic)],
  ["UTF-8, Hindi", utf8(hindi)],
  ["UTF-8 in JSON", utf8(`{"имя":"оператор","город":"Брно","сообщение":"привет"}`)],
  [
    "windows-1251",
    bytes(
      Array.from(cyrillic, (character) => {
        const code = character.charCodeAt(0);
        return code < 128 ? code : code - 0x350;
      }),
    ),
  ],
].map(([name, packet]) => ({ kind: "scripts", name: name as string, bytes: packet as Uint8Array }));

const tlv: Structured[] = [
  [
    "DICOM A-ASSOCIATE-RQ, PS3.8 section 9.3.2",
    bytes(
      "0x01 00",
      be(205, 4),
      "0x00 01 00 00",
      "ANY-SCP         ",
      "ECHOSCU         ",
      fill(0, 32),
      "0x10 00 00 15",
      "1.2.840.10008.3.1.1.1",
      "0x20 00 00 2e 01 00 00 00 30 00 00 11",
      "1.2.840.10008.1.1",
    ),
  ],
  [
    "Diameter capabilities exchange, RFC 6733",
    bytes(
      "0x01 00 00 8c 80 00 01 01 00 00 00 00 00 00 00 01 00 00 00 02",
      "0x00 00 01 08 40 00 00 13",
      "client.example.org",
      [0],
      "0x00 00 01 28 40 00 00 13",
      "example.org",
      [0],
    ),
  ],
  [
    "BGP OPEN, RFC 4271",
    bytes(
      fill(0xff, 16),
      be(45, 2),
      "0x01 04 fd e9 00 b4 c0 00 02 01 10 02 0e 01 04 00 01 00 01 02 00 41 04 00 00 fd e9",
    ),
  ],
  [
    "SMPP bind_transceiver, version 3.4",
    bytes(be(45, 4), be(9, 4), be(0, 4), be(1, 4), "smppclient1", [0], "password", [0], [0, 0x34, 0, 0, 0]),
  ],
  [
    "DLMS wrapper with AARQ, IEC 62056-5-3",
    bytes(
      "0x00 01 00 10 00 01 00 38 60 36 a1 09 06 07 60 85 74 05 08 01 01 8a 02 07 80 8b 07 60 85 74 05 08 02 01 ac 0a 80 08 31 32 33 34 35 36 37 38 be 10 04 0e 01 00 00 00 06 5f 1f 04 00 00 7e 1f 04 b0",
    ),
  ],
  [
    "LDAP bind with a long message id",
    ber(
      0x30,
      "0x02 04 00 01 00 05",
      ber(0x60, "0x02 01 03", ber(0x04, "cn=admin,dc=example,dc=org"), ber(0x80, "secret")),
    ),
  ],
  [
    "SNMP over TCP, version 2c, RFC 3430",
    ber(
      0x30,
      "0x02 01 01",
      ber(0x04, "public"),
      ber(0xa0, "0x02 04 19 a3 7c 11 02 01 00 02 01 00", ber(0x30, ber(0x30, "0x06 08 2b 06 01 02 01 01 01 00 05 00"))),
    ),
  ],
  [
    "Kerberos AS-REQ, RFC 4120",
    sized(
      4,
      ber(
        0x6a,
        ber(
          0x30,
          "0xa1 03 02 01 05 a2 03 02 01 0a",
          ber(
            0xa4,
            ber(
              0x30,
              "0xa0 07 03 05 00 50 80 00 10",
              ber(0xa1, ber(0x30, "0xa0 03 02 01 01", ber(0xa1, ber(0x30, ber(0x1b, "operator"))))),
              ber(0xa2, ber(0x1b, "EXAMPLE.ORG")),
            ),
          ),
        ),
      ),
    ),
  ],
  [
    "OCSP request, RFC 6960",
    ber(
      0x30,
      ber(
        0x30,
        ber(
          0x30,
          ber(
            0x30,
            ber(
              0x30,
              "0x30 09 06 05 2b 0e 03 02 1a 05 00",
              ber(0x04, fill(0x11, 20)),
              ber(0x04, fill(0x22, 20)),
              "0x02 01 05",
            ),
          ),
        ),
      ),
    ),
  ],
  [
    "MMS initiate, ISO 9506",
    bytes(
      "0x03 00 00 bb 02 f0 80 0d b2 05 06 13 01 00 16 01 02 14 02 00 02 33 02 00 01 34 02 00 01 c1 9c 31 81 99 a0 03 80 01 01 a2 81 91 81 04 00 00 00 01 82 04 00 00 00 01 a4 23 30 0f 02 01 01 06 04 52 01 00 01 30 04 06 02 51 01",
    ),
  ],
  [
    "ISO 8583 sign-on, BCD",
    bytes(
      "0x00 3c 60 00 01 00 00 08 00 82 20 00 00 80 00 00 00 04 00 00 00 00 00 00 00 01 05 12 00 00 00 00 17 00 30 30 30 30 30 30 30 31 00 01 00 01 03 01",
    ),
  ],
  [
    "RADIUS over TCP, RFC 6613, with names",
    bytes(
      "0x01 05 00 6b",
      fill(0, 16),
      "0x01 0a",
      "operator",
      "0x04 06 c0 00 02 01 05 06 00 00 00 01 20 0d",
      "example.org",
      "0x1f 13",
      "00-11-22-33-44-55",
    ),
  ],
  [
    "PCEP open, RFC 5440",
    bytes(
      "0x20 01 00 24 01 10 00 20 20 1e 78 01 00 10 00 04 00 00 00 05 00 1a 00 04 00 00 00 0a 00 22 00 04 00 00 00 00",
    ),
  ],
  [
    "LDP initialisation, RFC 5036",
    bytes(
      "0x00 01 00 24 c0 00 02 01 00 00 02 00 00 1a 00 00 00 01 05 00 00 0e 00 01 00 b4 00 00 10 00 c0 00 02 02 00 00 85 06 00 02 80 00",
    ),
  ],
  [
    "iSNS register, RFC 4171",
    bytes(
      "0x00 01 00 01 00 30 8c 00 00 01 00 00 00 00 00 20 00 00 00 1c",
      "iqn.2024-01.org.example:host",
      "0x00 00 00 01 00 00 00 04 c0 00 02 07",
    ),
  ],
  [
    "SLP service request, RFC 2608",
    bytes(
      "0x02 01 00 00 36 20 00 00 00 00 00 01 00 02",
      "en",
      "0x00 00 00 15",
      "service:service-agent",
      "0x00 07",
      "default",
      "0x00 00 00 00",
    ),
  ],
  [
    "OPC UA hello",
    bytes(
      "HELF",
      le(57, 4),
      le(0, 4),
      le(65_535, 4),
      le(65_535, 4),
      le(0, 4),
      le(0, 4),
      sizedLe(4, "opc.tcp://192.0.2.7:4840/"),
    ),
  ],
  ["EtherNet/IP register and list", bytes("0x65 00 04 00", fill(0, 20), "0x01 00 00 00", "0x63 00 00 00", fill(0, 20))],
  [
    "FINS/TCP node address, Omron W421",
    bytes(
      "FINS",
      be(12, 4),
      be(0, 4),
      be(0, 4),
      be(0, 4),
      "FINS",
      be(26, 4),
      be(2, 4),
      be(0, 4),
      "0x80 00 02 00 01 00 00 02 00 00 01 01 82 00 64 00 00 01",
    ),
  ],
  [
    "MELSEC 3E read, SH-080008",
    bytes(
      "0x50 00 00 ff ff 03 00 0c 00 10 00 01 04 00 00 64 00 00 a8 0a 00 50 00 00 ff ff 03 00 0c 00 10 00 01 04 00 00 c8 00 00 a8 0a 00",
    ),
  ],
].map(([name, packet]) => ({ kind: "tlv", name: name as string, bytes: packet as Uint8Array }));

const framed: Structured[] = [
  [
    "Thrift, framed, strict binary",
    sized(
      4,
      bytes(
        "0x80 01 00 01",
        sized(4, "getServiceStatus"),
        be(1, 4),
        "0x0b 00 01",
        sized(4, "operator"),
        "0x08 00 02 00 00 00 05 00",
      ),
    ),
  ],
  [
    "Thrift, compact",
    sized(4, bytes("0x82 21 01 10", "getServiceStatus", "0x18 08", "operator", "0x15 0a 28 06", "secret", [0])),
  ],
  [
    "Protocol Buffers behind a length",
    sized(
      4,
      bytes(
        field(1, "client-7"),
        field(2, "login"),
        varint(3, 1_700_000_000),
        field(4, bytes(field(1, "user"), field(2, "operator"))),
        varint(5, 1),
      ),
    ),
  ],
  [
    "Protocol Buffers behind a varint",
    bytes(
      [58],
      field(1, "org.example.Hello"),
      varint(2, 3),
      varint(3, 150),
      field(6, "2.17.4-beta"),
      field(7, "linux-amd64"),
      varint(9, 300),
    ),
  ],
  [
    "gRPC's bare message",
    bytes(
      [0],
      sized(
        4,
        bytes(field(1, "stations/14"), varint(2, 17), field(3, "temperature"), varint(4, 1), field(5, "celsius")),
      ),
    ),
  ],
  [
    "BSON, bsonspec.org",
    bytes(
      le(68, 4),
      "0x10",
      "isMaster",
      [0],
      le(1, 4),
      "0x02",
      "client",
      [0],
      sizedLe(4, bytes("driver", [0])),
      "0x10",
      "ver",
      [0],
      le(3, 4),
      "0x08",
      "ok",
      [0, 1, 0],
    ),
  ],
  [
    "MessagePack map",
    bytes(
      [0x84, 0xa4],
      "type",
      [0xa5],
      "login",
      [0xa4],
      "user",
      [0xa8],
      "operator",
      [0xa3],
      "seq",
      [1],
      [0xa4],
      "caps",
      [0x93, 1, 2, 3],
    ),
  ],
  [
    "MessagePack RPC",
    bytes([0x94, 0, 1, 0xb0], "nvim_get_api_info", [0x92, 0xa5], "hello", [0xcd, 1, 0x2c], [0xc0, 0xc2, 0xc3]),
  ],
  [
    "CBOR map, RFC 8949",
    bytes(
      [0xa3, 0x64],
      "type",
      [0x65],
      "hello",
      [0x67],
      "version",
      [0x18, 0x1a],
      [0x68],
      "clientId",
      [0x6a],
      "station-14",
    ),
  ],
  [
    "Python pickle, protocol 2",
    bytes(
      "0x80 02 7d 71 00 28 58 04 00 00 00",
      "user",
      "0x71 01 58 08 00 00 00",
      "operator",
      "0x71 02 58 03 00 00 00",
      "seq",
      "0x71 03 4b 01 75 2e",
    ),
  ],
  [
    "Python pickle, protocol 4",
    bytes(
      "0x80 04 95 2c 00 00 00 00 00 00 00 7d 94 28 8c 04",
      "user",
      "0x94 8c 08",
      "operator",
      "0x94 8c 03",
      "seq",
      "0x94 4b 01 75 2e",
    ),
  ],
  [
    "Java objects",
    bytes(
      "0xac ed 00 05 73 72 00 11",
      "java.util.HashMap",
      "0x05 07 da c1 c3 16 60 d1 03 00 02 46 00 0a",
      "loadFactor",
      "0x49 00 09",
      "threshold",
    ),
  ],
  ["PHP serialised behind a length", sized(4, 'a:2:{s:4:"user";s:8:"operator";s:3:"seq";i:1;}')],
  [
    "Avro handshake",
    bytes(
      "0x00 00 00 01 00 00 00 44",
      fill(0x5a, 16),
      [2, 0x2c],
      "org.example.Protocol",
      [0x10],
      "operator",
      [0, 4, 2, 0],
    ),
  ],
  [
    "Cap'n Proto bootstrap",
    bytes(
      le(0, 4),
      le(5, 4),
      "0x00 00 00 00 01 00 01 00 08 00 00 00 00 00 00 00 04 00 00 00 01 00 01 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00",
    ),
  ],
  [
    "FlatBuffers",
    bytes(
      le(60, 4),
      "0x10 00 00 00 00 00 0a 00 10 00 04 00 08 00 0c 00 0a 00 00 00 14 00 00 00 03 00 00 00 20 00 00 00 08 00 00 00",
      "operator",
      [0, 0, 0, 0],
      "0x04 00 00 00",
      "seq",
      [0],
    ),
  ],
  [
    "XDR of one's own, RFC 4506",
    bytes(be(7, 4), be(3, 4), be(8, 4), "operator", be(2, 4), be(1024, 4), be(0, 4), be(5, 4), "hello", [0, 0, 0]),
  ],
  ["Hessian 2 call", bytes("H", [2, 0], "C", [0x0c], "loginService", [0x92, 0x08], "operator", [0x06], "secret")],
  [
    "AMF0 connect of RTMP",
    bytes(
      "0x03 00 00 00 00 00 59 14 00 00 00 00 02 00 07",
      "connect",
      "0x00 3f f0 00 00 00 00 00 00 03 00 03",
      "app",
      "0x02 00 04",
      "live",
    ),
  ],
].map(([name, packet]) => ({ kind: "framed", name: name as string, bytes: packet as Uint8Array }));

const brokers: Structured[] = [
  [
    "OpenWire of ActiveMQ",
    bytes(
      be(241, 4),
      [1],
      "ActiveMQ",
      be(12, 4),
      [1],
      be(223, 4),
      [9],
      sized(2, "TcpNoDelayEnabled"),
      [1, 1, 9],
      sized(2, "SizePrefixDisabled"),
      [1, 0],
    ),
  ],
  [
    "RocketMQ",
    bytes(be(210, 4), be(195, 4), '{"code":105,"extFields":{"topic":"TBW102"},"flag":0,"language":"JAVA","opaque":0}'),
  ],
  [
    "Pulsar CONNECT",
    bytes(
      be(42, 4),
      be(38, 4),
      bytes(varint(1, 2), field(2, bytes(field(1, "Pulsar-Java-v3.0.0"), varint(4, 20), field(5, "none")))),
    ),
  ],
  [
    "RabbitMQ stream, peer properties",
    bytes(
      be(90, 4),
      "0x00 11 00 01 00 00 00 01 00 00 00 03",
      sized(2, "product"),
      sized(2, "RabbitMQ Stream"),
      sized(2, "version"),
      sized(2, "0.15.0"),
      sized(2, "platform"),
      sized(2, "Java"),
    ),
  ],
  [
    "Kafka metadata",
    bytes(be(37, 4), "0x00 03 00 09 00 00 00 05", sized(2, "consumer-group-1"), "0x00 00 01 00 01 00 00"),
  ],
  ["ZooKeeper connect", bytes(be(45, 4), be(0, 4), fill(0, 8), be(30_000, 4), fill(0, 8), be(16, 4), fill(0, 16), [0])],
  ["NSQ identify", bytes("  V2IDENTIFY\n", sized(4, '{"client_id":"station","hostname":"station.example.org"}'))],
  ["Beanstalk put", bytes("put 0 0 60 24\r\n", "job 17 of station 14 wait", "\r\n")],
  ["Gearman", bytes([0], "REQ", be(7, 4), be(40, 4), "reverse", [0], "job-0001", [0], "hello worker, please")],
  [
    "IBM MQ initial data",
    bytes(
      "TSH ",
      be(268, 4),
      [1, 1, 0x31],
      fill(0, 9),
      be(273, 4),
      be(819, 4),
      "ID  ",
      "0x0d 26 00 00 00 00 00 00",
      be(0x7ff6, 4),
      "0x00 00 00 00 00 00",
      "SYSTEM.DEF.SVRCONN  ",
    ),
  ],
  [
    "Artemis core",
    bytes("ARTEMIS", be(38, 4), [0xf7], be(0, 8), be(0, 8), be(127, 4), sized(4, bytes(wide("cluster", true)))),
  ],
  ["Cassandra start-up", bytes("0x04 00 00 00 01", be(22, 4), be(1, 2), sized(2, "CQL_VERSION"), sized(2, "3.0.0"))],
  ["Aerospike info", bytes("0x02 01 00 00 00 00 00 1f", "build\nnode\nservice\npartitions\nx\n")],
  [
    "Couchbase hello",
    bytes(
      "0x80 1f 00 14 00 00 00 00 00 00 00 1e 00 00 00 01 00 00 00 00 00 00 00 00",
      '{"a":"station/1.0"}',
      "0x00 06 00 07 00 08 00 0b 00 11",
    ),
  ],
  [
    "Redis cluster bus",
    bytes(
      "RCmb",
      be(2256, 4),
      be(1, 2),
      be(7000, 2),
      be(2, 2),
      be(0, 2),
      be(1, 8),
      be(1, 8),
      be(0, 8),
      "07c37dfeb235213a872192d90877d0cd55635b91",
    ),
  ],
].map(([name, packet]) => ({ kind: "brokers", name: name as string, bytes: packet as Uint8Array }));

const systems: Structured[] = [
  [
    ".NET remoting, MS-NRTP",
    bytes(
      ".NET",
      "0x01 00 00 00 00 00 9a 00 00 00 04 00 01 01 22 00 00 00",
      "tcp://192.0.2.7:9000/Service.rem",
      "0x06 00 01 01 18 00 00 00",
      "application/octet-stream",
      "0x00 00",
    ),
  ],
  ["WCF over net.tcp, MC-NMF", bytes("0x00 01 00 01 02 02 25", "net.tcp://192.0.2.7:808/StationService", "0x03 08 0c")],
  [
    "MSMQ establish, MS-MQQB",
    bytes(
      "0x10 03 01 00 4c 49 4f 52 3c 02 00 00 ff ff ff ff",
      fill(0, 16),
      fill(0xcc, 16),
      "0x00 00 00 00 04 00 00 00",
      fill(0x5a, 480),
    ),
  ],
  [
    "FastCGI",
    bytes(
      "0x01 01 00 01 00 08 00 00 00 01 00 00 00 00 00 00 01 04 00 01 00 5c 04 00 0f 1c",
      "SCRIPT_FILENAME",
      "/var/www/html/admin/index.php",
      "0x0e 03",
      "REQUEST_METHODGET",
    ),
  ],
  [
    "uwsgi",
    bytes(
      "0x00 53 00 00",
      sizedLe(2, "QUERY_STRING"),
      sizedLe(2, ""),
      sizedLe(2, "REQUEST_METHOD"),
      sizedLe(2, "GET"),
      sizedLe(2, "REQUEST_URI"),
      sizedLe(2, "/index.html"),
    ),
  ],
  [
    "Erlang distribution, new handshake",
    sized(2, bytes("N", "0x00 00 00 0d 07 df 7f bd 65 8f 1c 22", sized(2, "rabbit@station14.example.org"))),
  ],
  ["Erlang distribution, old handshake", sized(2, bytes("n", "0x00 05 00 07 49 9c", "rabbit@station14.example.org"))],
  ["EPMD", sized(2, bytes("x", be(25_672, 2), "0x48 00 00 06 00 05", sized(2, "rabbit_station_fourteen"), be(0, 2)))],
  ["NRPE 2 with a filler of zeros", bytes("0x00 02 00 01 5c 1a 30 c2 00 00", "_NRPE_CHECK", fill(0, 1015))],
  [
    "SMB 1 negotiate",
    bytes(
      "0x00 00 00 54 ff",
      "SMB",
      "0x72 00 00 00 00 18 01 28",
      fill(0, 16),
      "0x2f 4b 00 00 c5 5e 00 31 00 02",
      "LANMAN1.0",
      "0x00 02",
      "NT LM 0.12",
      [0],
    ),
  ],
  [
    "SMB 2 negotiate",
    bytes(
      "0x00 00 00 6a fe",
      "SMB",
      "0x40 00",
      fill(0, 10),
      "0x00 00",
      fill(0, 44),
      "0x24 00 02 00 01 00 00 00 7f 00 00 00",
      fill(0x31, 16),
      fill(0, 8),
      "0x02 02 10 02",
    ),
  ],
  [
    "DCE RPC bind",
    bytes(
      "0x05 00 0b 03 10 00 00 00 48 00 00 00 01 00 00 00 b8 10 b8 10 00 00 00 00 01 00 00 00 00 00 01 00 c4 fe fc 99 60 52 1b 10 bb cb 00 aa 00 21 34 7a 00 00 00 00 04 5d 88 8a eb 1c c9 11 9f e8 08 00 2b 10 48 60 02 00 00 00",
    ),
  ],
  [
    "NFS over RPC",
    bytes(
      "0x80 00 00 44 3a 7d 11 59 00 00 00 00 00 00 00 02 00 01 86 a3 00 00 00 03 00 00 00 00 00 00 00 01 00 00 00 20",
      fill(0, 28),
    ),
  ],
  [
    "X11, big-endian, with a cookie",
    bytes("0x42 00 00 0b 00 00 00 12 00 10 00 00", "MIT-MAGIC-COOKIE-1", "0x00 00", fill(0x41, 16)),
  ],
  [
    "TNS connect",
    bytes(
      "0x00 ca 00 00 01 00 00 00 01 3a 01 2c 0c 41 20 00 ff c6 7f 08 00 00 01 00 00 90 00 3a 00 00 08 00 41 41",
      fill(0, 24),
      "(DESCRIPTION=(CONNECT_DATA=(SERVICE_NAME=xe)))",
    ),
  ],
  [
    "TDS pre-login",
    bytes(
      "0x12 01 00 2f 00 00 01 00 00 00 1a 00 06 01 00 20 00 01 02 00 21 00 01 03 00 22 00 04 04 00 26 00 01 ff 0b 00 00 00 00 00 02 00 00 00 00 00 00",
    ),
  ],
  [
    "DRDA EXCSAT",
    bytes(
      "0x00 29 d0 41 00 01 00 23 10 41 00 0f 11 5e 97 81 a8 99 96 93 93 40 f1 f4 40 00 0b 11 47 d8 c4 c2 f2 61 d5 e3 00 04 11 6d",
    ),
  ],
  [
    "Firebird connect",
    bytes(
      be(1, 4),
      be(19, 4),
      be(3, 4),
      be(36, 4),
      sized(4, "employee.fdb"),
      be(2, 4),
      be(38, 4),
      "0x01 06",
      "SYSDBA",
      "0x04 07",
      "station",
    ),
  ],
  [
    "MongoDB OP_QUERY",
    bytes(
      le(58, 4),
      le(1, 4),
      le(0, 4),
      le(2004, 4),
      le(0, 4),
      "admin.$cmd",
      [0],
      le(0, 4),
      le(0xff_ff_ff_ff, 4),
      le(19, 4),
      "0x10",
      "isMaster",
      [0],
      le(1, 4),
      [0],
    ),
  ],
  ["JDWP", bytes("JDWP-Handshake", be(11, 4), be(1, 4), "0x00 01 01", be(11, 4), be(2, 4), "0x00 01 07")],
  ["Ceph msgr2", bytes("ceph v2\n", le(16, 2), le(3, 8), le(0, 8), "0x01 00 00 00 02 00 00 00 00 00 00 00")],
  [
    "GlusterFS over RPC",
    bytes(
      "0x80 00 00 58 00 00 00 01 00 00 00 00 00 00 00 02 00 dd 32 65 00 00 00 01 00 00 00 01 00 05 f3 97 00 00 00 18",
      fill(0, 40),
    ),
  ],
  [
    "Bitcoin version",
    bytes(
      "0xf9 be b4 d9",
      "version",
      fill(0, 5),
      le(86, 4),
      "0x5d f6 e0 e2",
      le(70_015, 4),
      le(1, 8),
      le(1_700_000_000, 8),
      le(0, 8),
    ),
  ],
  [
    "Minecraft login, old",
    bytes(
      [0xfe, 1, 0xfa, 0, 0x0b],
      wide("MC|PingHost", true),
      be(25, 2),
      [0x7f],
      be(9, 2),
      wide("localhost", true),
      be(25_565, 4),
    ),
  ],
].map(([name, packet]) => ({ kind: "systems", name: name as string, bytes: packet as Uint8Array }));

const cameras: Structured[] = [
  ["Dahua DHIP", bytes("0x20 00 00 00", "DHIP", fill(0, 8), le(75, 4), le(0, 4), le(75, 4), le(0, 4), json)],
  [
    "Dahua DVRIP login",
    bytes(
      "0xa0 01 00 60",
      le(47, 4),
      "admin",
      fill(0, 11),
      fill(0, 8),
      "0x05 02 00 01 00 00 a1 aa",
      "admin&&6QNMIQGe&Random:1700000000",
    ),
  ],
  [
    "Xiongmai",
    bytes(
      "0xff 01 00 00",
      fill(0, 10),
      "0xe8 03",
      le(100, 4),
      '{ "EncryptType" : "MD5", "LoginType" : "DVRIP-Web", "UserName" : "admin" }\n',
    ),
  ],
  [
    "Hikvision SDK login",
    bytes(
      "0x00 00 00 54 5a 00 00 00 00 01 00 00 05 01 11 94 02 00 02 01",
      fill(0, 12),
      "admin",
      fill(0, 27),
      "12345",
      fill(0, 15),
    ),
  ],
  ["RTSP in a length", sized(2, "OPTIONS rtsp://192.0.2.7:554/ RTSP/1.0\r\nCSeq: 1\r\n\r\n")],
  [
    "ONVIF probe over TCP",
    bytes("POST /onvif/device_service HTTP/1.1\r\nHost: 192.0.2.7\r\nContent-Length: 300\r\n\r\n"),
  ],
  ["TVT NAT hello", bytes("head", le(28, 4), le(1, 4), le(3, 4), le(0, 4), "N9000-0011223344", fill(0, 16))],
  [
    "JT/T 808 registration of a vehicle",
    bytes(
      "0x7e 01 00 00 2d 01 39 12 34 43 23 00 00 00 13 03 f3",
      "70111",
      "HDT-201401HDT-201401",
      "0000001",
      "0x01 d4 c1",
      "B12345",
      "0x5c 7e",
    ),
  ],
  [
    "Teltonika IMEI and codec 8",
    bytes(
      "0x00 0f",
      "352093081452251",
      fill(0, 4),
      be(54, 4),
      "0x08 01 00 00 01 6b 40 d8 ea 30 01",
      fill(0, 15),
      "0x01 05 02 15 03 01 01 01 42 5e 0f",
    ),
  ],
  [
    "GT06 tracker",
    bytes(
      "0x78 78 0d 01 03 51 60 80 80 00 12 34 00 01 dd 01 0d 0a 78 78 1f 12 0b 08 1d 11 2e 10 cf 02 7a c7 eb 0c 46 58 49 00 14 8f 01 cc 00 28 7d",
    ),
  ],
].map(([name, packet]) => ({ kind: "cameras", name: name as string, bytes: packet as Uint8Array }));

const patterns: Structured[] = [
  ["0 to 255", bytes(Array.from({ length: 256 }, (_, index) => index))],
  ["255 to 0", bytes(Array.from({ length: 256 }, (_, index) => 255 - index))],
  ["all ff", bytes(fill(0xff, 64))],
  ["all zeros", bytes(fill(0, 64))],
  [
    "a sled of NOPs and a shell code",
    bytes(fill(0x90, 64), "0x31 c0 50 68 2f 2f 73 68 68 2f 62 69 6e 89 e3 50 53 89 e1 b0 0b cd 80"),
  ],
  ["AAAA", bytes(fill(0x41, 200))],
  ["a cyclic pattern", bytes("Aa0Aa1Aa2Aa3Aa4Aa5Aa6Aa7Aa8Aa9Ab0Ab1Ab2Ab3Ab4Ab5")],
  ["one word again and again", bytes(Array.from({ length: 16 }, () => [0xde, 0xad, 0xbe, 0xef]).flat())],
  ["addresses of one page", bytes(Array.from({ length: 12 }, (_, index) => le(0x0804_8a10 + index * 36, 4)).flat())],
  [
    "pointers of 64 bits",
    bytes(Array.from({ length: 8 }, (_, index) => [...le(0x5555_6a10 + index * 24, 4), ...le(0x7fff, 4)]).flat()),
  ],
  [
    "a counter of 32 bits, big-endian",
    bytes(Array.from({ length: 12 }, (_, index) => be(1_000_000 + index, 4)).flat()),
  ],
  [
    "a counter of 16 bits, little-endian",
    bytes(Array.from({ length: 24 }, (_, index) => le(2000 + index * 3, 2)).flat()),
  ],
  [
    "samples of 16 bits",
    bytes(Array.from({ length: 24 }, (_, index) => le(Math.round(300 * Math.sin(index / 2)) & 0xffff, 2)).flat()),
  ],
  ["doubles", bytes(doubles([1, 2.5, 100, 0.25, 3, 17, 1024, 0.5]))],
  ["doubles of measurements", bytes(doubles([21.37, 21.41, 21.44, 21.39, 21.35, 21.38, 21.42]))],
  ["doubles, big-endian", bytes(doubles([49.195061, 16.606836, 237.5, 49.195172, 16.606917, 237.75], false))],
  ["floats", bytes(floats([1, 2.5, 100, 0.25, 3, 17, 1024, 0.5, 20.5, 21.25]))],
  ["floats of measurements", bytes(floats([21.37, 21.41, 21.44, 21.39, 21.35, 21.38, 21.42, 21.4, 21.39, 21.36]))],
  ["RGB of one colour", bytes(Array.from({ length: 20 }, () => [0x3c, 0x78, 0xb4]).flat())],
  [
    "XOR of text with one byte",
    bytes(
      Array.from(
        "GET /admin/login.php HTTP/1.1\r\nHost: example.org\r\n",
        (character) => character.charCodeAt(0) ^ 0x5a,
      ),
    ),
  ],
  [
    "x86 code",
    bytes(
      "0x55 48 89 e5 48 83 ec 10 89 7d fc 48 89 75 f0 8b 45 fc 89 c6 48 8d 3d 9e 0e 00 00 b8 00 00 00 00 e8 e5 fe ff ff b8 00 00 00 00 c9 c3 66 2e 0f 1f 84 00 00 00 00 00",
    ),
  ],
  [
    "an ELF file",
    bytes(
      "0x7f 45 4c 46 02 01 01 00",
      fill(0, 8),
      "0x02 00 3e 00 01 00 00 00 40 10 40 00 00 00 00 00 40 00 00 00 00 00 00 00 38 3a 00 00 00 00 00 00",
    ),
  ],
  [
    "a Windows program",
    bytes(
      "MZ",
      "0x90 00 03 00 00 00 04 00 00 00 ff ff 00 00 b8 00 00 00 00 00 00 00 40 00 00 00",
      fill(0, 32),
      "0xf8 00 00 00",
    ),
  ],
].map(([name, packet]) => ({ kind: "patterns", name: name as string, bytes: packet as Uint8Array }));

export const structured: readonly Structured[] = [
  ...text,
  ...scripts,
  ...tlv,
  ...framed,
  ...brokers,
  ...systems,
  ...cameras,
  ...patterns,
].filter(({ bytes: packet }) => packet.length >= 32);
