#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Packs an executable that is built already for Debian and Ubuntu, by debhelper. Two runs make the same bytes.
#   deb.sh ARCHITECTURE EXECUTABLE GLIBC VERSION [DIRECTORY]      writes dist/ttgate_VERSION_ARCHITECTURE.deb
set -euo pipefail
cd "$(dirname "$0")/.."
architecture="$1" executable="$2" glibc="$3" version="$4" directory="${5-dist}"
: "${SOURCE_DATE_EPOCH:?}"
export SOURCE_DATE_EPOCH GLIBC="$glibc" DEB_BUILD_OPTIONS=nostrip DEB_COMPRESSION="${DEB_COMPRESSION--Zxz -z3}"

# Below a directory of its own: the package is written beside the one where it is made.
place="build/$architecture/deb"
tree="$place/ttgate-$version"
rm -rf "$place"
mkdir -p "$tree"
cp -r contrib/debian "$tree/debian"
cp "$executable" "$tree/ttgate"
cp build/documents/* "$tree"
scripts/pages.sh "$tree/pages"
cp "build/$architecture/NOTICE" "$tree/debian/copyright"
mkdir "$tree/bash"
mv "$tree/ttgate.bash" "$tree/bash/ttgate"
put_unit() {
	sed -e 's|/usr/local/sbin|/usr/sbin|' -e 's|^Description=.*|&\nDocumentation=man:ttgate(1)|' "contrib/$1" >"$tree/debian/$2"
}
put_unit ttgate.service ttgate.service
put_unit ttgate.socket ttgate.socket
put_unit ttgate-status.socket ttgate.ttgate-status.socket
cat >"$tree/debian/changelog" <<END
ttgate ($version) unstable; urgency=medium

  * Built from the sources of this version: their history says what is new.

 -- $(sed -n 's/^Maintainer: //p' contrib/debian/control)  $(LC_ALL=C date -u -R -d "@$SOURCE_DATE_EPOCH")
END
find "$tree" -exec touch -hcd "@$SOURCE_DATE_EPOCH" {} +

log="$place/log"
(cd "$tree" && fakeroot dpkg-architecture "-a$architecture" -f -c debian/rules binary) >"$log" 2>&1 || {
	cat "$log" >&2
	exit 1
}
mkdir -p "$directory"
mv "$place/ttgate_${version}_$architecture.deb" "$directory/"
