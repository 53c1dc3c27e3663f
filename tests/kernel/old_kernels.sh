#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What older kernels make of ttgate (old_kernels_main.ts): each runs in an emulated machine of its own, whose
# root is this host's, read-only. The kernels are packages of this host's archives and of those that the file
# SOURCES names, in the form of sources.list; the apt that fetches them is set up for that alone. Takes some
# minutes and 1 GB under TMPDIR, which is given back.
#   [SOURCES=FILE] old_kernels.sh [RELEASE...]      for instance 5.15; without, all that the archives have
set -euo pipefail
tree="$(realpath "$(dirname "$0")/../..")"

# RELEASE  DISTRIBUTION  PACKAGE, of which the newest counts
table='
5.10 Debian-11    linux-image-5\.10\.0-[0-9]+-amd64
5.15 Ubuntu-22.04 linux-image-5\.15\.0-[0-9]+-generic
6.1  Debian-12    linux-image-6\.1\.0-[0-9]+-amd64
6.8  Ubuntu-22.04 linux-image-6\.8\.0-[0-9]+-generic
6.12 Debian-13    linux-image-6\.12\.[0-9]+[+]deb13-amd64
'
# Modules that the guest wants: its root, and what the tests use.
modules=(9p 9pnet_virtio virtio_pci veth sch_ingress cls_bpf)

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
chmod 755 "$work" # apt reads and writes as another user

apt() {
	"$@" -q -o APT::Sandbox::User=root -o Dir::Etc::SourceList="$work/sources.list" \
		-o Dir::State::Lists="$work/lists" -o Dir::Cache="$work/cache" -o Acquire::Languages=none
}

open_archives() {
	mkdir -p "$work"/{lists,cache/archives}/partial
	cat /etc/apt/sources.list "${SOURCES:-/dev/null}" >"$work/sources.list" 2>/dev/null || true
	apt apt-get update >/dev/null
}

# PACKAGE DIRECTORY
unpack() {
	(cd "$work" && apt apt-get download "$1" >/dev/null && dpkg -x "$1"_*.deb "$2" && rm "$1"_*.deb)
}

# PACKAGE DIRECTORY: the kernel and its modules; Ubuntu has these in a package of their own.
fetch_kernel() {
	local release="${1#linux-image-}"
	unpack "$1" "$2"
	[[ -d "$2/lib/modules/$release" || -d "$2/usr/lib/modules/$release" ]] || unpack "linux-modules-$release" "$2"
	[[ -d "$2/lib" ]] || ln -s usr/lib "$2/lib"
	depmod -b "$2" "$release"
}

# DIRECTORY RELEASE: the first file system of the guest, which mounts the other and runs the tests.
build_initrd() {
	local root="$1/initrd" path number=100
	mkdir -p "$root"/{bin,dev,modules,root}
	cp "$(command -v busybox)" "$root/bin/busybox"
	while read -r path; do
		number=$((number + 1))
		case "$path" in
		*.xz) xz -dc "$path" ;;
		*.zst) zstd -dcq "$path" ;;
		*) cat "$path" ;;
		esac >"$root/modules/$number.ko"
	done < <(modprobe -a -d "$1" -S "$2" --show-depends "${modules[@]}" | awk '$1 == "insmod" && !seen[$2]++ { print $2 }')
	cat >"$root/init" <<-END
		#!/bin/busybox sh
		PATH=/usr/sbin:/usr/bin:/sbin:/bin
		busybox mount -t devtmpfs none /dev
		for module in /modules/*; do busybox insmod \$module; done
		share="-t 9p -o trans=virtio,version=9p2000.L,ro,msize=512000,cache=loose"
		busybox mount \$share host /root
		for place in proc:proc sysfs:sys devtmpfs:dev tmpfs:tmp tmpfs:run tmpfs:var/tmp; do
			busybox mount -t \${place%:*} none /root/\${place#*:}
		done
		busybox mkdir -p /root$tree
		busybox mount \$share tree /root$tree
		busybox chroot /root /bin/sh -c 'ip link set lo up && cd $tree && TTGATE_SLOWNESS=10 HOME=/tmp node_modules/.bin/bun tests/kernel/old_kernels_main.ts' </dev/null
		echo "ended with \$?"
		busybox poweroff -f
	END
	chmod +x "$root/init"
	(cd "$root" && find . | cpio --quiet -o -H newc | gzip -1) >"$1/initrd.gz"
}

share() {
	echo "-fsdev local,id=$1,path=$2,security_model=none,readonly=on,multidevs=remap -device virtio-9p-pci,fsdev=$1,mount_tag=$1"
}

# PACKAGE: prints what the guest says, and fails when it does not end well.
try() {
	local directory="$work/$1" release="${1#linux-image-}"
	fetch_kernel "$1" "$directory"
	build_initrd "$directory" "$release"
	echo "$release"
	# shellcheck disable=SC2046
	timeout 1200 qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -m 3072 -no-reboot -display none -nodefaults \
		-serial stdio -kernel "$directory/boot/vmlinuz-$release" -initrd "$directory/initrd.gz" \
		-append "console=ttyS0 panic=-1 quiet loglevel=0" $(share host /) $(share tree "$tree") \
		</dev/null | tr -d '\r' >"$directory/said" || echo "no end within 1200 s" >>"$directory/said"
	sed -n '/^ended with/d; s/^/  /p' "$directory/said"
	local ended=0
	grep -q '^ended with 0' "$directory/said" || ended=1
	rm -rf "$directory"
	return "$ended"
}

open_archives
failed=0
while read -r release distribution pattern; do
	[[ -n "$release" && ($# == 0 || " $* " == *" $release "*) ]] || continue
	package="$(apt apt-cache search --names-only "^$pattern\$" | awk '{ print $1 }' | sort -V | tail -n 1)"
	if [[ -n "$package" ]]; then
		try "$package" || failed=1
	else
		echo "Kernel \"$release\": the archives have no package of $distribution: name one with SOURCES=FILE" >&2
		[[ $# == 0 ]] || failed=1
	fi
done <<<"$table"
exit "$failed"
