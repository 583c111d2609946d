# SPDX-License-Identifier: GPL-2.0
# Names of what can be made; each step is a small script that knows when it is up to date.
# KERNEL=7.2 picks another series of Debian's kernels, KDIR=TREE builds the module for another tree.

.PHONY: help demo test test-debug fuzz soak vm bench bench-quick bench-drain bench-heartbeats
.PHONY: module module-debug user fuzzers root toolchain kernel kernel-debug check update clean distclean
# Two at a time: the kernel's tree and the userspace programs do not need each other.
MAKEFLAGS += --no-print-directory -j2
export KERNEL KDIR

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

demo: module user ## the whole system at work in the VM, on a cluster with push servers and their users
	@scripts/demo

test: module module-debug user fuzzers ## checks, cargo tests, the fuzz targets for a short while, scenarios in the VM
	@scripts/test

test-debug: module-debug user fuzzers ## every scenario on the debug kernel, with the long runs of the fuzzers
	@scripts/test-debug

soak: module-debug user fuzzers ## an hour (SOAK=seconds) of everything at once on the debug kernel
	@SOAK=$(or $(SOAK),3600) scripts/test-debug disturbances

vm: module user ## a shell in the lab, with the cluster up
	@tests/vm/run --interactive --name shell -- tests/lab/shell

bench: module ## instructions a packet, HaloD's and its peers', into docs/benchmarks/
	@scripts/bench --docs --check

bench-quick: module ## the same of HaloD alone, against the baseline
	@scripts/bench --quick --check

bench-drain: module user ## nobody disconnected, with 2,000 connections (CONNECTIONS=N) while the cluster changes
	@CONNECTIONS=$(or $(CONNECTIONS),2000) SPREAD=$(or $(SPREAD),20) \
		tests/vm/run --name bench-drain --timeout 7200 -- tests/run-scenarios nobody_disconnected

bench-heartbeats: toolchain ## what 2,048 nodes' heartbeats cost halod, and how long a loss takes meanwhile
	@scripts/bench-heartbeats

fuzz: module-debug user fuzzers ## every fuzz target for FUZZ=600 seconds, then 1,000,000 packets and 200,000 requests in the VM
	@scripts/fuzz $(or $(FUZZ),600)
	@scripts/test-debug fuzz_

module: lab ## the kernel module, build/kmod/halod.ko
	@scripts/module

module-debug: kernel-debug ## the same for the debug kernel, build/kmod-debug/halod.ko
	@scripts/module --debug

fuzzers: root ## what throws packets in the VM, in build/fuzz/
	@scripts/fuzzers

user: toolchain ## halod, halodctl and halod-node, in build/bin/
	@scripts/user

check: toolchain kernel ## formatting, clippy, shellcheck, generated files
	@scripts/check

root: ## the Debian root in build/root: compiler, QEMU and guest
	@scripts/root

toolchain: root ## the newer Rust for userspace, in the root
	@scripts/toolchain

kernel: root ## Debian's newest cloud kernel and its build tree, in build/kernel/
	@scripts/kernel

kernel-debug: kernel ## the debug flavour of the kernel, with KASAN, lockdep and more, in build/kernel/debug/
	@scripts/kernel-debug

update: root ## look for newer packages and a newer kernel
	@scripts/update

clean: ## remove what was built from this repository
	@scripts/clean

distclean: ## remove everything in build/, the root and the kernel too
	@scripts/clean --all

# With KDIR= the module still needs the root, and the VM its kernel.
.PHONY: lab
lab: kernel
