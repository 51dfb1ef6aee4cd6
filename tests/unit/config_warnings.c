/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Files that are right, and that somebody hardly means. */
#include <string.h>

#include "config/config.h"
#include "support/run.h"

#define XDP "xdp: {interfaces: [eth0], "
#define ROUTE "routes: [{path: /, target: http://a}]\n"
#define BLOCK "rate_limit: {block: {refusals_per_minute: 5}}\n"
#define CHALLENGE "new_sources: {per_second: 5, on_overload: challenge}"

struct warned {
	const char *text;    /* of the file */
	const char *warning; /* its only one begins so; NULL: there is none */
};

static char kept[512];

static void keep(const char *file, const char *text)
{
	assert_string_equal(file, "t.yaml");
	assert_string_equal(kept, "");
	assert_true(strlen(text) < sizeof(kept));
	strcpy(kept, text);
}

static void warns(void **state)
{
	const struct warned *warned = *state;
	struct thr_config *config = NULL;
	struct thr_error error = {""};

	kept[0] = '\0';
	if (thr_config_parse("t.yaml", warned->text, strlen(warned->text), NULL, &config, &error))
		fail_msg("%s", error.text);
	thr_config_warn(config, "t.yaml", keep);
	thr_config_free(config);
	if (!warned->warning)
		assert_string_equal(kept, "");
	else if (strncmp(kept, warned->warning, strlen(warned->warning)) != 0)
		fail_msg("\"%s\"", kept);
}

#define WARNS(what, file, begin)                                                                   \
	{                                                                                          \
		.name = what, .test_func = warns, .initial_state = &(struct warned)                \
		{                                                                                  \
			file, begin                                                                \
		}                                                                                  \
	}

static const struct CMUnitTest tests[] = {
	WARNS("says_nothing_of_the_least_file", ROUTE, NULL),
	WARNS("warns_of_a_packet_layer_without_interfaces", "xdp: {}\n",
	      "xdp.interfaces is not written: run attaches nothing"),
	WARNS("warns_of_a_challenge_without_a_limit_for_each_source",
	      XDP "services: [{name: web, ports: [80], " CHALLENGE "}]}\n",
	      "service 'web' challenges and has no limit for each source: "),
	WARNS("says_nothing_of_a_challenge_under_the_limit_of_its_service",
	      XDP "services: [{name: web, ports: [80], " CHALLENGE
		  ", per_source: {packets_per_second: 9}}]}\n",
	      NULL),
	WARNS("says_nothing_of_a_challenge_under_the_default_limit",
	      XDP "per_source: {connections_per_second: 9}, services: [{name: web, ports: "
		  "[80], " CHALLENGE "}]}\n",
	      NULL),
	WARNS("says_nothing_of_a_budget_that_drops",
	      XDP "services: [{name: web, ports: [80], new_sources: {per_second: 5}}]}\n", NULL),
	WARNS("warns_of_a_limit_for_clients_of_no_routes",
	      "rate_limit: {requests_per_second: 5}\napi: {}\n",
	      "rate_limit is for the clients of"),
	WARNS("warns_of_a_block_for_clients_of_no_routes", BLOCK XDP "}\n",
	      "rate_limit is for the clients of routes, and there are none"),
	WARNS("warns_of_a_block_without_any_limit", BLOCK XDP "}\n" ROUTE,
	      "rate_limit.block blocks who goes over a limit, and there is none"),
	WARNS("says_nothing_of_a_block_by_the_limit_of_a_route",
	      BLOCK XDP "}\nroutes: [{path: /, target: http://a, rate_limit: "
			"{requests_per_second: 5}}]\n",
	      NULL),
};

int main(int argc, char **argv)
{
	return THR_RUN_TESTS(tests, argc, argv);
}
