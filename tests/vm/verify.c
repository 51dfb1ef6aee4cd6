/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Loads the object that is its argument, and prints what the verifier's work
 * came to; with a refusal, what the verifier says against it.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdio.h>
#include <time.h>

static long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int main(int argc, char **argv)
{
	struct bpf_object *object = argc == 2 ? bpf_object__open_file(argv[1], NULL) : NULL;
	struct bpf_program *program = object ? bpf_object__next_program(object, NULL) : NULL;
	struct bpf_prog_info info = {};
	__u32 size = sizeof(info);
	long start = now_ms();

	if (!program || bpf_object__load(object) ||
	    bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size))
		return 1;
	printf("NOTE %u instructions verified in %ld ms, with the making of the maps\n",
	       info.verified_insns, now_ms() - start);
	bpf_object__close(object);
	return 0;
}
