/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* `limit`: the limits of source prefixes, and a look at all the others. */
#include "cli/sources.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

/* --- set --- */

static const struct {
	enum thr_option rate, burst;
} kind_options[THR_KINDS] = {
	[THR_CONNECTIONS] = {THR_OPT_CONNECTIONS, THR_OPT_BURST},
	[THR_PACKETS] = {THR_OPT_PACKETS, THR_OPT_PACKET_BURST},
	[THR_BYTES] = {THR_OPT_BYTES, THR_OPT_BYTE_BURST},
};

static int parse_burst(enum thr_kind kind, const char *text, struct thr_rate *rate,
		       struct thr_error *error)
{
	if (text && (thr_count_parse(text, &rate->burst) || !rate->burst))
		return thr_fail(error, EINVAL,
				"burst %s of %s: write a count of at least 1, as 40 or 10k", text,
				thr_kind_name(kind));
	thr_rate_default_burst(rate, kind == THR_BYTES ? THR_BYTE_BURST_LEAST : 1);
	if (kind == THR_BYTES && rate->burst < THR_FRAME_BYTES)
		return thr_fail(
			error, EINVAL,
			"burst %s of bytes: no full frame would ever pass: write at least %d", text,
			THR_FRAME_BYTES);
	if (thr_rate_check(rate) == -EDOM)
		return thr_fail(error, EINVAL,
				"burst %" PRIu64
				" of %s is less than a bucket can measure at that rate: "
				"write one second's worth or more",
				rate->burst, thr_kind_name(kind));
	if (thr_rate_check(rate))
		return thr_fail(
			error, ERANGE,
			"burst %lu of %s would take over 416 days to come back at that rate: "
			"write a smaller one",
			rate->burst, thr_kind_name(kind));
	return 0;
}

/* The burst of a kind. Without a limit on connections, --burst belongs to the
 * only other kind that is limited, as in the configuration. */
static const char *burst_text(const struct thr_arguments *arguments, enum thr_kind kind)
{
	const char *const *value = arguments->value;
	const char *text = value[kind_options[kind].burst];
	bool only = !value[THR_OPT_CONNECTIONS] && !value[THR_OPT_PACKETS] != !value[THR_OPT_BYTES];

	if (!text && only && value[kind_options[kind].rate])
		return value[THR_OPT_BURST];
	return text;
}

static int parse_kind(const struct thr_arguments *arguments, enum thr_kind kind,
		      struct thr_rate *rate, struct thr_error *error)
{
	const char *text = arguments->value[kind_options[kind].rate];

	int result = thr_rate_parse(text, rate);

	if (result == -ERANGE)
		return thr_fail(error, ERANGE, "--%s %s: write a rate of at most 1000G/s",
				thr_kind_name(kind), text);
	if (result)
		return thr_fail(error, EINVAL, "--%s %s: write a rate of at least 1, as %s",
				thr_kind_name(kind), text,
				kind == THR_BYTES ? "10M/s or 500k/m" : "20/s, 300/m or 10k/s");
	return parse_burst(kind, burst_text(arguments, kind), rate, error);
}

static int parse_limits(const struct thr_arguments *arguments, struct thr_limits *limits,
			struct thr_error *error)
{
	bool any = false, burst_used = false;

	for (int kind = 0; kind < THR_KINDS; kind++) {
		int result;

		if (!arguments->value[kind_options[kind].rate]) {
			if (kind != THR_CONNECTIONS && arguments->value[kind_options[kind].burst])
				return thr_fail(error, EINVAL,
						"a burst of %s needs their rate: --%s RATE",
						thr_kind_name(kind), thr_kind_name(kind));
			continue;
		}
		result = parse_kind(arguments, kind, &limits->kind[kind], error);
		if (result)
			return result;
		any = true;
		burst_used |= burst_text(arguments, kind) == arguments->value[THR_OPT_BURST];
	}
	if (!any && arguments->value[THR_OPT_BURST])
		return thr_fail(error, EINVAL,
				"a burst of connections needs their rate: --connections RATE");
	if (!any)
		return thr_fail(error, EINVAL,
				"limit set needs a rate: --connections, --packets or --bytes");
	if (arguments->value[THR_OPT_BURST] && !burst_used)
		return thr_fail(error, EINVAL,
				"--burst could be of packets or of bytes: write --packet-burst or "
				"--byte-burst");
	return 0;
}

int thr_cmd_limit_set(const struct thr_arguments *arguments, struct thr_error *error)
{
	struct thr_source_config source = {.action = THR_SOURCE_LIMIT};
	int result = thr_cli_prefix(arguments->operand, &source.prefix, error);

	if (!result)
		result = parse_limits(arguments, &source.limits, error);
	source.shared = arguments->value[THR_OPT_SHARED] != NULL;
	return result ? result : thr_cli_put_source(arguments, &source, error);
}

int thr_cmd_limit_del(const struct thr_arguments *arguments, struct thr_error *error)
{
	return thr_cli_remove_source(arguments, THR_SOURCE_LIMIT, "limit", error);
}
