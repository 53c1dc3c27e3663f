// SPDX-License-Identifier: Apache-2.0
// A list whose members hold their neighbours.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { Chain, type Chained } from "../../src/core/chain.ts";

class Member implements Chained<Member> {
  chain: Chain<Member> | undefined;
  previous: Member | undefined;
  next: Member | undefined;
}

function membersOf(chain: Chain<Member>): Member[] {
  const members: Member[] = [];
  for (let member = chain.first; member !== undefined; member = member.next) members.push(member);
  return members;
}

test("members leave from anywhere, the others stay in order, and nothing holds on to who left", () => {
  const steps = fc.array(fc.tuple(fc.boolean(), fc.nat(20)), { maxLength: 60 });
  fc.assert(
    fc.property(steps, (script) => {
      const chain = new Chain<Member>();
      const other = new Chain<Member>();
      const wanted: Member[] = [];
      for (const [joins, index] of script) {
        if (joins || wanted.length === 0) {
          const member = new Member();
          chain.append(member);
          wanted.push(member);
        } else {
          const [member] = wanted.splice(index % wanted.length, 1) as [Member];
          other.remove(member);
          expect(member.chain).toBe(chain);
          chain.remove(member);
          chain.remove(member);
          expect([member.chain, member.previous, member.next]).toEqual([undefined, undefined, undefined]);
        }
        expect([chain.size, membersOf(chain).length]).toEqual([wanted.length, wanted.length]);
        expect(membersOf(chain).every((member, at) => member === wanted[at])).toBe(true);
      }
    }),
  );
});
