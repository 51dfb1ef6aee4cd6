/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the files hold that a configuration names: the token of the API, the password of
 * Redis, certificates and keys. Workers cannot read them, and a worker that starts later is
 * to have what the others have: so the master reads them with the configuration and hands
 * them on in a sealed memfd, packed.
 *
 * Of the token only its digest leaves this module, which is all that a comparison takes.
 */
#ifndef THR_SECRETS_H
#define THR_SECRETS_H

#include <stdbool.h>
#include <stdint.h>

#include "api/api.h"
#include "config/config.h"
#include "core/error.h"

struct thr_secrets {
	bool has_token;
	uint8_t token[THR_TOKEN_DIGEST]; /* SHA-256 */
	/* NULL: no file is named. */
	char *password; /* of Redis, without the end of its line */
	char *ca, *certificate, *key;
};

/*
 * Read what `config` names into a memfd. A token or password is the file's content without
 * line ends after it; a token has at least 16 bytes and a password one. These, and the key of a
 * certificate, are warned about when others than the file's owner can read them. Certificates and
 * keys are such that a store can be made of them: what is wrong with them is found here and not by
 * every worker. Returns 0, or a negative errno with "FILE: cannot be read: ... another KEY" or
 * "FILE: KEY: ...", by its key in the configuration.
 */
int thr_secrets_read(const struct thr_config *config, int *ret_fd, struct thr_error *error);

/* Returns 0 or a negative errno: -EPROTO when that is not in `fd`. */
int thr_secrets_unpack(int fd, struct thr_secrets *ret_secrets);

/* Overwrite and release what it holds. */
void thr_secrets_clear(struct thr_secrets *secrets);

#endif
