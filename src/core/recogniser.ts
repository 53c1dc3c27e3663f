// SPDX-License-Identifier: Apache-2.0
// The library of recognisers, in the order that settles a tie: where two know the same bytes at the
// same byte, the first gives the name. To add one, write its data in recognisers/ and its vectors in
// tests/vectors/, and list it here.
import { ssh, tls } from "./recognisers/secure.ts";
import { text } from "./recognisers/text.ts";
import { http, http2 } from "./recognisers/web.ts";
import type { Recogniser } from "./signature.ts";

export const recognisers: readonly Recogniser[] = [http, http2, tls, ssh, text];
