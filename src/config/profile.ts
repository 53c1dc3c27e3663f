// SPDX-License-Identifier: Apache-2.0
// Reads a profile by name or from a file (.json or .toml). The only place where profiles touch a disk.
import { createHash } from "node:crypto";
import { basename, extname } from "node:path";
import process from "node:process";
import { parse as parseToml, TomlError } from "smol-toml";
import { builtInProfile, makeCompiled, readRecognisers } from "../core/profile/compiled_profile.ts";
import { profileLibrary } from "../core/profile/library.ts";
import { type Profile, parsingProfile } from "../core/profile/profile.ts";
import { createSniffer } from "../core/profile/sniffer.ts";
import type { Ciphers } from "../core/signature/cipher.ts";
import { makeTable, type SignatureTable } from "../core/signature/table.ts";
import type { Sniffer } from "../core/sniff.ts";
import { finished, type Work } from "../core/work.ts";
import { codeOf, Failure, messageOf } from "../failure.ts";
import { writtenRecognisers } from "../generated/recognisers.ts";
import { readSmallFile, readSmallText } from "../host/small_file.ts";
import type { GateOptions } from "./options.ts";

/**
 * @param nameOrFile a built-in profile, or the path of a file: anything with a slash, a dot in it.
 * @throws Error with every problem of the profile, each with its path, and what to do.
 */
export function loadSniffer(nameOrFile: string): Sniffer {
  return finished(makeSniffer(nameOrFile));
}

/** The same in steps, for those who have connections to relay meanwhile. */
export function* makeSniffer(nameOrFile: string): Work<Sniffer> {
  const builtIn = profileLibrary.get(nameOrFile);
  return createSniffer(
    builtIn === undefined
      ? yield* makeCompiled(yield* readProfile(nameOrFile))
      : builtInProfile(builtIn, readRecognisers(writtenRecognisers), ciphers),
  );
}

/** All that a profile depends on; undefined where that is more than its own file: a key in a file of its own. */
export function profileContent(nameOrFile: string): string | undefined {
  if (profileLibrary.has(nameOrFile)) return nameOrFile;
  const text = readText(nameOrFile);
  return text.includes("keyFile") ? undefined : text;
}

/** What tells whether a profile is the one that it was: its text. */
export function profileFingerprint(nameOrFile: string): string {
  const text = profileLibrary.has(nameOrFile) ? JSON.stringify(profileLibrary.get(nameOrFile)) : readText(nameOrFile);
  return createHash("sha256").update(text).digest("hex");
}

/**
 * A profile that rests on too little is not enforced by mistake.
 * @throws Failure that says what is missing and what to do.
 */
export function requireProven({ unproven }: Sniffer, gate: GateOptions, isDryRun: boolean): void {
  if (unproven === undefined || isDryRun || gate.trial !== undefined || gate["enforce-unproven"]) return;
  throw new Failure(
    `Profile "${gate.profile}" is not safe to enforce: ${unproven}; try it first with --trial 24h, learn from more, or enforce it all the same with --enforce-unproven`,
    { exitCode: 2 },
  );
}

/** The same with its rules at hand, for those who ask why; takes longer. */
export function loadProfile(nameOrFile: string): Profile {
  return finished(readProfile(nameOrFile));
}

function* readProfile(nameOrFile: string): Work<Profile> {
  const source = profileLibrary.get(nameOrFile) ?? readSource(nameOrFile);
  const result = yield* parsingProfile(source, basename(nameOrFile, extname(nameOrFile)), ciphers);
  if (result.kind === "profile") return result.profile;
  const problems = result.problems.map(({ path, message }) => `${path}: ${message}`);
  const count = problems.length === 1 ? "1 problem" : `${problems.length} problems`;
  throw new Failure(`Read profile "${nameOrFile}": ${count}: ${problems.join("; ")}`, { exitCode: 2 });
}

export function loadSignatureTable(nameOrFile: string): SignatureTable {
  return finished(makeSignatureTable(nameOrFile));
}

/**
 * The profile as the kernel judges by it, made in steps.
 * @throws Failure when it has rules that only user space can decide, or more of them than fit.
 */
export function* makeSignatureTable(nameOrFile: string): Work<SignatureTable> {
  const result = yield* makeTable(yield* readProfile(nameOrFile));
  if (result.kind === "table") return result.table;
  const problems = result.problems.map(({ path, message }) => `${path}: ${message}`).join("; ");
  throw new Failure(`Profile "${nameOrFile}" cannot be judged in the kernel: ${problems}`, { exitCode: 2 });
}

function readSource(nameOrFile: string): unknown {
  const extension = extname(nameOrFile);
  requireFile(nameOrFile);
  if (extension !== ".json" && extension !== ".toml") {
    throw new Failure(
      `Read profile "${nameOrFile}": the format is unknown; give the file a name that ends in .toml or .json`,
      { exitCode: 2 },
    );
  }
  const text = readText(nameOrFile);
  return extension === ".json" ? parseJsonText(nameOrFile, text) : parseTomlText(nameOrFile, text);
}

function requireFile(nameOrFile: string): void {
  if (nameOrFile.includes("/") || extname(nameOrFile) !== "") return;
  const names = [...profileLibrary.keys()].join(", ");
  throw new Failure(
    `Read profile "${nameOrFile}": there is no such built-in profile; use one of ${names}, or the path of a .toml or .json file`,
    { exitCode: 2 },
  );
}

function readText(path: string): string {
  requireFile(path);
  try {
    return readSmallText(path);
  } catch (error) {
    const code = codeOf(error) ?? "";
    const state = {
      ENOENT: "there is no such file; check the path",
      EACCES: "it may not be read; check its permissions",
    }[code];
    throw new Failure(`Read profile "${path}": ${state ?? messageOf(error)}`, { exitCode: 2, cause: error });
  }
}

function parseJsonText(path: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Failure(`Read profile "${path}": it is not valid JSON: ${reason}; correct it`, {
      exitCode: 2,
      cause: error,
    });
  }
}

function parseTomlText(path: string, text: string): unknown {
  try {
    return parseToml(text);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const [reason = ""] = error.message.split("\n");
    throw new Failure(`Read profile "${path}": line ${error.line}, column ${error.column}: ${reason}; correct it`, {
      exitCode: 2,
      cause: error,
    });
  }
}

const keyBytes = 32;

/** The runtime's AES, loaded by the profiles that want it (8 ms). A cipher in ECB mode without padding gives each block at once and can go on for ever. */
export const ciphers: Ciphers = {
  open(key) {
    const { createCipheriv, createDecipheriv } = process.getBuiltinModule("node:crypto");
    const encryption = createCipheriv("aes-256-ecb", key, null).setAutoPadding(false);
    const decryption = createDecipheriv("aes-256-ecb", key, null).setAutoPadding(false);
    return { encrypt: (block) => encryption.update(block), decrypt: (block) => decryption.update(block) };
  },
  readKey(file) {
    let bytes: Uint8Array;
    try {
      bytes = readSmallFile(file);
    } catch (error) {
      const code = codeOf(error) ?? messageOf(error);
      throw new Error(`The key file "${file}" cannot be read (${code}); check its path and permissions`, {
        cause: error,
      });
    }
    if (bytes.length === keyBytes) return bytes;
    const text = new TextDecoder("latin1").decode(bytes).trim();
    if (/^[0-9a-fA-F]{64}$/.test(text))
      return Uint8Array.from(text.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
    throw new Error(
      `The key file "${file}" has ${bytes.length} bytes; it must hold 32 bytes, or 64 hexadecimal digits`,
    );
  },
};
