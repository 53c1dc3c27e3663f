#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes an OCI image of an executable that is built already: it, and the glibc that it needs, from Debian's archive.
# It runs as nobody; the kernel block wants root (--user 0), --cap-add BPF, NET_ADMIN and PERFMON, and /sys/fs/bpf.
#   image.sh ARCHITECTURE EXECUTABLE VERSION      writes dist/ttgate_VERSION_ARCHITECTURE.oci.tar
set -euo pipefail
cd "$(dirname "$0")/.."
architecture="$1" executable="$2" version="$3"
: "${SOURCE_DATE_EPOCH:?}"

place="build/$architecture/image"
rm -rf "$place"
mkdir -p "$place"
scripts/libraries_of.sh "$architecture" "$place/glibc" libc6

root="$place/root"
mkdir -p "$root"/{etc,proc,run/ttgate,sys,tmp,usr/sbin,var/lib/ttgate}
chmod 1777 "$root/tmp"
cp "$executable" "$root/usr/sbin/ttgate"
cp "build/$architecture/NOTICE" "$root/NOTICE"
printf 'root:x:0:0::/:/\nnobody:x:65534:65534::/:/\n' >"$root/etc/passwd"
chown 65534:65534 "$root"/{run,var/lib}/ttgate
for name in ld-linux-\* libc.so.6 libm.so.6 libpthread.so.0 libdl.so.2 libresolv.so.2 libnss_dns.so.2 libnss_files.so.2; do
	while read -r library; do
		mkdir -p "$root/$(dirname "${library#"$place/glibc/"}")"
		cp -P "$library" "$root/${library#"$place/glibc/"}"
	done < <(find "$place/glibc" -path '*lib*' -name "$name" \( -type f -o -type l \))
done
find "$root" -exec touch -hcd "@$SOURCE_DATE_EPOCH" {} +

image="$place/oci"
stamp="$(date -u -d "@$SOURCE_DATE_EPOCH" +%FT%TZ)"
umoci init --layout "$image"
umoci new --image "$image:$version"
umoci insert --image "$image:$version" --history.created "$stamp" "$root" /
umoci config --image "$image:$version" --architecture "$architecture" --os linux --created "$stamp" --config.user 65534:65534 \
	--config.entrypoint /usr/sbin/ttgate --config.exposedports 5000 --history.created "$stamp"
umoci gc --layout "$image"
mkdir -p dist
tar --create --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --directory="$image" \
	--file="dist/ttgate_${version}_$architecture.oci.tar" .
rm -rf "$place"
