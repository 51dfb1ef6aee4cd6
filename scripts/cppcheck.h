/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What cppcheck needs to know of macros in headers that it is not shown. */
#define LIBBPF_OPTS(type, name, ...) struct type name = {0}
#define bpf_object__for_each_map(map, object) for (map = 0; map;)
