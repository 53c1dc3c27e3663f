// SPDX-License-Identifier: Apache-2.0
// The signature language: what a rule over the first bytes of a connection may say, as data. A rule
// is about the whole of what the client sends before it falls silent; offsets count from its first
// byte. docs/signatures.md is the manual. Knows nothing of how rules are run (signature_program.ts).
import { z } from "zod";
import { byteClassNames } from "./class.ts";

/**
 * No rule may need more bytes than this of one connection: it is what each undecided connection
 * can cost in memory. A TLS ClientHello with a post-quantum key share is about 1,800 bytes.
 */
export const prefixLimitBytes = 4096;

const hexPattern = /^(?:[0-9a-fA-F]{2})(?: ?[0-9a-fA-F]{2})*$/;
const hex = z.string().regex(hexPattern, 'Bytes are pairs of hexadecimal digits, such as "16 03 01"');
const oneOrMore = <T extends z.ZodType>(item: T) => z.union([item, z.array(item).min(1)]);
const offset = z.int().min(0).max(prefixLimitBytes);
const uint32 = z.int().min(0).max(0xffff_ffff);
const ascii = z
  .string()
  .min(1)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are bytes as good as any.
  .regex(/^[\x00-\x7f]*$/, "Text is ASCII only; write other bytes as kind bytes");

/** Where a rule looks: `at` bytes from the first byte, or, with `after`, from the end of the run before it. */
const place = { at: offset.optional(), after: z.boolean().optional() };

const bytesRule = z
  .strictObject({ kind: z.literal("bytes"), ...place, hex: oneOrMore(hex), mask: hex.optional() })
  .superRefine((rule, context) => {
    if (rule.mask === undefined) return;
    const maskBytes = parseHex(rule.mask).length;
    for (const value of [rule.hex].flat()) {
      const bytes = parseHex(value).length;
      if (bytes === maskBytes) continue;
      context.addIssue({
        code: "custom",
        path: ["mask"],
        message: `The mask has ${maskBytes} bytes and "${value}" has ${bytes}; give both the same length`,
      });
    }
  });

const textRule = z.strictObject({
  kind: z.literal("text"),
  ...place,
  text: oneOrMore(ascii),
  ignoreCase: z.boolean().optional(),
});

const runRule = z
  .strictObject({
    kind: z.literal("run"),
    ...place,
    class: z.enum(byteClassNames),
    /** More bytes that belong to the run, in hexadecimal. */
    also: hex.optional(),
    min: z.int().min(0).max(prefixLimitBytes).optional(),
    max: z.int().min(0).max(prefixLimitBytes).optional(),
    /** Bytes of which one must follow the run, in hexadecimal; or the end of what the client sends. */
    until: z.union([z.literal("end"), hex]).optional(),
  })
  .superRefine((rule, context) => {
    const min = rule.min ?? 1;
    if (rule.until === undefined && rule.max !== undefined) {
      context.addIssue({
        code: "custom",
        path: ["max"],
        message: "A run that nothing must follow has no max; add until, or drop max",
      });
    }
    if (rule.until === undefined && min === 0) {
      context.addIssue({
        code: "custom",
        path: ["min"],
        message: "A run of 0 bytes says nothing; add until, or a min of 1",
      });
    }
    if (rule.until !== undefined && rule.max === undefined) {
      context.addIssue({
        code: "custom",
        path: ["max"],
        message: "A run with until needs a max, so that the bytes it can hold back are bounded",
      });
    }
    if (rule.max !== undefined && rule.max < min) {
      context.addIssue({
        code: "custom",
        path: ["max"],
        message: `The max ${rule.max} is below the min ${min}; no run is both`,
      });
    }
  });

