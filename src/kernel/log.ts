// SPDX-License-Identifier: Apache-2.0
// How this layer tells what it did and what it had to do without; the caller decides where it goes.

export type LogLevel = "info" | "warn" | "error";

export type Log = (level: LogLevel, message: string) => void;
