// SPDX-License-Identifier: Apache-2.0
// A learned profile as a file: TOML with what it rests on as comments, or JSON.
import { basename, extname } from "node:path";
import { stringify } from "smol-toml";
import type { LearnReport } from "../core/learn/learn.ts";
import { plural } from "../core/learn/variety.ts";
import type { ProfileSource } from "../core/profile/profile.ts";
import { Failure } from "../failure.ts";
import { oneLine } from "../log.ts";

/** @throws Failure for a file that no profile can be read from later. */
export function requireProfileName(path: string): void {
  if ([".toml", ".json"].includes(extname(path))) return;
  throw new Failure(`Write "${path}": the format is unknown; give the file a name that ends in .toml or .json`, {
    exitCode: 2,
  });
}

/** The file's name as far as a profile may be called so. */
export function profileNameOf(path: string): string {
  const name = basename(path, extname(path)).replaceAll(/[^A-Za-z0-9._-]/g, "-");
  return /^[A-Za-z0-9]/.test(name) ? name.slice(0, 64) : `learned${name}`.slice(0, 64);
}

export function profileText(path: string, profile: ProfileSource, report: LearnReport): string {
  if (extname(path) === ".json") return `${JSON.stringify(profile, undefined, 2)}\n`;
  const comments = [...report.findings, ...trialOf(report)].map((line) => `# ${oneLine(line)}\n`);
  return `${comments.join("")}\n${stringify(profile)}\n`;
}

/** What the profile would have done with the connections that it was learned from. */
export function trialOf({ samples, wrongly, refused, relayed, variety, leftOut, missing }: LearnReport): string[] {
  const { sources, sessions } = variety;
  return [
    `They came from ${sources} ${plural("source", sources)} in ${sessions} ${plural("session", sessions)}`,
    leftOut.sources === 0
      ? "No source could be left out to see whether the others' rules would have banned it"
      : `Of ${leftOut.sources} sources, each left out in turn, ${leftOut.banned} would have been banned`,
    ...(missing.length === 0 ? [] : [`Not safe to enforce without a trial: ${missing.join("; ")}`]),
    `Of the ${samples} connections that the server accepted it would have rejected ${wrongly === 0 ? "none" : wrongly}`,
    refused === 0
      ? "The server hung up on nobody without a byte, so how many of those it would have accepted is not known"
      : `Of the ${refused} on which the server hung up without a byte it would have accepted ${relayed === 0 ? "none" : relayed}`,
  ];
}
