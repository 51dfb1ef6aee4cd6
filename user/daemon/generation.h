/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One state of the configuration, from a good file to the next: its text, which
 * every worker parses for itself, what it says, and the memory in which the
 * workers keep what they know together of its targets.
 *
 * The text is kept as it was read, so that a worker that starts later begins with
 * what the others have and not with what the file has become. It is in a sealed
 * memfd: nobody can change or cut it under a worker that has it mapped.
 */
#ifndef THR_GENERATION_H
#define THR_GENERATION_H

#include "config/config.h"
#include "proxy/target.h"

struct thr_generation {
	uint64_t number; /* from 1 */
	struct thr_config *config;
	int text_fd;
	int secrets_fd; /* what the files hold that it names; see secrets.h */
	int targets_fd; /* -1 before thr_generation_share() */
	struct thr_targets *targets;
};

/* Read and validate the file with the environment of this process, and read the files that
 * it names. Returns 0, or a negative errno with the error of thr_config_load() or of
 * thr_secrets_read(). */
int thr_generation_load(const char *path, struct thr_generation **ret_generation,
			struct thr_error *error);

/* Make the block of targets for `workers`, and take over what `previous` (which may
 * be NULL) knows of the same ones. Returns 0 or a negative errno with the error. */
int thr_generation_share(struct thr_generation *generation, unsigned int workers,
			 const struct thr_generation *previous, struct thr_error *error);

/* NULL-safe. Workers keep what they have mapped. */
void thr_generation_free(struct thr_generation *generation);

/* Parse the text in `fd`, as thr_config_parse() does. */
int thr_generation_parse(const char *name, int fd, struct thr_config **ret_config,
			 struct thr_error *error);

/* Map the block of targets in `fd`, shared. Returns 0 or a negative errno: -EPROTO when
 * it is too small for the configuration. */
int thr_generation_map(int fd, const struct thr_config *config, unsigned int workers,
		       struct thr_targets **ret_targets);

#endif
