#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What an emulated AArch64 machine with Debian's kernel makes of build/arm64/ttgate: arm64_guest.sh, in an initial
# file system of its own. Takes some minutes, and 1 GB under TMPDIR, which is given back.
set -euo pipefail
here="$(realpath "$(dirname "$0")")"
tree="$here/../.."

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
root="$work/root"

# Unpacked and not configured: nothing of it can run here.
mmdebstrap --quiet --architectures=arm64 --variant=extract --skip=check/qemu \
	--include=iproute2,busybox-static,linux-image-arm64 bookworm "$root" http://deb.debian.org/debian >"$work/log" 2>&1 || {
	cat "$work/log" >&2
	exit 1
}
kernel="$(find "$root/boot" -name 'vmlinuz-*')"
release="${kernel##*/vmlinuz-}"
mv "$kernel" "$work/kernel"
find "$root/lib/modules" -name veth.ko -exec cp {} "$root/veth.ko" \;
rm -rf "$root"/{boot,lib/modules,usr/share,var/cache,var/lib/apt}
cp "$tree/build/arm64/ttgate" "$root/usr/sbin/ttgate"
install -m 755 "$here/arm64_guest.sh" "$root/init"
(cd "$root" && find . | cpio --quiet -o -H newc) >"$work/initrd"
rm -rf "$root"

echo "$release"
# Not -cpu max: under QEMU 7.2 it crashes Bun's JIT.
timeout 900 qemu-system-aarch64 -M virt -cpu cortex-a72 -accel tcg,thread=multi -smp 2 -m 3072 -no-reboot -display none \
	-nodefaults -serial stdio -kernel "$work/kernel" -initrd "$work/initrd" \
	-append "console=ttyAMA0 panic=-1 quiet loglevel=0" </dev/null | tr -d '\r' | tee "$work/said" | sed 's/^/  /' ||
	echo "no end within 900 s" >&2
grep -q '^ended with 0$' "$work/said"
