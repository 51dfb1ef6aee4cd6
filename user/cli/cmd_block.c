/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* `block`: the sources that are refused for a while, by the proxy or by hand. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/sources.h"
#include "control/peers.h"
#include "core/cleanup.h"
#include "core/clock.h"

/* An IPv6 prefix may have 128 bits: then the length is left out. */
static void describe(const struct thr_prefix *source, char text[static THR_PREFIX_TEXT])
{
	thr_prefix_format(source, text);
	if (source->bits == (source->is_v6 ? 128 : 32))
		*strchr(text, '/') = '\0';
}

static uint64_t seconds_left(uint64_t until_ns, uint64_t now_ns)
{
	return (until_ns - now_ns + THR_NS_PER_S - 1) / THR_NS_PER_S;
}

/* The source that the operand names: an address, or the prefix that `block list` shows. */
static int find_source(const struct thr_instance *instance, const char *text,
		       struct thr_prefix *ret_source, struct thr_error *error)
{
	unsigned int v6_bits = thr_peer_v6_bits(instance);
	struct thr_address address = {};
	struct thr_prefix prefix;
	const char *why;
	int result = thr_prefix_parse(text, &prefix, &why);

	if (result == -EADDRNOTAVAIL) /* host bits: the right prefix may be one of those below */
		return thr_cli_prefix(text, &prefix, error);
	if (result)
		return thr_fail(error, EINVAL, "%s: write an address, such as 192.0.2.7", text);
	if (!prefix.is_v6 && prefix.bits < 32)
		return thr_fail(error, EINVAL,
				"%s: write an address: 'xdp-throttle deny add' refuses prefixes",
				text);
	if (prefix.is_v6 && prefix.bits < 128 && prefix.bits != v6_bits)
		return thr_fail(error, EINVAL,
				"%s: write an address: one source has /%u, and 'xdp-throttle deny "
				"add' refuses other prefixes",
				text, v6_bits);
	memcpy(address.bytes, prefix.address, sizeof(address.bytes));
	*ret_source = thr_peer_source(instance, &address);
	return 0;
}

/* --- list --- */

static int print_json(const struct thr_peer *peers, size_t count, uint64_t now_ns,
		      struct thr_error *error)
{
	json_t *list = json_array();
	char text[THR_PREFIX_TEXT];

	for (size_t i = 0; i < count; i++) {
		describe(&peers[i].source, text);
		json_array_append_new(
			list, json_pack("{s:s,s:I}", "source", text, "seconds",
					(json_int_t)seconds_left(peers[i].until_ns, now_ns)));
	}
	return thr_cli_print_json(json_pack("{s:o}", "block", list), error);
}

static int list(struct thr_instance *instance, void *context, struct thr_error *error)
{
	const struct thr_arguments *arguments = context;
	AUTO_FREE struct thr_peer *peers = NULL;
	uint64_t now_ns = thr_clock_monotonic_ns();
	char text[THR_PREFIX_TEXT];
	size_t count;
	int result = thr_peers_list(instance, THR_PEERS_BLOCKED, now_ns, &peers, &count, error);

	if (result)
		return result;
	if (arguments->value[THR_OPT_JSON])
		return print_json(peers, count, now_ns, error);
	for (size_t i = 0; i < count; i++) {
		describe(&peers[i].source, text);
		printf("%-43s %" PRIu64 "s\n", text, seconds_left(peers[i].until_ns, now_ns));
	}
	return 0;
}

int thr_cmd_block_list(const struct thr_arguments *arguments, struct thr_error *error)
{
	return thr_cli_with_instance(arguments, list, (void *)(uintptr_t)arguments, error);
}

/* --- add and del --- */

static int find_length(const struct thr_arguments *arguments, uint64_t *ret_ms,
		       struct thr_error *error)
{
	const char *text = arguments->value[THR_OPT_FOR];
	char least[THR_DURATION_TEXT], most[THR_DURATION_TEXT];

	*ret_ms = THR_BLOCK_MS;
	if (!text || (thr_duration_parse(text, ret_ms) == 0 && *ret_ms >= THR_BLOCK_LEAST_MS &&
		      *ret_ms <= THR_BLOCK_MOST_MS))
		return 0;
	thr_duration_format(THR_BLOCK_LEAST_MS, least);
	thr_duration_format(THR_BLOCK_MOST_MS, most);
	return thr_fail(error, EINVAL, "--for is '%s': write a duration from %s to %s", text, least,
			most);
}

static int add(struct thr_instance *instance, void *context, struct thr_error *error)
{
	const struct thr_arguments *arguments = context;
	uint64_t now_ns = thr_clock_monotonic_ns(), for_ms, before_ns;
	char text[THR_PREFIX_TEXT], length[THR_DURATION_TEXT];
	struct thr_peer peer = {};
	int result = find_length(arguments, &for_ms, error);

	if (!result)
		result = find_source(instance, arguments->operand, &peer.source, error);
	if (result)
		return result;
	before_ns = thr_peers_find(instance, THR_PEERS_BLOCKED, &peer.source, now_ns);
	peer.until_ns = now_ns + for_ms * THR_NS_PER_MS;
	result = thr_peers_add(instance, THR_PEERS_BLOCKED, &peer, 1, error);
	if (result)
		return result;
	describe(&peer.source, text);
	thr_duration_format(for_ms, length);
	printf("%s: blocked for %s", text, length);
	if (before_ns)
		printf(" (had %" PRIu64 "s left)", seconds_left(before_ns, now_ns));
	printf("\n");
	if (instance->live->slot[instance->live->active].action == THR_ACTION_MONITOR)
		fprintf(stderr, "%s: note: the action is monitor, so nothing is dropped\n", text);
	return 0;
}

int thr_cmd_block_add(const struct thr_arguments *arguments, struct thr_error *error)
{
	return thr_cli_with_instance(arguments, add, (void *)(uintptr_t)arguments, error);
}

static int del(struct thr_instance *instance, void *context, struct thr_error *error)
{
	const struct thr_arguments *arguments = context;
	uint64_t now_ns = thr_clock_monotonic_ns();
	char text[THR_PREFIX_TEXT];
	struct thr_prefix source = {};
	int result = find_source(instance, arguments->operand, &source, error);

	if (result)
		return result;
	describe(&source, text);
	if (!thr_peers_find(instance, THR_PEERS_BLOCKED, &source, now_ns))
		return thr_fail(error, ENOENT, "%s: it is not blocked", text);
	result = thr_peers_remove(instance, THR_PEERS_BLOCKED, &source);
	if (result && result != -ENOENT)
		return thr_fail(error, -result, "%s: cannot be removed: %s", text,
				strerror(-result));
	printf("%s: block removed\n", text);
	return 0;
}

int thr_cmd_block_del(const struct thr_arguments *arguments, struct thr_error *error)
{
	return thr_cli_with_instance(arguments, del, (void *)(uintptr_t)arguments, error);
}
