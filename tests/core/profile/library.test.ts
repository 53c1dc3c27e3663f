// SPDX-License-Identifier: Apache-2.0
// Each built-in profile against all vectors: its own protocol gets in, every other is foreign by name.
import { describe, expect, test } from "bun:test";
import { loadSniffer } from "../../../src/config/profile.ts";
import { profileLibrary } from "../../../src/core/profile/library.ts";
import { loadVectors } from "../../vectors/vectors.ts";

const vectors = loadVectors();

/** What a profile accepts of the vectors: protocols, less those vectors that its server could not use. */
const accepted: Readonly<Record<string, { protocols: readonly string[]; except: RegExp; also?: RegExp }>> = {
  tapetrack: { protocols: ["wireguard"], except: /^$/ },
  opaque: { protocols: ["wireguard"], except: /^$/ },
  tls: { protocols: ["tls"], except: /alert|SSL 2|SSLv23|sslscan|empty record|change of ciphers|heartbeat|TLCP/ },
  ssh: { protocols: ["ssh"], except: /version 1/ },
  http: { protocols: ["http", "http2"], except: /response|lower case/ },
  grpc: { protocols: ["http2"], except: /^$/ },
  rdp: { protocols: ["rdp"], except: /^$/ },
  mqtt: { protocols: ["mqtt"], except: /^$/ },
  amqp: { protocols: ["amqp"], except: /^$/ },
  // These have a length, small numbers and an empty or short text where a Kafka request has them.
  kafka: {
    protocols: ["kafka"],
    except: /^$/,
    also: /^(tuya|smpp|rabbitmq-stream|dns): (version 3|bind|peer|dig .tcp AXFR)/,
  },
  postgres: { protocols: ["postgres"], except: /^$/ },
  // The same bytes may be memcached's, as far as they go.
  redis: { protocols: ["redis"], except: /^$/, also: /^memcached: (get|set)$/ },
  mongodb: { protocols: ["mongodb"], except: /^$/ },
  ldap: { protocols: ["ldap"], except: /^$/ },
  dns: { protocols: ["dns"], except: /^$/ },
  sip: { protocols: ["sip"], except: /^$/ },
  socks: { protocols: ["socks"], except: /^$/ },
  openvpn: { protocols: ["openvpn"], except: /^$/ },
  minecraft: { protocols: ["minecraft"], except: /^$/ },
  modbus: { protocols: ["modbus"], except: /^$/, also: /^beats: version 2, compressed/ },
  // Words that servers of mail and of files have alike.
  smtp: {
    protocols: ["smtp"],
    except: /^$/,
    also: /^(irc: starttls|ftp: AUTH TLS|text: (help|nmap, HELP4STOMP))$/,
  },
  imap: { protocols: ["imap"], except: /^$/ },
  pop3: { protocols: ["pop3", "ftp-or-pop3"], except: /^$/, also: /^(ftp: (curl ftp|AUTH TLS)|irc: a user first)$/ },
  ftp: {
    protocols: ["ftp", "ftp-or-pop3"],
    except: /^$/,
    also: /^(irc: a user first|text: (help|nmap, HELP4STOMP))$/,
  },
  mysql: { protocols: ["mysql"], except: /^$/ },
  vnc: { protocols: ["vnc"], except: /^$/ },
};

test("every profile is here", () => {
  expect(Object.keys(accepted)).toEqual([...profileLibrary.keys()]);
});

describe.each(Object.entries(accepted))("%s", (name, { protocols, except, also }) => {
  const sniffer = loadSniffer(name);

  test("accepts its own protocol and nothing else", () => {
    const wrong = vectors.flatMap((vector) => {
      const isOwn = protocols.includes(vector.protocol) && !except.test(vector.name);
      if (also?.test(`${vector.protocol}: ${vector.name}`)) return [];
      const isAccepted = sniffer.sniff(vector.bytes, true).kind === "accept";
      return isOwn === isAccepted
        ? []
        : [`${vector.protocol}: ${vector.name}: ${isAccepted ? "accepted" : "not accepted"}`];
    });
    expect(wrong).toEqual([]);
  });

  test("names what is foreign", () => {
    const wrong = vectors.flatMap((vector) => {
      const verdict = sniffer.sniff(vector.bytes, true);
      if (verdict.kind !== "foreign" || verdict.protocol === vector.protocol) return [];
      return [`${vector.protocol}: ${vector.name}: ${verdict.protocol}`];
    });
    expect(wrong).toEqual([]);
  });

  test("says of every cut what it says of the whole", () => {
    for (const { bytes, ...vector } of vectors) {
      const whole = sniffer.sniff(bytes, true);
      for (let length = 0; length <= bytes.length; length++) {
        const verdict = sniffer.sniff(bytes.subarray(0, length), false);
        if (verdict.kind !== "more")
          expect<unknown>([vector.name, length, verdict]).toEqual([vector.name, length, whole]);
      }
    }
  });
});
