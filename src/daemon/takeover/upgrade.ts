// SPDX-License-Identifier: Apache-2.0
// Starts this executable in the place of a gate that runs another one, with the arguments of that one.
import { spawn } from "node:child_process";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { setTimeout } from "node:timers/promises";
import { Failure, messageOf } from "../../failure.ts";
import { isListening } from "../../host/unix_socket.ts";
import type { Instance } from "../instance.ts";

/** A million bans, a slow verifier, a busy host. */
const takeoverMs = 75_000;
const lookMs = 20;

/** Whether the gate runs another executable than this. @throws Failure when that cannot be seen. */
export function runsAnother({ pid }: Instance): boolean {
  try {
    const [theirs, ours] = [statSync(`/proc/${pid}/exe`), statSync("/proc/self/exe")];
    return theirs.ino !== ours.ino || theirs.dev !== ours.dev;
  } catch (error) {
    const remedy = "run this as the gate's user, or as root";
    throw new Failure(`Cannot see what the gate with pid ${pid} runs: ${messageOf(error)}; ${remedy}`, {
      exitCode: 3,
      cause: error,
    });
  }
}

/**
 * Starts it and waits until it serves. What it says goes where this one's own words go.
 * @returns its pid. @throws Failure when it does not come to serve; then the gate before goes on.
 */
export async function startInPlaceOf({ pid }: Instance, runDirectory: string): Promise<number> {
  const [, ...given] = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").slice(0, -1);
  const args = [...given.filter((argument) => argument !== "--takeover"), "--takeover"];
  const child = spawn(process.execPath, args, { detached: true, stdio: ["ignore", "inherit", "inherit"] });
  const ended = new Promise<string>((resolve) => {
    child.once("error", (error) => resolve(error.message));
    child.once("exit", (code, signal) => resolve(`it ended with ${signal ?? `exit code ${code}`}`));
  });
  let reason: string | undefined;
  void ended.then((why) => {
    reason = why;
  });
  // A gate that serves can be taken over from.
  const sign = join(runDirectory, `${child.pid}.takeover`);
  for (const endMs = performance.now() + takeoverMs; !isListening(sign); await setTimeout(lookMs)) {
    if (performance.now() > endMs) {
      child.kill("SIGKILL");
      reason ??= `it did not serve within ${takeoverMs / 1000} s`;
    }
    if (reason !== undefined) {
      throw new Failure(`Cannot upgrade the gate with pid ${pid}: ${reason}; it goes on`, { exitCode: 3 });
    }
  }
  child.unref();
  return child.pid ?? 0;
}
