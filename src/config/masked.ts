// SPDX-License-Identifier: Apache-2.0
// A value in a message, which ends in a log: without the password of a URL. Pure.

export function masked(text: string): string {
  return text.replace(/(:\/\/[^\s/:@]*:)\S*@/g, "$1…@");
}
