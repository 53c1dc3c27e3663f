// SPDX-License-Identifier: Apache-2.0
// Makes a time namespace an hour ahead for its children, stays in its own, and prints by how many milliseconds the
// kernel's clock differs from its own uptime.
import { readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import { kernelClock } from "../../src/kernel/clock.ts";
import { check } from "../../src/kernel/errno.ts";
import { openLibc } from "../../src/kernel/libc.ts";
import { native } from "../../src/runtime/bun_ffi.ts";

/** linux/sched.h */
const cloneNewTime = 0x80;

using libc = native.open("libc.so.6", { unshare: [["i32"], "i32"] });
check("Make a time namespace", libc.calls.unshare(cloneNewTime));
writeFileSync("/proc/self/timens_offsets", "boottime 3600 0");
const nowMs = kernelClock(openLibc(native)).readMs();
const uptimeMs = Number.parseFloat(readFileSync("/proc/uptime", "latin1")) * 1000;
process.stdout.write(String(nowMs - uptimeMs));
