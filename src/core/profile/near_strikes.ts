// SPDX-License-Identifier: Apache-2.0
/** Near misses within ten minutes that are a ban, with the built-in profiles: more than a person mistypes. */
export const nearStrikes = 5;
