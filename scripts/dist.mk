# SPDX-License-Identifier: Apache-2.0
# What is handed out, for one architecture or several, under dist/: packages, archives, images. Built on Debian or
# Ubuntu. The executables carry libraries that run on hosts with an older glibc than this one's.
#   make deb ARCH=arm64

ARCH ?= $(shell dpkg --print-architecture 2>/dev/null || echo amd64)
architectures := amd64 arm64
# Of the commit, so that the same sources make the same bytes.
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || date +%s)
export SOURCE_DATE_EPOCH
release := $(shell sed -n 's/^  "version": "\(.*\)",/\1/p' package.json)
# Between releases a later commit is a later version.
DIST_VERSION ?= $(release)$(shell git describe --exact-match --tags --match 'v$(release)' >/dev/null 2>&1 \
	|| date -u -d '@$(SOURCE_DATE_EPOCH)' +.%Y%m%d.%H%M%S)

bun_target.amd64 := bun-linux-x64-baseline
bun_target.arm64 := bun-linux-arm64
process_arch.amd64 := x64
process_arch.arm64 := arm64

.SECONDARY: $(architectures:%=build/%/libraries) $(architectures:%=build/%/bun) $(architectures:%=build/%/ttgate)
.PHONY: reproducible rpm image for-package deb lint-deb dist documents $(architectures:%=archive-%) $(architectures:%=dist-%)

deb: build/$(ARCH)/ttgate documents ## a package for Debian and Ubuntu in dist/, for ARCH=amd64 or arm64
	$(Q)$(host) deb
	$(say) DEB 'dist/ttgate_$(DIST_VERSION)_$(ARCH).deb'
	$(Q)scripts/deb.sh $(ARCH) build/$(ARCH)/ttgate "$$(<build/$(ARCH)/glibc)" $(DIST_VERSION)

reproducible: ttgate build/$(ARCH)/ttgate documents ## build all again, elsewhere, as another user, in another time zone: the same bytes?
	$(Q)$(host) deb
	$(Q)scripts/reproducible.sh $(ARCH)

lint-deb: deb ## what lintian finds in the package
	$(say) LINTIAN 'dist/ttgate_$(DIST_VERSION)_$(ARCH).deb'
	$(Q)lintian --fail-on error,warning --allow-root dist/ttgate_$(DIST_VERSION)_$(ARCH).deb

dist: $(architectures:%=dist-%) ## archives, packages, a bill of materials and checksums for amd64 and arm64
	$(say) SHA256 'dist/SHA256SUMS'
	$(Q)cd dist && sha256sum *_$(DIST_VERSION)_* >SHA256SUMS.new && mv SHA256SUMS.new SHA256SUMS

documents: $(modules) $(generated)
	$(Q)$(bin)/bun scripts/documents.ts build/documents "$$(date -u -d '@$(SOURCE_DATE_EPOCH)' +%F)"

$(architectures:%=dist-%): dist-%: archive-%
	$(Q)$(MAKE) deb ARCH=$*

$(architectures:%=archive-%): archive-%: build/%/ttgate documents
	$(say) TAR 'dist/ttgate_$(DIST_VERSION)_$*.tar.zst'
	$(Q)scripts/archive.sh $* build/$*/ttgate $(DIST_VERSION)
	$(say) SBOM 'dist/ttgate_$(DIST_VERSION)_$*.cdx.json'
	$(Q)npm sbom --omit=dev --sbom-format=cyclonedx | $(bin)/bun scripts/sbom.ts build/$*/ttgate $(process_arch.$*) \
		build/$*/libraries >dist/ttgate_$(DIST_VERSION)_$*.cdx.json

build/%/libraries: scripts/libraries_of.sh
	$(say) FETCH '$@'
	$(Q)mkdir -p $(@D)
	$(Q)scripts/libraries_of.sh $* $@
	$(Q)touch $@

build/%/bun: package-lock.json $(modules) scripts/runtime_of.sh
	$(Q)mkdir -p $(@D)
	$(Q)scripts/runtime_of.sh $(process_arch.$*) $@

# The sources with another architecture's libraries in the place of this host's.
build/%/ttgate: $(sources) $(generated) $(modules) build/%/libraries build/%/bun scripts/compile.sh scripts/harden.ts scripts/hostile_names.ts scripts/proc_guard.ts
	$(Q)rm -rf build/$*/src
	$(Q)cp -r src build/$*/src
	$(Q)$(bin)/bun scripts/embed.ts libraries $(process_arch.$*) build/$*/libraries >build/$*/src/generated/native_libraries.ts
	$(Q)$(bin)/bun scripts/embed.ts licences $(process_arch.$*) build/$*/libraries >build/$*/src/generated/licences.ts
	$(Q)sed -n 's/.*neededGlibc: string = "\(.*\)";/\1/p' build/$*/src/generated/native_libraries.ts >build/$*/glibc
	$(say) COMPILE '$@ ($(bun_target.$*), glibc '"$$(<build/$*/glibc)"' for -B)'
	$(Q)scripts/compile.sh build/$*/src/main.ts $@ --target=$(bun_target.$*) --compile-executable-path=build/$*/bun
	$(Q)$(bin)/bun build/$*/src/main.ts licences >build/$*/NOTICE

# What tests/systems cannot fetch, because they have no network: the packages, and a fresh Debian to install it in and to
# run the service; Debian 13 for its newer systemd.
for-package: deb rpm image build/debian-root build/trixie-root

build/debian-root: release := bookworm
build/trixie-root: release := trixie
build/debian-root build/trixie-root: scripts/debian_root.sh
	$(Q)$(host) systems
	$(say) DEBIAN '$@'
	$(Q)scripts/debian_root.sh $(release) $@
	$(Q)touch $@

rpm: build/$(ARCH)/ttgate documents ## a package for Fedora, RHEL, openSUSE in dist/
	$(Q)$(host) rpm
	$(say) RPM 'dist/ttgate-$(DIST_VERSION)-1'
	$(Q)scripts/rpm.sh $(ARCH) build/$(ARCH)/ttgate "$$(<build/$(ARCH)/glibc)" $(DIST_VERSION)

image: build/$(ARCH)/ttgate ## an OCI image in dist/, with nothing in it but ttgate and the libraries of C
	$(Q)$(host) image
	$(say) IMAGE 'dist/ttgate_$(DIST_VERSION)_$(ARCH).oci.tar'
	$(Q)scripts/image.sh $(ARCH) build/$(ARCH)/ttgate $(DIST_VERSION)
