// SPDX-License-Identifier: Apache-2.0
// A parser that takes everything would prove nothing.
import { expect, test } from "bun:test";
import { parsePrometheus } from "./prometheus.ts";

const head = "# HELP a_total A.\n# TYPE a_total counter\n";

test("reads names, labels, escapes and numbers", () => {
  const text = `${head}a_total 1\na_total{b="x\\n\\"\\\\",c=""} 2.5e+3\n# HELP d D.\n# TYPE d gauge\nd -Inf\n`;
  expect(parsePrometheus(text)).toEqual([
    {
      name: "a_total",
      type: "counter",
      help: "A.",
      samples: [
        { name: "a_total", labels: {}, value: 1 },
        { name: "a_total", labels: { b: 'x\n"\\', c: "" }, value: 2500 },
      ],
    },
    {
      name: "d",
      type: "gauge",
      help: "D.",
      samples: [{ name: "d", labels: {}, value: Number.NEGATIVE_INFINITY }],
    },
  ]);
});

test.each([
  "a 1\n",
  `${head}a_total 1`,
  `${head}a_total one\n`,
  `${head}a_total undefined\n`,
  `${head}a_total  1\n`,
  `${head}a_total -1\n`,
  `${head}b_total 1\n`,
  `${head}a_total 1\na_total 1\n`,
  `${head}a_total{b="1",c="2"} 1\na_total{c="2",b="1"} 1\n`,
  `${head}a_total{b="1",b="2"} 1\n`,
  `${head}a_total{b="x"y"} 1\n`,
  `${head}a_total{b="x\\t"} 1\n`,
  `${head}a_total{b-c="x"} 1\n`,
  `${head}a_total 1\n\n`,
  `${head}${head}`,
  "# HELP a A.\n# TYPE a counter\na 1\n",
  "# HELP a_total A.\n# TYPE a_total gauge\na_total 1\n",
  "# HELP a A.\n# TYPE b gauge\n",
  "# TYPE a gauge\na 1\n",
  '# HELP h H.\n# TYPE h histogram\nh_bucket{le="1"} 2\nh_bucket{le="+Inf"} 1\nh_sum 1\nh_count 1\n',
  '# HELP h H.\n# TYPE h histogram\nh_bucket{le="+Inf"} 1\nh_sum 1\nh_count 2\n',
  '# HELP h H.\n# TYPE h histogram\nh_bucket{le="1"} 1\nh_sum 1\nh_count 1\n',
])("refuses %j", (text) => {
  expect(() => parsePrometheus(text)).toThrow();
});