const numberRule = z
  .strictObject({
    kind: z.literal("number"),
    ...place,
    size: z.int().min(1).max(4),
    endian: z.enum(["big", "little"]).optional(),
    min: uint32.optional(),
    max: uint32.optional(),
    /** Ties `value + plus` to the number of bytes that the client sends before it falls silent. */
    length: z.enum(["equals", "within"]).optional(),
    plus: z.int().min(-prefixLimitBytes).max(prefixLimitBytes).optional(),
  })
  .superRefine((rule, context) => {
    const issue = (path: string, message: string) => context.addIssue({ code: "custom", path: [path], message });
    if (rule.size > 1 && rule.endian === undefined)
      issue("endian", `A number of ${rule.size} bytes needs endian "big" or "little"`);
    if (rule.min !== undefined && rule.max !== undefined && rule.max < rule.min) {
      issue("max", `The max ${rule.max} is below the min ${rule.min}; no number is both`);
    }
    if (rule.length !== undefined && rule.max === undefined) {
      issue("max", "A number tied to the length needs a max, so that the bytes it can hold back are bounded");
    }
    if (rule.length === undefined && rule.plus !== undefined)
      issue("plus", "Only a number tied to the length has plus; add length");
    if (rule.length === undefined && rule.min === undefined && rule.max === undefined) {
      issue("min", "A number needs a min, a max or a length; else it says nothing");
    }
  });

const lengthRule = z
  .strictObject({
    kind: z.literal("length"),
    min: z.int().min(1).max(prefixLimitBytes).optional(),
    max: z.int().min(1).max(prefixLimitBytes).optional(),
    /** The bytes beyond the first `after` are a whole number of blocks of this size. */
    multipleOf: z.int().min(2).max(prefixLimitBytes).optional(),
    after: z.int().min(0).max(prefixLimitBytes).optional(),
  })
  .superRefine((rule, context) => {
    const issue = (path: string, message: string) => context.addIssue({ code: "custom", path: [path], message });
    if (rule.min === undefined && rule.max === undefined && rule.multipleOf === undefined) {
      issue("min", "A length needs a min, a max or a multipleOf; else it says nothing");
    }
    if (rule.min !== undefined && rule.max !== undefined && rule.max < rule.min) {
      issue("max", `The max ${rule.max} is below the min ${rule.min}; no length is both`);
    }
    if (rule.multipleOf !== undefined && rule.max === undefined) {
      issue("max", "A multipleOf needs a max, so that the bytes it can hold back are bounded");
    }
    if (rule.after !== undefined && rule.multipleOf === undefined) issue("after", "Only multipleOf has after; add it");
  });

