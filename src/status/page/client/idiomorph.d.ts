// SPDX-License-Identifier: Apache-2.0
// The part of idiomorph that is used here.
declare module "idiomorph" {
  export const Idiomorph: {
    morph(
      old: Element,
      next: Element,
      options: { readonly callbacks: { beforeNodeMorphed(old: Node, next: Node): boolean } },
    ): void;
  };
}
