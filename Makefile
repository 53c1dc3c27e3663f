# SPDX-License-Identifier: Apache-2.0
# Builds, checks and installs ttgate. Wanted from the host: node, npm, gcc, make, git; the rest is installed
# by name (scripts/host_packages.txt) or by npm (package-lock.json), and only where it is missing.
# V=1 shows every command.

.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules --no-print-directory
SHELL := /bin/bash
# --norc: bash reads its rc file where its input is a socket, as from some launchers.
.SHELLFLAGS := --norc -euo pipefail -c
Q := $(if $(filter 1,$(V)),,@)
say = @printf '  %-8s %s\n'

PREFIX ?= /usr/local
DESTDIR ?=
CLANG ?= clang
bin := node_modules/.bin
modules := node_modules/.package-lock.json
host := scripts/host_packages.sh

# Said before anything is built: by Debian's names.
needed := node:nodejs npm:npm gcc:gcc
missing := $(strip $(foreach tool,$(needed),$(if $(shell command -v $(firstword $(subst :, ,$(tool)))),,$(lastword $(subst :, ,$(tool))))))
ifneq ($(missing),)
advice := Missing on this host: $(missing): install them (Debian, Ubuntu: apt-get install $(missing)) and run make again
$(if $(filter-out help clean install uninstall,$(MAKECMDGOALS)),$(error $(advice)),$(info $(advice)))
endif

sources := $(shell find src -name '*.ts' -not -path 'src/generated/*')
generated := $(addprefix src/generated/,bpf_object.ts inline_object.ts observer_object.ts native_libraries.ts licences.ts recognisers.ts page_assets.ts version.ts)
c_files = $(shell git ls-files --cached --others --exclude-standard '*.c' '*.h')
# uapi headers of the architecture: clang's BPF target does not look there by itself.
bpf_flags := -O2 -g -Wall -Wextra -Werror -target bpf -mcpu=v3 -ffile-prefix-map=$(CURDIR)=. \
	-I/usr/include/$(shell gcc -print-multiarch) -Ibuild

.PHONY: help deps bpf build generated docs plots fmt bench soak friends fuzz agreement kernels demo picture clean install \
	uninstall test test-systems lint lint-format lint-layers lint-licences lint-c lint-types lint-docs \
	lint-dependencies FORCE

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-20s %s\n", $$1, $$2 }'

deps: $(modules) ## install what is missing on this host to build and to test
	$(Q)$(host) build lint test

bpf: ttgate ## build the BPF object and ./ttgate, the executable that carries it

build: bpf ## the same as bpf

test: ttgate $(modules) ## run every test, or those that T='FILE...' names; the last line says how many passed
	$(Q)$(host) test
	$(Q)$(bin)/bun scripts/test.ts $(T)

test-systems: ttgate $(modules) $(if $(T),$(if $(strip $(foreach name,package reproducible rpm image,$(findstring $(name),$(T)))),for-package) $(if $(findstring service,$(T))$(findstring sandbox,$(T)),build/debian-root) $(if $(findstring notify_reload,$(T)),build/trixie-root),for-package) ## run the tests that need real servers, scanners, systemd or emulation
	$(Q)$(host) test systems
	$(Q)$(bin)/bun scripts/test.ts --systems $(T)

friends: ttgate $(modules) ## real servers with their real clients behind the gate: WRITE=1 writes docs/signatures.md
	$(Q)$(host) test systems
	$(Q)TTGATE_WRITE_FRIENDS=$(WRITE) $(bin)/bun scripts/test.ts --systems tests/systems/friends.test.ts

soak: ttgate $(modules) ## ten minutes of everything that may come: nothing grows, nothing is left; SECONDS=600, SOAK_SEED=1 repeats a run
	$(Q)$(host) test
	$(Q)SOAK_SECONDS=$(or $(SECONDS),600) scripts/apart.sh $(bin)/bun test tests/systems/soak.test.ts

lint: lint-format lint-layers lint-licences lint-c lint-types lint-docs lint-dependencies ## format, types under both runtimes, layers, cycles, C style, licences, docs of options, dependencies

lint-format: $(modules)
	$(say) BIOME .
	$(Q)$(bin)/biome check --error-on-warnings .

lint-layers: $(modules)
	$(say) LAYERS src
	$(Q)$(bin)/bun scripts/layers.ts $(sources)

lint-licences:
	$(say) SPDX .
	$(Q)scripts/spdx.sh

lint-c:
	$(Q)$(host) lint
	$(say) FORMAT '*.[ch]'
	$(Q)clang-format --dry-run -Werror $(c_files)