const hostName = /^(?:\*\.)?[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*$/;

/** User space only: a TLS ClientHello that asks for one of these names. */
const tlsRule = z.strictObject({
  kind: z.literal("tls"),
  /** `*.example.org` stands for one label in front. */
  sni: z
    .array(z.string().max(255).regex(hostName, 'A server name is like "example.org" or "*.example.org"'))
    .min(1)
    .optional(),
  alpn: z.array(ascii.max(255)).min(1).optional(),
});

const hexOf = (bytes: number) =>
  hex.refine(
    (text) => parseHex(text).length === bytes,
    `It must have ${bytes} bytes, which is ${bytes * 2} hexadecimal digits`,
  );

/** User space only: the first block, decrypted with the site's own key, begins like this. */
const aesRule = z
  .strictObject({
    kind: z.literal("aes256"),
    at: offset.optional(),
    key: hexOf(32).optional(),
    /** Holds the 32 bytes, or 64 hexadecimal digits. */
    keyFile: z.string().min(1).optional(),
    mode: z.enum(["ecb", "cbc", "ctr"]),
    iv: hexOf(16).optional(),
    /** Where the client sends the initialisation vector, instead of `iv`. */
    ivAt: offset.optional(),
    /** The plaintext's first bytes; gzip's magic when not given (RFC 1952 section 2.3.1). */
    plain: hex.refine((text) => parseHex(text).length <= 16, "At most the 16 bytes of a block").optional(),
  })
  .superRefine((rule, context) => {
    const issue = (path: string, message: string) => context.addIssue({ code: "custom", path: [path], message });
    if ((rule.key === undefined) === (rule.keyFile === undefined))
      issue("key", "Give the key either as key or as keyFile");
    const ivs = Number(rule.iv !== undefined) + Number(rule.ivAt !== undefined);
    if (rule.mode === "ecb" && ivs > 0)
      issue("mode", "The mode ecb has no initialisation vector; drop it, or say cbc or ctr");
    if (rule.mode !== "ecb" && ivs !== 1)
      issue("iv", `The mode ${rule.mode} needs the initialisation vector, either as iv or as ivAt`);
  });

/** User space only: bytes that look like ciphertext; see signature_random.ts for the test and its bound. */
const randomRule = z.strictObject({
  kind: z.literal("random"),
  at: offset.optional(),
  /** How many bytes are tested. */
  bytes: z.int().min(16).max(256),
  /** They may begin so many bytes later: a clear header of unknown length. */
  slack: z.int().min(0).max(256).optional(),
});

/** Ciphertext, perhaps after a clear header: docs/verdict.md. Its place is the beginning. */
const ciphertextRule = z
  .strictObject({
    kind: z.literal("ciphertext"),
    /** Clear bytes at the beginning, at most. */
    header: z.int().min(0).max(16).optional(),
    /** No friend's first packet has fewer bytes. */
    shortest: z.int().min(32).max(96).optional(),
    /** A friend is banned with a chance below 2 to the power of minus this. */
    banBits: z.int().min(20).max(60).optional(),
    /** It is accepted when it is so much likelier to be ciphertext than what any expert knows. */
    acceptBits: z.number().min(0).max(16).optional(),
  })
  .superRefine((rule, context) => {
    const { header = 16, shortest = 44 } = rule;
    if (shortest - header >= 16) return;
    const message = `Of ${shortest} bytes after a header of ${header} there are ${shortest - header} to judge by and 16 are needed; give a shorter header or a longer shortest`;
    context.addIssue({ code: "custom", path: ["header"], message });
  });

/** Whatever a recogniser of the library knows. In profiles only. */
const protocolRule = z.strictObject({ kind: z.literal("protocol"), name: z.string() });

export type TlsRule = z.infer<typeof tlsRule>;
export type AesRule = z.infer<typeof aesRule>;
export type RandomRule = z.infer<typeof randomRule>;
export type CiphertextRule = z.infer<typeof ciphertextRule>;
export type ProtocolRule = z.infer<typeof protocolRule>;
export type BytesRule = z.infer<typeof bytesRule>;
export type TextRule = z.infer<typeof textRule>;
export type RunRule = z.infer<typeof runRule>;
export type NumberRule = z.infer<typeof numberRule>;
export type LengthRule = z.infer<typeof lengthRule>;

/** A rule about one place; `all` and `any` are made of these. */
export type Atom =
  | BytesRule
  | TextRule
  | RunRule
  | NumberRule
  | LengthRule
  | TlsRule
  | AesRule
  | RandomRule
  | CiphertextRule;

export type Rule =
  | Atom
  | ProtocolRule
  | { kind: "all"; rules: Rule[] }
  | { kind: "any"; rules: Rule[] }
  | { kind: "not"; rule: Rule };

const nested: z.ZodType<Rule> = z.lazy(() => ruleSchema);

export const ruleSchema: z.ZodType<Rule> = z
  .discriminatedUnion("kind", [
    bytesRule,
    textRule,
    runRule,
    numberRule,
    lengthRule,
    tlsRule,
    aesRule,
    randomRule,
    ciphertextRule,
    protocolRule,
    z.strictObject({ kind: z.literal("all"), rules: z.array(nested).min(1) }),
    z.strictObject({ kind: z.literal("any"), rules: z.array(nested).min(1) }),
    z.strictObject({ kind: z.literal("not"), rule: nested }),
  ])
  .meta({ id: "rule" });

/** A named protocol: any of its rules is enough to know it. */
export const recogniserSchema = z.strictObject({
  name: z.string().regex(/^[a-z][a-z0-9-]{0,31}$/, "A name is up to 32 of a-z, 0-9 and -, beginning with a letter"),
  description: z.string().optional(),
  rules: z.array(ruleSchema).min(1),
});

export type Recogniser = z.infer<typeof recogniserSchema>;

/** @param text that `hexPattern` accepts. */
export function parseHex(text: string): Uint8Array {
  const digits = text.replaceAll(" ", "");
  return Uint8Array.from({ length: digits.length / 2 }, (_, index) =>
    Number.parseInt(digits.slice(index * 2, index * 2 + 2), 16),
  );
}
