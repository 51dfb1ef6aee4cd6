# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# The tools of the demo and the benches: each links with what it uses, so that
# they build and change apart from the program that they measure.

TOOL_LIB := $(patsubst %.c,$B/%.o,$(wildcard scripts/tools/lib/*.c))

$B/scripts/tools/flood.o: $B/tools/flood.skel.h
$B/scripts/tools/testrun.o: $B/tools/testrun.skel.h

$B/tools/testrun: $(USER_OBJ)
$(patsubst %,$B/tools/%,backend client flood httpd idle probe relay testrun): $B/tools/%: $B/scripts/tools/%.o $(TOOL_LIB)
	@mkdir -p $(@D)
	$(call say,LINK,$@)$(CC) $(ALL_CFLAGS) $^ $(LIBS) -o $@

bench-packet: $B/tools/empty.bpf.o
bench-flood: $(patsubst %,$B/tools/%.bpf.o,empty backscatter clients_only)