lint-types: $(generated) $(modules)
	$(say) TSC .
	$(Q)$(bin)/tsc --noEmit
	$(Q)$(bin)/tsc --noEmit --project src/status/page/client
	$(say) DENO 'check src/main.ts'
	$(Q)$(bin)/deno check --quiet src/main.ts $(wildcard tests/*/*_test.ts)

lint-docs: $(modules) $(generated)
	$(say) DOCS docs/configuration.md
	$(Q)$(bin)/bun scripts/config_docs.ts --check
	$(say) DOCS docs/performance.md
	$(Q)$(bin)/bun tests/bench/plots/main.ts --check

# The registry is asked for known vulnerabilities; where it cannot be, a line says so.
lint-dependencies: $(modules)
	$(say) DEPS package-lock.json
	$(Q)$(bin)/bun scripts/dependencies.ts

docs: $(modules) $(generated) ## write what of docs/ is made from the code: configuration, commands, metrics, example
	$(Q)$(bin)/bun scripts/config_docs.ts
	$(Q)$(bin)/biome format --write docs/config.schema.json
	$(Q)$(bin)/bun tests/commands/commands_doc.ts >build/doc && mv build/doc docs/commands.md
	$(Q)$(bin)/bun tests/status/metrics_doc.ts >build/doc && mv build/doc docs/metrics.md
	$(Q)$(bin)/bun scripts/default_config.ts >build/doc && mv build/doc contrib/ttgate.toml

fmt: $(modules) ## format all sources
	$(Q)$(host) lint
	$(Q)$(bin)/biome check --write .
	$(Q)clang-format -i $(c_files)

bench: ttgate $(modules) ## measure side by side with HAProxy, say what moved; QUICK=1, ONLY=NAME, BASELINE=1, or FLEET=1: a fleet of gates
	$(Q)$(host) test bench
ifdef FLEET
	$(Q)scripts/apart.sh $(bin)/bun tests/bench/fleet.ts
	$(Q)scripts/apart.sh $(bin)/bun tests/bench/fleet_walk.ts
else
	$(Q)scripts/apart.sh $(bin)/bun tests/bench/main.ts $(if $(QUICK),--quick) $(if $(ONLY),--only $(ONLY)) $(if $(BASELINE),--baseline)
	$(Q)$(if $(BASELINE),$(MAKE) plots)
endif

plots: $(modules) $(generated) ## docs/performance.md, its plots and tables, from docs/performance/baseline.json
	$(say) PLOTS docs/performance
	$(Q)$(bin)/bun tests/bench/plots/main.ts

# V=1: each says how many inputs it tried. What fails is kept in tests/fuzz/corpus, and tried first from then on.
fuzz: ttgate $(modules) ## hostile input for every reader of it, each for SECONDS=60, from SEED=1 on
	$(Q)$(host) test
	$(Q)TTGATE_FUZZ_SECONDS=$(or $(SECONDS),60) TTGATE_FUZZ_SEED=$(or $(SEED),1) $(bin)/bun scripts/test.ts $(or $(T),tests/fuzz)
	$(if $(T),,$(Q)$(bin)/bun tests/fuzz/main.ts --seconds $(or $(SECONDS),60) --seed $(or $(SEED),1))

STREAMS ?= 10000000
agreement: ttgate $(modules) ## judge mutated first packets by both engines, as root: STREAMS=10000000, SEED=1
	$(Q)$(bin)/bun tests/bpf/agreement_main.ts --streams $(STREAMS) --seed $(or $(SEED),1)

kernels: ttgate $(modules) $(if $(filter arm64,$(ARCH)),build/arm64/ttgate) ## try both modes in emulated machines, on older kernels or with ARCH=arm64: docs/kernels.md
	$(Q)$(host) test kernels $(filter arm64,$(ARCH))
	$(Q)SOURCES='$(SOURCES)' tests/kernel/$(if $(filter arm64,$(ARCH)),arm64.sh,old_kernels.sh)

demo: ttgate $(modules) ## attackers and a good client in throwaway namespaces, on one screen
	$(Q)$(host) demo
	$(Q)$(bin)/bun tests/harness/demo.ts

# Under a host name of its own: the picture is for everybody.
picture: ttgate $(modules) ## docs/images: the status page of a gate under attack, the demo, the way of the bytes
	$(Q)$(host) test
	$(say) PICTURE docs/images
	$(Q)mkdir -p docs/images
	$(Q)$(bin)/bun scripts/pictures/data_path.ts >docs/images/data_path.svg
	$(Q)unshare --uts -- sh -c 'hostname gate1 && exec scripts/apart.sh $(bin)/bun tests/harness/page_picture.ts docs/images/page.png'
	$(Q)scripts/apart.sh $(bin)/bun tests/harness/demo.ts >build/demo
	$(Q)$(bin)/bun scripts/pictures/terminal.ts 'make demo' <build/demo >docs/images/demo.svg

# Never "install -s": strip takes the program out of the executable. Mode 0755: the file gives nobody a
# privilege, because it is never setcap, and "ttgate check" is of use to everybody.
install: ## install ./ttgate and its systemd units under PREFIX (/usr/local)
	@[[ -x ttgate ]] || { echo 'Installing "./ttgate": not there, run make bpf first' >&2; exit 1; }
	$(say) INSTALL '$(DESTDIR)$(PREFIX)/sbin/ttgate'
	$(Q)install -D -m 0755 ttgate '$(DESTDIR)$(PREFIX)/sbin/ttgate'
	$(say) INSTALL '$(DESTDIR)$(PREFIX)/lib/systemd/system/ttgate.service'
	$(Q)install -D -m 0644 contrib/ttgate.service '$(DESTDIR)$(PREFIX)/lib/systemd/system/ttgate.service'
	$(Q)sed -i 's|/usr/local/sbin|$(PREFIX)/sbin|' '$(DESTDIR)$(PREFIX)/lib/systemd/system/ttgate.service'
	$(Q)install -m 0644 contrib/ttgate.socket contrib/ttgate-status.socket '$(DESTDIR)$(PREFIX)/lib/systemd/system'

uninstall: ## remove what make install installed
	$(Q)rm -f '$(DESTDIR)$(PREFIX)/sbin/ttgate' $(addprefix '$(DESTDIR)$(PREFIX)'/lib/systemd/system/,ttgate.service ttgate.socket ttgate-status.socket)

generated: $(generated)

clean: ## remove what was built; node_modules stays
	$(Q)rm -rf build dist src/generated ttgate

# npm ci and not npm install: exactly what package-lock.json says.
$(modules): package-lock.json
	$(say) NPM "ci: $$(grep -c '^    "node_modules/' package-lock.json) packages of package-lock.json, those for this host"
	$(Q)npm ci --no-audit --no-fund --no-update-notifier --loglevel=error $(if $(filter 1,$(V)),,>/dev/null)
	$(Q)touch $@

build/%.bpf.o: bpf/%.bpf.c Makefile
	$(Q)$(host) build
	$(say) CLANG $@
	$(Q)mkdir -p build
	$(Q)$(CLANG) $(bpf_flags) -MMD -MP -MF build/$*.bpf.d -c $< -o $@

build/inline.bpf.o: build/expert_tables.h
build/expert_tables.h: scripts/expert_tables.ts $(wildcard src/core/ciphertext/*.ts) | $(modules)
	$(say) EXPERTS $@
	$(Q)mkdir -p build
	$(Q)$(bin)/bun $< >$@.new
	$(Q)mv $@.new $@

-include build/ttgate.bpf.d build/inline.bpf.d build/observer.bpf.d

# What make cannot see by a file's age: the commit, and the libraries of this host. Rewritten only
# when it changed, so that nothing is built again for nothing.
build/commit: FORCE
	$(Q)mkdir -p build
	$(Q)git describe --always --dirty --abbrev=12 2>/dev/null >$@.new || true
	$(Q)if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi

build/libraries: FORCE
	$(Q)$(host) build
	$(Q)mkdir -p build
	$(Q)for name in libbpf.so.1 libelf.so.1 libz.so.1; do stat -Lc '%n %s %Y' "$$(gcc -print-file-name=$$name)"; done >$@.new
	$(Q)if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi

src/generated/bpf_object.ts: build/ttgate.bpf.o
src/generated/bpf_object.ts: embed = object build/ttgate.bpf.o
src/generated/inline_object.ts: build/inline.bpf.o
src/generated/inline_object.ts: embed = object build/inline.bpf.o
src/generated/observer_object.ts: build/observer.bpf.o
src/generated/observer_object.ts: embed = object build/observer.bpf.o
src/generated/native_libraries.ts: build/libraries scripts/libraries.ts scripts/elf.ts scripts/components.ts
src/generated/native_libraries.ts: embed = libraries
src/generated/licences.ts: build/libraries package-lock.json $(modules) scripts/components.ts $(shell find scripts/licences -type f) scripts/libraries.ts scripts/elf.ts
src/generated/licences.ts: embed = licences
src/generated/recognisers.ts: $(filter src/core/%,$(sources))
src/generated/recognisers.ts: embed = recognisers
src/generated/page_assets.ts: src/status/page/style.css $(wildcard src/status/page/client/*.ts)
src/generated/page_assets.ts: embed = page
src/generated/version.ts: build/commit package.json
src/generated/version.ts: embed = version "$$(<build/commit)"
$(generated): scripts/embed.ts | $(modules)
	$(say) EMBED $@
	$(Q)mkdir -p $(@D)
	$(Q)$(bin)/bun scripts/embed.ts $(embed) >$@.new
	$(Q)mv $@.new $@

ttgate: $(sources) $(generated) $(modules) Makefile scripts/compile.sh scripts/harden.ts scripts/hostile_names.ts scripts/proc_guard.ts
	$(say) COMPILE "$@ ($$(sed -n 's/.*neededGlibc: string = "\(.*\)";/-B needs glibc \1/p' src/generated/native_libraries.ts))"
	$(Q)scripts/compile.sh src/main.ts $@

include scripts/dist.mk

FORCE:
