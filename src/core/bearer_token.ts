// SPDX-License-Identifier: Apache-2.0
// The token that changes take.

/** What a Bearer header can carry: RFC 6750 2.1. */
const pattern = /^[A-Za-z0-9\-._~+/]+=*$/;

/**
 * @param given TTGATE_TOKEN; empty is as good as none.
 * @returns what is wrong with it, or the token.
 */
export function bearerToken(
  given: string | undefined,
): { readonly token: string | undefined } | { readonly error: string } {
  if (given === undefined || given === "") return { token: undefined };
  return pattern.test(given)
    ? { token: given }
    : { error: "Invalid TTGATE_TOKEN: expected letters, digits and -._~+/ only" };
}
