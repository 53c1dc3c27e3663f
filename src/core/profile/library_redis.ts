// SPDX-License-Identifier: Apache-2.0
// The built-in profile redis: RESP arrays, and inline commands in any case (Redis protocol specification,
// "Inline commands"; command reference). Health checkers and scripts send the latter.

import type { Rule } from "../signature/signature.ts";
import { nearStrikes } from "./near_strikes.ts";
import type { ProfileSource } from "./profile.ts";

/** First words that only Redis has, or that are the same in memcached, where nobody can tell them apart. */
const commands = [
  ..."ASKING BGREWRITEAOF BGSAVE BITCOUNT BITFIELD BITFIELD_RO BITOP BITPOS BLMOVE BLMPOP BLPOP BRPOP BRPOPLPUSH".split(
    " ",
  ),
  ..."BZMPOP BZPOPMAX BZPOPMIN CLIENT CLUSTER COMMAND CONFIG DBSIZE DEBUG DEL DISCARD DUMP ECHO EVAL EVALSHA EVAL_RO".split(
    " ",
  ),
  ..."EVALSHA_RO EXEC EXISTS EXPIRE EXPIREAT EXPIRETIME FAILOVER FCALL FCALL_RO FLUSHALL FLUSHDB FUNCTION GEOADD".split(
    " ",
  ),
  ..."GEODIST GEOHASH GEOPOS GEORADIUS GEOSEARCH GEOSEARCHSTORE GETBIT GETDEL GETEX GETRANGE GETSET HDEL HEXISTS".split(
    " ",
  ),
  ..."HGET HGETALL HINCRBY HINCRBYFLOAT HKEYS HLEN HMGET HMSET HRANDFIELD HSCAN HSET HSETNX HSTRLEN HVALS INCRBY".split(
    " ",
  ),
  ..."INCRBYFLOAT KEYS LASTSAVE LATENCY LCS LINDEX LINSERT LLEN LMOVE LMPOP LOLWUT LPOP LPOS LPUSH LPUSHX LRANGE LREM".split(
    " ",
  ),
  ..."LSET LTRIM MEMORY MGET MIGRATE MODULE MONITOR MSET MSETNX MULTI OBJECT PERSIST PEXPIRE PEXPIREAT PFADD PFCOUNT".split(
    " ",
  ),
  ..."PFMERGE PING PSETEX PSUBSCRIBE PSYNC PTTL PUBSUB PUNSUBSCRIBE QUIT RANDOMKEY READONLY READWRITE RENAME RENAMENX".split(
    " ",
  ),
  ..."REPLCONF REPLICAOF RESET RESTORE ROLE RPOP RPOPLPUSH RPUSH RPUSHX SADD SAVE SCAN SCARD SCRIPT SDIFF SDIFFSTORE".split(
    " ",
  ),
  ..."SELECT SETBIT SETEX SETNX SETRANGE SHUTDOWN SINTER SINTERCARD SINTERSTORE SISMEMBER SLAVEOF SLOWLOG SMEMBERS".split(
    " ",
  ),
  ..."SMISMEMBER SMOVE SORT SORT_RO SPOP SPUBLISH SRANDMEMBER SREM SSCAN SSUBSCRIBE STRLEN SUBSTR SUNION SUNIONSTORE".split(
    " ",
  ),
  ..."SWAPDB SYNC TIME TTL UNSUBSCRIBE UNWATCH WAIT WAITAOF WATCH XACK XADD XAUTOCLAIM XCLAIM XDEL XGROUP XINFO XLEN".split(
    " ",
  ),
  ..."XPENDING XRANGE XREAD XREADGROUP XREVRANGE XTRIM ZADD ZCARD ZCOUNT ZDIFF ZINCRBY ZINTER ZLEXCOUNT ZMPOP ZMSCORE".split(
    " ",
  ),
  ..."ZPOPMAX ZPOPMIN ZRANDMEMBER ZRANGE ZRANGEBYLEX ZRANGEBYSCORE ZRANGESTORE ZRANK ZREM ZREMRANGEBYRANK ZREVRANGE".split(
    " ",
  ),
  ..."ZREVRANK ZSCAN ZSCORE ZUNION ZUNIONSTORE".split(" "),
];

