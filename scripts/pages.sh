#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Copies what a package has to read, in the places where the pages link to it: README.md, docs and contrib, without
# what only makes packages.
#   pages.sh DIRECTORY
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p "$1"
cp -r README.md SECURITY.md docs contrib "$1"
rm -r "$1"/contrib/{debian,ttgate.spec}
chmod -R u=rwX,go=rX "$1"
