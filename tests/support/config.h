/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Configurations that are right, from a text, for the tests of what they come to. */
#ifndef THR_TEST_CONFIG_H
#define THR_TEST_CONFIG_H

#include <string.h>

#include "config/config.h"
#include "core/cleanup.h"
#include "support/run.h"

#define ROUTE "routes: [{path: /, target: http://a}]\n" /* the least that runs */

static inline void free_config(struct thr_config **config)
{
	thr_config_free(*config);
}
#define AUTO_CONFIG CLEANUP(free_config)

/* `environment` is NULL-terminated, or NULL. */
static inline struct thr_config *parse_beside(char *const *environment, const char *text)
{
	struct thr_config *config = NULL;
	struct thr_error error = {""};

	if (thr_config_parse("t.yaml", text, strlen(text), environment, &config, &error) < 0)
		fail_msg("%s", error.text);
	return config;
}

static inline struct thr_config *parse(const char *text)
{
	return parse_beside(NULL, text);
}

static inline void assert_rate(const struct thr_rate *rate, uint64_t count, uint32_t per_s,
			       uint64_t burst)
{
	assert_int_equal(rate->count, count);
	assert_int_equal(rate->per_s, per_s);
	assert_int_equal(rate->burst, burst);
}

#endif
