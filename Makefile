# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# xdp-throttle: everything is built under build/. `make help` lists the targets.

PREFIX ?= /usr/local
DESTDIR ?=
ifeq ($(origin CC),default)
CC := gcc
endif
CLANG ?= clang
BPFTOOL ?= $(firstword $(wildcard /usr/sbin/bpftool) bpftool)
V ?= 0
SAN ?=
T ?=
N ?=

Q := $(if $(filter 1,$(V)),,@)
say = $(if $(filter 1,$(V)),,@printf '  %-8s %s\n' '$(1)' '$(2)';)
B := build

# --- flags ------------------------------------------------------------------

WARN := -Wall -Wextra -Wshadow -Wmissing-prototypes -Wstrict-prototypes $(if $(CI),-Werror)
PACKAGES := libbpf libxdp yaml-0.1 jansson libcares libseccomp hiredis openssl
CFLAGS ?= -O2 -g
ALL_CFLAGS = -std=gnu17 -D_GNU_SOURCE $(WARN) -Iinclude -Iuser -I$B $(CFLAGS) \
	-DTHR_VERSION='"$(VERSION)"' $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer -fno-sanitize-recover=all)
LIBS = $(shell pkg-config --libs $(PACKAGES))
BPF_CFLAGS = -g -O2 -fno-unroll-loops -target bpf -mcpu=v3 -Wall -Wextra -Werror -Iinclude -Ibpf \
	-I/usr/include/$(shell $(CC) -print-multiarch)
VERSION := 0.1.0

# --- what there is ----------------------------------------------------------

