#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Packs an executable that is built already, with all that belongs to it, for any Linux. Two runs make the same bytes.
#   archive.sh ARCHITECTURE EXECUTABLE VERSION      writes dist/ttgate_VERSION_ARCHITECTURE.tar.zst
set -euo pipefail
cd "$(dirname "$0")/.."
architecture="$1" executable="$2" version="$3"
: "${SOURCE_DATE_EPOCH:?}"

place="build/$architecture/archive" name="ttgate-$version"
rm -rf "$place"
mkdir -p "$place/$name" dist
cp "$executable" "build/$architecture/NOTICE" LICENSE build/documents/* "$place/$name"
scripts/pages.sh "$place/$name"
tar --create --sort=name --format=posix --pax-option=delete=atime,delete=ctime --mtime="@$SOURCE_DATE_EPOCH" \
	--owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX --directory="$place" "$name" |
	zstd -q -T1 -9 -f -o "dist/ttgate_${version}_$architecture.tar.zst"
rm -rf "$place"
