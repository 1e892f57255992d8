# SPDX-License-Identifier: GPL-2.0-or-later
#
# vnx: the commands people type.  Each is one line to a script that can be called by itself.

SHELL := /bin/bash
PYTHON := /usr/bin/python3

.DEFAULT_GOAL := help
.PHONY: help deps qemu demo bench check check-long check-engine check-qtest check-lab \
        check-fuzz lint coverage test script clean clean-apt

help:  ## show this
	@echo 'vnx: makes TCP fast for virtual machines.  make ...'
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  \1|\2/p' $(MAKEFILE_LIST) | \
	    awk -F'|' '{ printf "%-16s%s\n", $$1, $$2 }'
	@echo '  QEMU_SRC=dir    use (a copy of) another QEMU 10.0 source tree'

deps:  ## install what is missing of Debian's packages (root; fast when nothing is)
	@scripts/apt-setup

qemu: deps  ## get, patch and build QEMU with vnx: build/qemu/qemu-system-x86_64
	@scripts/qemu-build

demo: qemu  ## boot a guest and move data through filter-vtcp, both directions
	@scripts/demo

bench: qemu  ## measure with and without vnx, side by side; ONLY=prefix runs a part
	@ONLY='$(ONLY)' scripts/bench

check: deps  ## all tests; ends with "N passed, N failed, N skipped"
	@scripts/check

check-long: deps  ## what takes long: sanitized QEMU, fuzzing by the hour, many seeds
	@scripts/check --long

check-engine: deps  ## the engine's tests under ASan and UBSan (seconds, no QEMU)
	@scripts/check engine

check-fuzz: deps  ## run each fuzz target shortly; FUZZ_SECONDS=20
	@scripts/check fuzz

check-qtest: deps  ## vnx's qtests and QEMU's own for its net layer
	@scripts/check qtest

check-lab: deps  ## real guests and real TCP stacks in network namespaces
	@scripts/check lab

lint: deps  ## clang-tidy, cppcheck, checkpatch, the layering test
	@scripts/check lint

coverage: deps  ## line and branch coverage of the engine by its tests
	@scripts/coverage

test: deps  ## one engine test: NAME=unit-flow (no NAME: list them)
	@scripts/engine-build
	@if [ -z '$(NAME)' ]; then meson test -C build/engine --list; \
	 else meson test -C build/engine --verbose '$(NAME)'; fi

script: deps  ## one script test: NAME=handshake-options (no NAME: list them)
	@if [ -z '$(NAME)' ]; then ls tests/script/scripts tests/script/self; \
	 else scripts/engine-build && \
	    build/engine/tests/script/vnx-script -v tests/script/*/'$(NAME)'.vnx; fi

clean:  ## remove build/
	rm -rf build

clean-apt:  ## remove vnx's apt entries
	@scripts/apt-setup --clean
