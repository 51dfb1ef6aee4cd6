/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The packet generator's inner loop: give the frame another source and source
 * port, mend its checksums, and redirect it out of an interface. The kernel
 * runs it over a ring of pages that start as copies of a template and are not
 * made anew (BPF_F_TEST_XDP_LIVE_FRAMES), so each run goes on from what an
 * earlier one left in the page. Where the receiver made an answer of it (XDP_TX),
 * the page starts as a copy again.
 *
 * One CPU runs it at a time: the counters are plain.
 */
#include <stdbool.h>
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "lib/frame.h"

#define FLOOD_PORTS_MAX 16
#define FLOOD_PAUSE_NS 10000000

/* Set before the program is loaded, which leaves only the branches needed. */
const volatile struct {
	__u32 ifindex;
	__u32 first_source; /* host order: the word at FRAME_SOURCE_WORD */
	__u32 source_count;
	__u32 port_count;
	__u16 ports[FLOOD_PORTS_MAX];
	bool is_v6;
	bool is_udp;
	bool is_random;
	bool is_scattered; /* first_source is a place in the list of scatter() */
	__u64 interval;	   /* from one packet to the next, 2^-8 ns; 0: no pace */
	__u64 limit;	   /* packets, where there is a pace */
	__u32 heavy; /* one packet of so many comes from the address below the first; 0: none */
} flood_settings;

__u8 flood_template[FRAME_MAX] __attribute__((aligned(8))); /* set before the first packet */

__u64 flood_packets; /* handed to the redirect */
__u64 flood_started_ns;
__u64 flood_marked_ns; /* the time at the last packet, or without a pace, at the last whose
			* number divides by 64 */
__u64 flood_paused_ns; /* in pauses of over FLOOD_PAUSE_NS, where there is a pace */
__u64 flood_due;       /* when the next packet may go, 2^-8 ns; 0: now */
__u32 flood_next_source;
__u32 flood_next_port;

/* The checksum after a 32-bit word that it covers has changed: RFC 1624,
 * equation 3. 0 is written as ~0, which is the same number and, unlike 0, a
 * checksum to UDP as well. */
static __always_inline void replace_word(__u16 *check, __be32 *word, __be32 with)
{
	__u32 was = ~*word;
	__u32 sum = (__u16) ~*check + (was >> 16) + (was & 0xffff) + (with >> 16) + (with & 0xffff);

	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	*word = with;
	*check = (__u16)~sum ? (__u16)~sum : 0xffff;
}

/* Whether the receiver swapped the Ethernet addresses: an answer goes back. */
static __always_inline bool is_answer(const __u8 *frame)
{
	return *(const __u32 *)frame != *(const __u32 *)flood_template ||
	       *(const __u16 *)(frame + 4) != *(const __u16 *)(flood_template + 4);
}

/* Of TCP: the headers alone. */
static __always_inline void start_again(__u8 *frame, bool is_v6)
{
	if (is_v6)
		__builtin_memcpy(__builtin_assume_aligned(frame, 8), flood_template,
				 FRAME_L4(true) + 20);
	else
		__builtin_memcpy(__builtin_assume_aligned(frame, 8), flood_template,
				 FRAME_L4(false) + 20);
}

/*
 * A list of 2^31 addresses that lie in no order over 64.0.0.0 to 191.255.255.255, but
 * 193/8 stands in for 127/8: each step is one-to-one on 31 bits, so none comes twice.
 */
static __always_inline __u32 scatter(__u32 place)
{
	const __u32 mask = (1U << 31) - 1;
	__u32 mixed = place * 0x2c1b3c6dU & mask;

	mixed ^= mixed >> 15;
	mixed = mixed * 0x297a2d39U & mask;
	mixed ^= mixed >> 16;
	mixed += 64U << 24;
	return mixed >> 24 == 127 ? mixed + (66U << 24) : mixed;
}

static __always_inline __u32 pick_source(void)
{
	__u32 count = flood_settings.source_count, offset;

	if (flood_settings.heavy && !(flood_packets % flood_settings.heavy))
		return flood_settings.first_source - 1;
	if (flood_settings.is_random) {
		offset = (__u64)bpf_get_prandom_u32() * count >> 32;
	} else {
		offset = flood_next_source;
		flood_next_source = offset + 1 < count ? offset + 1 : 0;
	}
	offset += flood_settings.first_source;
	return flood_settings.is_scattered ? scatter(offset) : offset;
}

static __always_inline __u16 pick_port(void)
{
	__u32 at = flood_next_port & (FLOOD_PORTS_MAX - 1);

	flood_next_port = at + 1 < flood_settings.port_count ? at + 1 : 0;
	return flood_settings.ports[at];
}

static __always_inline void mark_time(__u64 now_ns)
{
	if (!flood_started_ns)
		flood_started_ns = flood_marked_ns = now_ns;
	if (flood_settings.interval && now_ns - flood_marked_ns > FLOOD_PAUSE_NS)
		flood_paused_ns += now_ns - flood_marked_ns;
	flood_marked_ns = now_ns;
}

/* Whether it is time for a packet. A frame that comes too early goes back to
 * the ring; one that is late does not move the next, so the mean rate holds. */
static __always_inline bool is_due(void)
{
	__u64 now_ns = bpf_ktime_get_ns();
	__u64 now = now_ns << 8;

	if (!flood_due)
		flood_due = now;
	if (now < flood_due || flood_packets >= flood_settings.limit)
		return false;
	flood_due += flood_settings.interval;
	mark_time(now_ns);
	return true;
}

SEC("xdp")
int flood(struct xdp_md *ctx)
{
	const bool is_v6 = flood_settings.is_v6;
	__u8 *frame = (void *)(long)ctx->data;
	__u8 *upper = frame + FRAME_L4(is_v6);
	__be32 *source = (__be32 *)(frame + FRAME_SOURCE_WORD);
	__be32 *ports = (__be32 *)upper;
	__u16 *check;
	__be32 was, with;

	if (upper + (flood_settings.is_udp ? 8 : 20) > (__u8 *)(long)ctx->data_end)
		return XDP_ABORTED;
	if (flood_settings.interval && !is_due())
		return XDP_DROP;
	if (!flood_settings.is_udp && is_answer(frame))
		start_again(frame, is_v6);
	check = (__u16 *)(upper + (flood_settings.is_udp ? FRAME_UDP_CHECK : FRAME_TCP_CHECK));
	was = *source;
	with = bpf_htonl(pick_source());
	replace_word(check, source, with);
	if (!is_v6) {
		*source = was;
		replace_word((__u16 *)(frame + FRAME_IPV4_CHECK), source, with);
	}
	with = bpf_htonl((1024 + (__u32)(flood_packets & 0x7fff)) << 16 | pick_port());
	replace_word(check, ports, with);
	if (!flood_settings.interval && !(flood_packets % 64))
		mark_time(bpf_ktime_get_ns());
	flood_packets++;
	return bpf_redirect(flood_settings.ifindex, 0);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