USER_SRC := $(wildcard user/core/*.c user/config/*.c user/http/*.c user/store/*.c user/control/*.c user/proxy/*.c user/api/*.c user/daemon/*.c user/cli/*.c)
USER_OBJ := $(USER_SRC:%.c=$B/%.o)
UNIT := $(patsubst tests/unit/%.c,$B/tests/unit/%,$(wildcard tests/unit/*.c))
BPF_TESTS := $(patsubst tests/bpf/test_%.c,$B/tests/bpf/test_%,$(wildcard tests/bpf/test_*.c))
FUZZERS := $(patsubst tests/fuzz/fuzz_%.c,$B/tests/fuzz/fuzz_%,$(wildcard tests/fuzz/fuzz_*.c))
SUPPORT_SRC := $(wildcard tests/support/*.c)
SUPPORT_OBJ := $(SUPPORT_SRC:%.c=$B/%.o)
TEST_OBJECTS := $(patsubst %.c,$B/%.o,$(wildcard tests/*/*.bpf.c))
TOOLS := $(patsubst scripts/tools/%.c,$B/tools/%,$(filter-out %.bpf.c,$(wildcard scripts/tools/*.c)))

.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all demo test check bench bench-packet bench-http bench-check bench-flood fuzz install uninstall clean help
.DEFAULT_GOAL := all

all: $B/xdp-throttle $B/xdp_throttle.bpf.o  ## the program and the BPF object

# Packages are looked for once, and again when the list of them changes.
$B/.deps-%: scripts/install-deps.sh
	@mkdir -p $B
	@scripts/install-deps.sh $*
	@touch $@

# Objects are rebuilt when the flags change.
$B/.flags: force | $B/.deps-build
	@mkdir -p $B
	@echo '$(CC) $(CLANG) $(ALL_CFLAGS) $(BPF_CFLAGS)' | cmp -s - $@ || echo '$(CC) $(CLANG) $(ALL_CFLAGS) $(BPF_CFLAGS)' > $@
.PHONY: force

# --- BPF --------------------------------------------------------------------

$B/%.bpf.o: bpf/%.bpf.c $B/.flags
	$(call say,BPF,$@)$(CLANG) $(BPF_CFLAGS) -MMD -MP -MF $(@:.o=.d) -c $< -o $@

$B/tests/%.bpf.o: tests/%.bpf.c $B/.flags
	@mkdir -p $(@D)
	$(call say,BPF,$@)$(CLANG) $(BPF_CFLAGS) -MMD -MP -MF $(@:.o=.d) -c $< -o $@

$B/tools/%.bpf.o: scripts/tools/%.bpf.c $B/.flags
	@mkdir -p $(@D)
	$(call say,BPF,$@)$(CLANG) $(BPF_CFLAGS) -MMD -MP -MF $(@:.o=.d) -c $< -o $@

%.skel.h: %.bpf.o
	$(call say,SKEL,$@)$(BPFTOOL) gen skeleton $< name $(subst .,_,$(basename $(notdir $*)))_bpf > $@ 2>$B/skel.log || { cat $B/skel.log >&2; exit 1; }

# --- C ----------------------------------------------------------------------

$B/%.o: %.c $B/.flags | $B/xdp_throttle.skel.h
	@mkdir -p $(@D)
	$(call say,CC,$@)$(CC) $(ALL_CFLAGS) -MMD -MP -c $< -o $@

$B/xdp-throttle: $B/user/main.o $(USER_OBJ)
	$(call say,LINK,$@)$(CC) $(ALL_CFLAGS) $^ $(LIBS) -o $@

# --- tests ------------------------------------------------------------------

TEST_CFLAGS := -Werror=unused-function -Itests -Ibpf
$B/tests/%.o: ALL_CFLAGS += $(TEST_CFLAGS)
$(UNIT:%=%.o) $(BPF_TESTS:%=%.o) $(SUPPORT_OBJ) $(FUZZERS): | $B/.deps-test

$B/tests/unit/%: $B/tests/unit/%.o $(USER_OBJ) $(SUPPORT_OBJ)
	$(call say,LINK,$@)$(CC) $(ALL_CFLAGS) $^ $(LIBS) -lcmocka -lm -o $@

$B/tests/bpf/test_%: $B/tests/bpf/test_%.o $(USER_OBJ) $(SUPPORT_OBJ)
	$(call say,LINK,$@)$(CC) $(ALL_CFLAGS) $^ $(LIBS) -lcmocka -o $@

# Fuzzers are one clang command each: every source of theirs is instrumented.
$B/tests/fuzz/fuzz_%: tests/fuzz/fuzz_%.c $(filter user/core/% user/config/% user/http/% user/proxy/proxy_protocol.c user/api/check_json.c user/api/key.c,$(USER_SRC)) $B/.flags
	@mkdir -p $(@D)
	$(call say,FUZZ,$@)$(CLANG) -std=gnu17 -D_GNU_SOURCE $(WARN) -Iinclude -Iuser -Itests -Ibpf -isystem /usr/share/include \
		-g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
		$(filter %.c %.o,$^) -lyaml -lcares -ljansson -lhiredis -lssl -lcrypto -o $@

# That of Redis' replies has a link of its own, without a socket.
$B/tests/fuzz/fuzz_resp: $(filter-out user/store/redis_link.c,$(filter user/store/redis%,$(USER_SRC)))

# Those of HTTP compare with llhttp, which is Debian's and not held to our warnings.
LLHTTP_OBJ := $(patsubst %,$B/tests/fuzz/llhttp/%.o,api http llhttp)
$(filter $B/tests/fuzz/fuzz_http_%,$(FUZZERS)): $(LLHTTP_OBJ)
$(LLHTTP_OBJ): $B/tests/fuzz/llhttp/%.o: $B/.flags | $B/.deps-test
	@mkdir -p $(@D)
	$(call say,CC,$@)$(CLANG) -w -DLLHTTP_STRICT_MODE=1 -I/usr/share/include/llhttp -g -O1 \
		-fsanitize=fuzzer-no-link,address -c /usr/share/llhttp/$*.c -o $@

test: $B/.deps-test all $(UNIT) $(BPF_TESTS) $(FUZZERS) $(TOOLS) $(TEST_OBJECTS) $B/tools/pass.bpf.o ## every test; one: make test T=unit/bucket N='refill_*'
	@B=$B tests/run.sh '$(T)' '$(N)'

# --- tools, demo, bench -----------------------------------------------------

# How the tools are linked is said beside them.
include scripts/tools/rules.mk

demo: $B/.deps-demo all $(TOOLS) $B/tools/pass.bpf.o ## a SYN flood dropped at the NIC, one challenged, a greedy client limited, checks over Redis (root)
	@B=$B scripts/demo.sh

# One after the other, and each of them also where a figure before fell short.
bench: ## every bench
	@status=0; for bench in packet http check flood; do \
		$(MAKE) --no-print-directory bench-$$bench || status=1; done; exit $$status
bench-packet: $B/.deps-bench all $(TOOLS) ## ns a packet beside an empty program, nft and iptables (root; QUICK=1)
	@B=$B scripts/bench/packet.sh $(if $(QUICK),--quick)
bench-http: $B/.deps-bench all $(TOOLS) ## CPU a proxied request beside nginx, HAProxy and a bare relay (root; QUICK=1)
	@B=$B scripts/bench/http.sh $(if $(QUICK),--quick)
bench-check: $B/.deps-bench all ## CPU a check beside nginx and a limiter in nginx's Lua, Redis stopped (QUICK=1)
	@B=$B scripts/bench/check.sh $(if $(QUICK),--quick)
bench-flood: $B/.deps-bench all $(TOOLS) ## a flood from 2^24 sources: its cost, what gets in, what a client notices (root; QUICK=1)
	@B=$B scripts/bench/flood.sh $(if $(QUICK),--quick)

# --- housekeeping -----------------------------------------------------------

check: $B/.deps-check all ## formatting, linters, include directions, the example configuration
	@B=$B scripts/check.sh

# What names a path of the default PREFIX is written for this one.
installed = install -D -m 644 $(1) $(DESTDIR)$(PREFIX)/$(2) && sed -i 's|/usr/local|$(PREFIX)|g' $(DESTDIR)$(PREFIX)/$(2)

install: all ## DESTDIR= PREFIX=
	install -D -m 755 $B/xdp-throttle $(DESTDIR)$(PREFIX)/sbin/xdp-throttle
	install -D -m 644 $B/xdp_throttle.bpf.o $(DESTDIR)$(PREFIX)/lib/xdp-throttle/xdp_throttle.bpf.o
	$(call installed,configs/xdp-throttle.yaml,share/doc/xdp-throttle/xdp-throttle.yaml)
	$(call installed,configs/prometheus-rules.yml,share/doc/xdp-throttle/prometheus-rules.yml)
	$(call installed,configs/xdp-throttle.service,lib/systemd/system/xdp-throttle.service)
	$(call installed,configs/xdp-throttle@.service,lib/systemd/system/xdp-throttle@.service)
	$(call installed,docs/xdp-throttle.8,share/man/man8/xdp-throttle.8)
	$(call installed,docs/xdp-throttle.yaml.5,share/man/man5/xdp-throttle.yaml.5)
	$(call installed,docs/xdp-throttle-api.7,share/man/man7/xdp-throttle-api.7)

uninstall: ## what install put there
	rm -f $(addprefix $(DESTDIR)$(PREFIX)/,sbin/xdp-throttle share/man/man8/xdp-throttle.8 \
		share/man/man5/xdp-throttle.yaml.5 share/man/man7/xdp-throttle-api.7 \
		lib/systemd/system/xdp-throttle.service lib/systemd/system/xdp-throttle@.service)
	rm -rf $(DESTDIR)$(PREFIX)/lib/xdp-throttle $(DESTDIR)$(PREFIX)/share/doc/xdp-throttle

clean: ## remove build/
	rm -rf $B

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' Makefile

-include $(shell [ -d $B ] && find $B -name '*.d')