/** Words of HTTP and SIP, whose targets begin with a slash, a star or a scheme. */
const shared = ["ACL", "COPY", "GET", "INFO", "MOVE", "PUBLISH", "SUBSCRIBE", "TOUCH", "TYPE"];

const foreignTargets = ["/", "*", "http:", "http/", "sip:", "sips:"];

const line = (after: boolean): Rule[] => [
  {
    // An array of bulk strings, or one of none, which the server passes over.
    kind: "all",
    rules: [
      { kind: "text", text: "*", after },
      { kind: "run", class: "digit", also: "2d", min: 1, max: 10, until: "0d", after: true },
      { kind: "text", text: "\n", after: true },
    ],
  },
  {
    kind: "all",
    rules: [
      { kind: "text", text: commands, ignoreCase: true, after },
      { kind: "run", class: "blank", min: 1, after: true },
    ],
  },
  {
    kind: "all",
    rules: [
      { kind: "text", text: shared, ignoreCase: true, after },
      { kind: "bytes", hex: ["0a", "0d"], after: true },
    ],
  },
  {
    kind: "all",
    rules: [
      { kind: "text", text: shared.map((word) => `${word} `), ignoreCase: true, after },
      { kind: "not", rule: { kind: "text", text: foreignTargets, ignoreCase: true, after: true } },
      { kind: "run", class: "any", min: 1, after: true },
    ],
  },
  {
    // AUTH TLS and AUTH SSL are FTP's; a server's password may be anything else.
    kind: "all",
    rules: [
      { kind: "text", text: "AUTH ", ignoreCase: true, after },
      {
        kind: "not",
        rule: { kind: "text", text: ["TLS\r", "SSL\r", "TLS\n", "SSL\n"], ignoreCase: true, after: true },
      },
      { kind: "run", class: "any", min: 1, after: true },
    ],
  },
  { kind: "text", text: ["HELLO 2", "HELLO 3", "HELLO\r\n"], ignoreCase: false, after },
  { kind: "text", text: ["hello 2", "hello 3"], after },
  {
    // A key, and whatever follows. memcached's "set" begins alike, and so is not told apart.
    kind: "all",
    rules: [
      { kind: "text", text: ["SET ", "APPEND ", "INCR ", "DECR ", "DECRBY "], ignoreCase: true, after },
      { kind: "run", class: "visible", min: 1, max: 100, until: "20 0d 0a", after: true },
    ],
  },
];

export const redis: ProfileSource = {
  name: "redis",
  description: "Redis: RESP arrays and inline commands",
  expect: {
    kind: "any",
    rules: [
      ...line(false),
      // The server passes over empty lines.
      {
        kind: "all",
        rules: [
          { kind: "bytes", hex: ["0d 0a", "0a", "0d 0a 0d 0a"] },
          {
            kind: "any",
            rules: [
              {
                kind: "all",
                rules: [
                  { kind: "text", text: "*", after: true },
                  { kind: "run", class: "digit", also: "2d", min: 1, max: 10, until: "0d", after: true },
                ],
              },
              { kind: "run", class: "letter", min: 1, max: 20, until: "20 0d 0a", after: true },
            ],
          },
        ],
      },
    ],
  },
  // Another type than an array, a command that there is not.
  near: {
    family: ["redis"],
    overrules: ["text"],
    rules: [
      {
        kind: "all",
        rules: [
          { kind: "bytes", hex: ["2a", "24", "2b", "2d", "3a"] },
          { kind: "run", at: 1, class: "printable", min: 1, max: 64, until: "0d 0a" },
        ],
      },
      { kind: "run", class: "letter", min: 2, max: 32, until: "20 0d 0a" },
    ],
  },
  strikes: nearStrikes,
};
