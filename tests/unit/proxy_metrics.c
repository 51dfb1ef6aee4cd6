/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the proxy shows in metrics, of counts that the test puts into shared memory. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/counts.h"
#include "unit/proxy_fixture.h"

static const char text[] = "routes:\n"
			   "  - {path: /api, target: http://127.0.0.1:8000}\n"
			   "  - path: /two\n"
			   "    targets: [http://127.0.0.1:9000, http://b.test:9001,\n"
			   "              http://127.0.0.1:9000]\n"
			   "  - {path: /quiet, target: http://127.0.0.1:8000}\n";

struct fixture {
	struct proxy_fixture parts;
	struct thr_buffer out;
	struct thr_metrics metrics;
};

static int setup(void **state)
{
	struct fixture *fixture = aligned_alloc(_Alignof(struct fixture), sizeof(*fixture));

	if (!fixture)
		return -1;
	memset(fixture, 0, sizeof(*fixture));
	fixture->metrics.out = &fixture->out;
	proxy_begin(&fixture->parts, NULL, NULL);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	proxy_end(&fixture->parts);
	thr_buffer_clear(&fixture->out);
	free(fixture);
	return 0;
}

/* A request of that worker; path "": no route matched. */
static void count(struct fixture *fixture, unsigned int worker, const char *path,
		  const struct thr_access *access)
{
	struct thr_slice slice = {path, strlen(path)};
	unsigned int slot = path[0] ? thr_route_counts_slot(fixture->parts.route_counts, slice) : 0;

	thr_route_counts_add(thr_route_counts_of(fixture->parts.route_counts, worker, slot),
			     access);
}

static const char *write_all(struct fixture *fixture)
{
	thr_buffer_clear(&fixture->out);
	thr_proxy_write_metrics(fixture->parts.proxy, fixture->parts.counts, &fixture->metrics);
	thr_metrics_end(&fixture->metrics);
	assert_int_equal(thr_buffer_append(&fixture->out, "", 1), 0);
	assert_false(fixture->metrics.failed);
	return thr_buffer_bytes(&fixture->out);
}

static void assert_has(const char *written, const char *line)
{
	if (!strstr(written, line))
		fail_msg("%s is not in\n%s", line, written);
}

static size_t occurrences(const char *written, const char *part)
{
	size_t found = 0;

	while ((written = strstr(written, part))) {
		found++;
		written++;
	}
	return found;
}

static void totals_are_of_all_workers(void **state)
{
	struct fixture *fixture = *state;
	const char *written;

	fixture->parts.counts[0] = (struct thr_proxy_counts){
		.connections = 5, .malformed = 1, .open_connections = 2, .retries = 7};
	fixture->parts.counts[1] = (struct thr_proxy_counts){
		.connections = 6, .upstream_errors = 3, .open_connections = 1};
	written = write_all(fixture);
	assert_has(written, "\nxdp_throttle_http_connections 3\n");
	assert_has(written, "\nxdp_throttle_http_connections_accepted_total 11\n");
	assert_has(written, "\nxdp_throttle_http_malformed_total 1\n");
	assert_has(written, "\nxdp_throttle_http_upstream_errors_total 3\n");
	assert_has(written, "\nxdp_throttle_http_retries_total 7\n");
}

static void requests_are_shown_by_route_status_and_verdict_where_there_are_any(void **state)
{
	struct fixture *fixture = *state;
	const char *written;

	proxy_configure(&fixture->parts, text);
	count(fixture, 0, "/api",
	      &(struct thr_access){.status = 200, .verdict = THR_VERDICT_ALLOWED});
	count(fixture, 1, "/api",
	      &(struct thr_access){.status = 204, .verdict = THR_VERDICT_ALLOWED});
	count(fixture, 1, "/api",
	      &(struct thr_access){.status = 429, .verdict = THR_VERDICT_LIMITED});
	count(fixture, 0, "/two", &(struct thr_access){.status = 0, .duration_ns = 2000000000});
	count(fixture, 0, "", &(struct thr_access){.status = 404});
	count(fixture, 0, "/gone", &(struct thr_access){.status = 200});
	written = write_all(fixture);
#define REQUESTS "xdp_throttle_http_requests_total{route="
#define DURATION "xdp_throttle_http_request_duration_seconds_"
	assert_has(written, REQUESTS "\"/api\",status=\"2xx\",verdict=\"allowed\"} 2\n");
	assert_has(written, REQUESTS "\"/api\",status=\"4xx\",verdict=\"limited\"} 1\n");
	assert_has(written, REQUESTS "\"/two\",status=\"none\",verdict=\"none\"} 1\n");
	assert_has(written, REQUESTS "\"\",status=\"4xx\",verdict=\"none\"} 1\n");
	assert_int_equal(occurrences(written, REQUESTS), 4);
	assert_has(written, DURATION "count{route=\"/api\"} 3\n");
	assert_has(written, DURATION "sum{route=\"/two\"} 2\n");
	assert_has(written, DURATION "bucket{route=\"/two\",le=\"5.0\"} 1\n");
	assert_int_equal(occurrences(written, DURATION "count"), 3);
}

static void each_target_of_a_route_is_shown_once_with_whether_it_is_up(void **state)
{
	struct fixture *fixture = *state;
	const struct thr_upstream_config rules = {.max_failures = 1, .fail_timeout_ms = 1 << 30};
	const char *written;

	proxy_configure(&fixture->parts, text);
	assert_true(thr_target_failed(fixture->parts.targets, 2, &rules, 1));
	written = write_all(fixture);
#define UP "xdp_throttle_http_target_up{route="
	assert_has(written, UP "\"/api\",target=\"127.0.0.1:8000\"} 1\n");
	assert_has(written, UP "\"/two\",target=\"127.0.0.1:9000\"} 1\n");
	assert_has(written, UP "\"/two\",target=\"b.test:9001\"} 0\n");
	assert_has(written, UP "\"/quiet\",target=\"127.0.0.1:8000\"} 1\n");
	assert_int_equal(occurrences(written, UP), 4);
}

static void promtool_finds_nothing_wrong(void **state)
{
	struct fixture *fixture = *state;
	FILE *promtool;

	if (system("command -v promtool >/dev/null 2>&1"))
		THR_SKIP("promtool (Debian's prometheus) is not installed");
	proxy_configure(&fixture->parts, text);
	count(fixture, 0, "/api", &(struct thr_access){.status = 200});
	write_all(fixture);
	promtool = popen("promtool check metrics >&2", "w");
	assert_non_null(promtool);
	assert_true(fputs(thr_buffer_bytes(&fixture->out), promtool) >= 0);
	assert_int_equal(pclose(promtool), 0);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	static const struct CMUnitTest tests[] = {
		TEST(totals_are_of_all_workers),
		TEST(requests_are_shown_by_route_status_and_verdict_where_there_are_any),
		TEST(each_target_of_a_route_is_shown_once_with_whether_it_is_up),
		TEST(promtool_finds_nothing_wrong),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
