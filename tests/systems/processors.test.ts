// SPDX-License-Identifier: Apache-2.0
// An x86-64 processor without AVX and AVX2, by QEMU's user mode. AArch64 is "make kernels ARCH=arm64".
import { expect, setDefaultTimeout } from "bun:test";
import { run } from "../harness/child.ts";
import { executable } from "../harness/gate.ts";
import { testWith } from "../harness/needs.ts";
import { TempDir } from "../harness/temp_dir.ts";

setDefaultTimeout(120_000);

const nehalem = ["qemu-x86_64", "-cpu", "Nehalem"];
const needs = [{ program: "qemu-x86_64" }, "executable"] as const;

testWith(...needs)("a program with AVX2 dies on it", async () => {
  using place = new TempDir();
  const source = place.write(
    "avx2.c",
    `#include <immintrin.h>
    int main(int count, char **words) {
      (void)words;
      __m256i many = _mm256_add_epi64(_mm256_set1_epi64x(count), _mm256_set1_epi64x(count));
      return _mm256_extract_epi32(many, 3);
    }`,
  );
  const program = place.file("avx2");
  expect((await run(["gcc", "-O1", "-mavx2", "-static", "-o", program, source])).code).toBe(0);
  const { code, signal, stderr } = await run([...nehalem, program]);
  expect([code === 0, `${signal}${code}${stderr}`]).toEqual([false, expect.stringMatching(/SIGILL|132|signal 4/)]);
});

testWith(...needs)("ttgate runs on it, and judges", async () => {
  using place = new TempDir();
  const http = place.write("http", "GET / HTTP/1.1\r\nHost: example.org\r\n\r\n");
  const { code, stdout } = await run([...nehalem, executable, "check", http], { timeoutMs: 110_000 });
  expect([code, stdout]).toEqual([1, expect.stringContaining("http")]);
});
