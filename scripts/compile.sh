#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Compiles an executable. Nothing is read from the directory where it is started, and no import is left to be found
# at run time. No --bytecode: it writes a file on exit when a variable says so. What no flag switches off, harden.ts
# does.
#   compile.sh SOURCE EXECUTABLE [OPTION OF BUN BUILD...]
set -euo pipefail
source="$1" executable="$2"
shift 2
bun=node_modules/.bin/bun

"$bun" build --compile --minify --sourcemap=none --reject-unresolved \
	--no-compile-autoload-bunfig --no-compile-autoload-dotenv \
	--no-compile-autoload-tsconfig --no-compile-autoload-package-json \
	"$@" --outfile="$executable.plain" "$source" >/dev/null
"$bun" scripts/harden.ts "$executable.plain" "$executable"
rm "$executable.plain"
