# Verbs for people; Meson and Ninja do the work. Every verb does its own set-up first.
#   build/         release (gcc)
#   build/check/   tests, simulator, fuzzing (clang, sanitizers, slow checks)
#   build/sim/     simulator alone (gcc -O2, slow checks)
SEED ?= 1
SEEDS ?= 1-20000
PORT ?= 7379

CONFIGURE_release = CC=gcc meson setup build -Dprograms=node
CONFIGURE_check = CC=clang-14 meson setup build/check -Dprograms=node,sim,unit,fuzz \
	-Doptimization=1 -Db_sanitize=address,undefined -Db_lundef=false -Dslow_checks=true
CONFIGURE_sim = CC=gcc meson setup build/sim -Dprograms=sim -Dslow_checks=true

# $(call build,directory,name): configures once; Meson says what is missing.
define build
@mkdir -p build
@[ -f $(1)/build.ninja ] || { $(CONFIGURE_$(2)) >build/configure.log 2>&1 || \
	{ grep ERROR build/configure.log || cat build/configure.log; exit 1; }; }
@ninja -C $(1) --quiet
endef

.DEFAULT_GOAL = help
.PHONY: help setup build build-check build-sim build-all run quick test sim soak mutants fuzz \
	bench fmt lint check clean

help:
	@echo 'make run                  build, then run three nodes on 127.0.0.1:$(PORT) and up'
	@echo 'make test                 all CI wants, at most 15 minutes; make quick: at most one'
	@echo 'make sim SEED=n           replay one simulated run, event by event'
	@echo 'make soak SEEDS=from-to   many simulated runs'
	@echo 'make mutants              planted defects that some test must catch'
	@echo 'make fuzz                 five minutes of fuzzing for each parser'
	@echo 'make bench                figures beside redis-server and etcd'
	@echo 'make fmt | lint | check   format; style and static analysis; test, lint and fuzz'
	@echo 'make setup | build | clean'

setup:
	@tools/setup

build: setup
	$(call build,build,release)

build-check: setup
	$(call build,build/check,check)

build-sim: setup
	$(call build,build/sim,sim)

build-all: build build-check build-sim

run: build
	@exec build/dougong local --nodes 3 --data build/run --port $(PORT)

quick: build-all
	@tools/run-tests quick

test: build-all
	@tools/setup test
	@tools/run-tests all

sim: build-sim
	@exec build/sim/dougong-sim run --seed $(SEED) --trace

soak: build-check build-sim
	@tools/run-tests sim --seeds $(SEEDS)

mutants: build-all
	@tools/run-tests mutants

fuzz: build-check
	@tools/run-tests fuzz --fuzz-seconds 300

bench: build
	@tools/setup bench
	@bench/run
	@bench/run transactions

fmt: setup
	@git ls-files -co --exclude-standard -- '*.c' '*.h' | xargs clang-format-14 -i

lint: build-check
	@git ls-files -co --exclude-standard -- '*.c' '*.h' | \
		xargs clang-format-14 --dry-run --Werror
	@tools/run-tests tree
	@git ls-files -co --exclude-standard -- 'src/*.c' 'adapters/*.c' 'sim/*.c' | \
		xargs -P 2 -n 4 clang-tidy-14 -p build/check --quiet

check: build-all
	@tools/setup test
	@tools/run-tests all
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory fuzz

clean:
	@rm -rf build
