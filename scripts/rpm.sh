#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Packs an executable that is built already for distributions with RPM.
#   rpm.sh ARCHITECTURE EXECUTABLE GLIBC VERSION      writes dist/ttgate-VERSION-1.MACHINE.rpm
set -euo pipefail
cd "$(dirname "$0")/.."
architecture="$1" executable="$2" glibc="$3" version="$4"
: "${SOURCE_DATE_EPOCH:?}"
declare -A machines=([amd64]=x86_64 [arm64]=aarch64)
machine="${machines[$architecture]}"

place="$PWD/build/$architecture/rpm" documents=build/documents
root="$place/root"
rm -rf "$place"
put() {
	install -D -m "$1" "$2" "$root$3"
}
put 755 "$executable" /usr/sbin/ttgate
put 644 $documents/ttgate.toml /etc/ttgate/ttgate.toml
put 644 $documents/ttgate.1 /usr/share/man/man1/ttgate.1
put 644 $documents/ttgate.toml.5 /usr/share/man/man5/ttgate.toml.5
put 644 $documents/ttgate.bash /usr/share/bash-completion/completions/ttgate
put 644 $documents/ttgate.fish /usr/share/fish/vendor_completions.d/ttgate.fish
put 644 $documents/_ttgate /usr/share/zsh/site-functions/_ttgate
put 644 contrib/debian/ttgate.tmpfiles /usr/lib/tmpfiles.d/ttgate.conf
put 644 "build/$architecture/NOTICE" /usr/share/licenses/ttgate/NOTICE
scripts/pages.sh "$root/usr/share/doc/ttgate"
for unit in contrib/ttgate.service contrib/ttgate{,-status}.socket; do
	put 644 "$unit" "/usr/lib/systemd/system/${unit#contrib/}"
	sed -i 's|/usr/local/sbin|/usr/sbin|' "$root/usr/lib/systemd/system/${unit#contrib/}"
done
find "$root" -exec touch -hcd "@$SOURCE_DATE_EPOCH" {} +

rpmbuild -bb --quiet --target "$machine" --define "_topdir $place" --define "ttgate_root $root" \
	--define "ttgate_version $version" --define "ttgate_glibc $glibc" --define '_binary_payload w3.zstdio' \
	--define '_buildhost reproducible' --define 'use_source_date_epoch_as_buildtime 1' contrib/ttgate.spec >"$place/log" 2>&1 || {
	cat "$place/log" >&2
	exit 1
}
mkdir -p dist
mv "$place/RPMS/$machine/"*.rpm dist/
rm -rf "$place"
