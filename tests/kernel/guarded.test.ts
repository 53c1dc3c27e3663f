// SPDX-License-Identifier: Apache-2.0
// Which place in the kernel's maps a port has, while ports come and go.
import { expect, test } from "bun:test";
import { Guarded } from "../../src/fences/xdp/guarded.ts";

test("a port keeps its place; one that goes leaves a hole, which the next one takes", () => {
  const guarded = new Guarded([5000, 6000, 7000], "port");
  expect([guarded.slotOf(6000), guarded.slots]).toEqual([1, [5000, 6000, 7000]]);
  guarded.keep([5000, 7000]);
  expect([guarded.slots, guarded.ports]).toEqual([
    [5000, 0, 7000],
    [5000, 7000],
  ]);
  expect([guarded.slotOf(8000), guarded.slotOf(9000), guarded.slotOf(7000)]).toEqual([1, 3, 2]);
});

test("in the place of another program, ports that it guards keep theirs whatever the order", () => {
  const guarded = new Guarded([8000, 7000, 5000], "port", [5000, 6000, 0, 7000]);
  expect(guarded.slots).toEqual([5000, 8000, 0, 7000]);
  expect(new Guarded([9], "port", [1, 2, 3, 4, 5, 6, 7, 8]).slotOf(9)).toBe(0);
});

test("there are eight places", () => {
  const ports = [1, 2, 3, 4, 5, 6, 7, 8];
  expect(() => new Guarded([...ports, 9], "port")).toThrow("guards 8 ports, got 9");
  const guarded = new Guarded(ports, "port");
  expect(() => guarded.slotOf(9)).toThrow("no place for port 9");
  guarded.keep(ports.slice(1));
  expect(guarded.slotOf(9)).toBe(0);
});
