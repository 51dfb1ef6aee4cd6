/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From a SYN to the SYN-ACK for it, in the same frame: what the SYN's options say, what
 * the answer offers, how it is written. Where the cookie comes from, and why the frame
 * keeps its length, is in challenge.h.
 *
 * Both go by what the kernel does: tcp_parse_options(), tcp_synack_options() and
 * cookie_init_timestamp().
 */
#ifndef THR_SYNACK_H
#define THR_SYNACK_H

/* Where a TCP header without extension headers before it is at the latest. */
#define SYNACK_UPPER_MAX                                                                           \
	(ETH_HLEN + PARSE_TAGS_MAX * sizeof(struct parse_tag) + sizeof(struct ipv6hdr))

#define SYNACK_OPTIONS_MAX 40 /* bytes; RFC 9293 3.1 */
#define SYNACK_NO_SCALE 255
#define SYNACK_SCALE_MAX 14 /* RFC 7323 2.3 */

#define SYNACK_HOPS 64
#define SYNACK_DONT_FRAGMENT 0x4000
#define SYNACK_NS_PER_MS 1000000

/* The least MSS that the kernel announces, unless told otherwise: min_adv_mss. */
#define SYNACK_MSS_MIN_V4 256
#define SYNACK_MSS_MIN_V6 1220

/* The window of our SYN-ACK. With the usual tcp_rmem the kernel grants 65535 less a part
 * of an MSS, which for the values that a cookie can carry leaves at least 62580. */
#define SYNACK_WINDOW 61440

/* Of our timestamp, in what the kernel reads back from the client's echo. */
#define SYNACK_TS_BITS 6
#define SYNACK_TS_NO_SCALE 0xf
#define SYNACK_TS_SACK 0x10

enum synack_option {
	SYNACK_END = 0,
	SYNACK_NOP = 1,
	SYNACK_MSS = 2,
	SYNACK_SCALE = 3,
	SYNACK_SACK = 4,
	SYNACK_TIMESTAMPS = 8,
	SYNACK_MD5 = 19,
	SYNACK_AO = 29,
};

/* What the options of a SYN say. */
struct synack_options {
	__be32 timestamp;
	__u16 mss;  /* 0: none */
	__u8 scale; /* SYNACK_NO_SCALE: none */
	bool has_timestamp;
	bool sack;
	bool is_signed;
	__u8 unused[2];
};

/* The options as they came: zero behind them, where a last one may seem to go on. */
struct synack_text {
	__u8 bytes[SYNACK_OPTIONS_MAX + 16];
	__u32 length;
};

/* Of the SYN's header what the kernel makes its cookie from. */
struct synack_asked {
	struct tcphdr header;
	__u8 kind, size;
	__be16 mss;
};
_Static_assert(sizeof(struct synack_asked) == 24, "a header of six words");

/* The header of the answer, in words of network order. */
#define SYNACK_WORDS 10
struct synack_reply {
	__be32 word[SYNACK_WORDS]; /* zero from `words` on */
	__u32 words;
};

/* --- where things are --- */

static __always_inline __u32 synack_header(bool is_v6)
{
	return is_v6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr);
}

/* The `size` bytes at `at` in the frame; NULL where it has less. */
static __always_inline void *synack_at(struct xdp_md *ctx, __u32 at, __u32 size)
{
	void *found;

	parse_keep_number(at);
	if (at > SYNACK_UPPER_MAX)
		return NULL;
	found = (void *)(long)ctx->data + at;
	return found + size <= (void *)(long)ctx->data_end ? found : NULL;
}

/* Bytes of the frame's first buffer. */
static __always_inline __u32 synack_linear(struct xdp_md *ctx)
{
	return (__u64)(long)ctx->data_end - (long)ctx->data;
}

/* An IP header and the TCP header after it. What a socket is looked up by, addresses and
 * ports, lies there in one piece. */
struct synack_v4 {
	struct iphdr ip;
	struct tcphdr tcp;
};
struct synack_v6 {
	struct ipv6hdr ip;
	struct tcphdr tcp;
};
_Static_assert(offsetof(struct synack_v4, tcp) - offsetof(struct iphdr, saddr) == 8,
	       "ports follow the addresses");
_Static_assert(offsetof(struct synack_v6, tcp) - offsetof(struct ipv6hdr, saddr) == 32,
	       "ports follow the addresses");

/* --- what the SYN says --- */

/* Take in one option of `size` bytes, as tcp_parse_options() does. */
static __always_inline void synack_take_option(const __u8 *option, __u32 size,
					       struct synack_options *options)
{
	switch (option[0]) {
	case SYNACK_MSS:
		if (size == 4 && (option[2] || option[3]))
			options->mss = option[2] << 8 | option[3];
		break;
	case SYNACK_SCALE:
		if (size == 3)
			options->scale =
				option[2] < SYNACK_SCALE_MAX ? option[2] : SYNACK_SCALE_MAX;
		break;
	case SYNACK_SACK:
		options->sack |= size == 2;
		break;
	case SYNACK_TIMESTAMPS:
		if (size != 10)
			break;
		options->has_timestamp = true;
		__builtin_memcpy(&options->timestamp, option + 2, sizeof(options->timestamp));
		break;
	case SYNACK_MD5:
	case SYNACK_AO:
		options->is_signed = true;
		break;
	}
}

/* Read the option at `at`. Returns where the next one is; SYNACK_OPTIONS_MAX after
 * the last, and where the rest cannot be read. */
__noinline __u32 synack_read_option(const struct synack_text *text, __u32 at,
				    struct synack_options *options)
{
	const __u8 *option;
	__u32 size;

	if (!text || !options || at >= SYNACK_OPTIONS_MAX)
		return SYNACK_OPTIONS_MAX;
	option = text->bytes + at;
	if (option[0] == SYNACK_END)
		return SYNACK_OPTIONS_MAX;
	if (option[0] == SYNACK_NOP)
		return at + 1;
	size = option[1];
	if (size < 2 || at + size > text->length)
		return SYNACK_OPTIONS_MAX;
	synack_take_option(option, size, options);
	return at + size;
}

/* Read the `length` bytes of options that are `at` into the frame. Returns 0, or
 * THR_REASON_UNCHALLENGED where they ask for what cannot be answered here. */
__noinline int synack_read_options(struct xdp_md *ctx, __u32 at, __u32 length,
				   struct synack_options *options)
{
	struct synack_text text = {};
	__u32 next = 0;

	if (!options)
		return THR_REASON_UNCHALLENGED;
	options->scale = SYNACK_NO_SCALE;
	if (length < 4)
		return 0;
	if (length > SYNACK_OPTIONS_MAX || bpf_xdp_load_bytes(ctx, at, text.bytes, length))
		return THR_REASON_UNCHALLENGED;
	text.length = length;
	for (int i = 0; i < SYNACK_OPTIONS_MAX && next < SYNACK_OPTIONS_MAX; i++)
		next = synack_read_option(&text, next, options);
	return options->is_signed ? THR_REASON_UNCHALLENGED : 0;
}

/* --- what the answer says, and how it is written --- */

/* The MSS to announce: what the interface's MTU leaves, within the kernel's own bounds. */
static __always_inline __u32 synack_own_mss(struct xdp_md *ctx, bool is_v6)
{
	__u32 headers = is_v6 ? sizeof(struct synack_v6) : sizeof(struct synack_v4);
	__u32 least = is_v6 ? SYNACK_MSS_MIN_V6 : SYNACK_MSS_MIN_V4;
	__u32 mtu = 0;

	bpf_check_mtu(ctx, 0, &mtu, 0, 0);
	if (mtu < least + headers)
		return least;
	return (mtu < 65535 ? mtu : 65535) - headers;
}

/* Keep of what the client asks for what can be offered to it: the kernel cannot do
 * all, and the cookie not without timestamps; `room` is in words of options. */
static __always_inline void synack_agree(struct synack_options *options,
					 const struct thr_offer *offer, __u32 room)
{
	options->has_timestamp = options->has_timestamp && offer->timestamps && room >= 4;
	options->sack = options->sack && offer->sack && options->has_timestamp;
	if (!options->has_timestamp || offer->window_scale > SYNACK_SCALE_MAX || room < 5)
		options->scale = SYNACK_NO_SCALE;
}

/* Our timestamp, as cookie_init_timestamp() makes it: the low bits say what was agreed
 * on, and it is not ahead of the kernel's clock, so that the kernel's next one is not
 * behind it. */
static __always_inline __be32 synack_timestamp(const struct synack_options *options)
{
	__u64 now = clock_coarse_ns() / SYNACK_NS_PER_MS;
	__u64 own = now >> SYNACK_TS_BITS << SYNACK_TS_BITS;

	own |= options->scale == SYNACK_NO_SCALE ? SYNACK_TS_NO_SCALE : options->scale;
	own |= options->sack ? SYNACK_TS_SACK : 0;
	return bpf_htonl(own > now ? own - (1 << SYNACK_TS_BITS) : own);
}

/* Write the agreed options behind the header, in the kernel's order: MSS, SACK permitted,
 * timestamps, window scale. `mss` and `scale` are our own. */
static __always_inline void synack_offer(struct synack_reply *reply,
					 const struct synack_options *options, __u32 mss,
					 __u32 scale)
{
	reply->word[5] = bpf_htonl(SYNACK_MSS << 24 | 4 << 16 | mss);
	reply->words = 6;
	if (!options->has_timestamp)
		return;
	reply->word[6] = bpf_htonl((options->sack ? SYNACK_SACK << 24 | 2 << 16
						  : SYNACK_NOP << 24 | SYNACK_NOP << 16) |
				   SYNACK_TIMESTAMPS << 8 | 10);
	reply->word[7] = synack_timestamp(options);
	reply->word[8] = options->timestamp;
	reply->words = 9;
	if (options->scale == SYNACK_NO_SCALE)
		return;
	reply->word[9] = bpf_htonl(SYNACK_NOP << 24 | SYNACK_SCALE << 16 | 3 << 8 | scale);
	reply->words = 10;
}

/* The SYN-ACK for the SYN, whose ack_seq is the cookie; without its checksum. */
static __always_inline void synack_fill(struct synack_reply *reply, const struct synack_asked *syn)
{
	reply->word[0] =
		bpf_htonl(bpf_ntohs(syn->header.dest) << 16 | bpf_ntohs(syn->header.source));
	reply->word[1] = syn->header.ack_seq;
	reply->word[2] = bpf_htonl(bpf_ntohl(syn->header.seq) + 1);
	reply->word[3] =
		bpf_htonl(reply->words << 28 | (PARSE_SYN | PARSE_ACK) << 16 | SYNACK_WINDOW);
}

/* The one's complement of the one's complement sum (RFC 1071). */
static __always_inline __sum16 synack_fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* Set the checksum, of a segment without one and of the sum of the addresses. */
static __always_inline void synack_seal(struct synack_reply *reply, __u64 sum)
{
	for (int i = 0; i < SYNACK_WORDS; i++)
		sum += reply->word[i];
	sum += bpf_htons(IPPROTO_TCP);
	sum += bpf_htons(reply->words * 4);
	reply->word[4] = bpf_htonl((__u32)bpf_ntohs(synack_fold(sum)) << 16);
}

static __always_inline void synack_turn_ethernet(struct parse_ethernet *ethernet)
{
	__u8 address[ETH_ALEN];

	__builtin_memcpy(address, ethernet->addresses, ETH_ALEN);
	__builtin_memcpy(ethernet->addresses, ethernet->addresses + ETH_ALEN, ETH_ALEN);
	__builtin_memcpy(ethernet->addresses + ETH_ALEN, address, ETH_ALEN);
}

/* Make the IP header that of the answer. Returns the sum of its addresses. */
static __always_inline __u64 synack_turn_v4(struct iphdr *ip, __u32 words)
{
	const __be32 word[] = {bpf_htonl(0x45000000 | (sizeof(*ip) + words * 4)),
			       bpf_htonl(SYNACK_DONT_FRAGMENT),
			       bpf_htonl(SYNACK_HOPS << 24 | IPPROTO_TCP << 16)};
	__be32 source = ip->daddr, destination = ip->saddr;
	__u64 sum = (__u64)source + destination;

	__builtin_memcpy(ip, word, sizeof(word));
	ip->saddr = source;
	ip->daddr = destination;
	ip->check = synack_fold(sum + word[0] + word[1] + word[2]);
	return sum;
}

static __always_inline __u64 synack_sum_v6(const struct in6_addr *address)
{
	const __be32 *words = address->s6_addr32;

	return (__u64)words[0] + words[1] + words[2] + words[3];
}

static __always_inline __u64 synack_turn_v6(struct ipv6hdr *ip, __u32 words)
{
	const __be32 word[] = {bpf_htonl(0x60000000),
			       bpf_htonl(words * 4 << 16 | IPPROTO_TCP << 8 | SYNACK_HOPS)};
	const struct in6_addr source = ip->daddr, destination = ip->saddr;

	__builtin_memcpy(ip, word, sizeof(word));
	ip->saddr = source;
	ip->daddr = destination;
	return synack_sum_v6(&source) + synack_sum_v6(&destination);
}

/* Turn the frame into the answer. Returns THR_REASON_CHALLENGED. */
__noinline int synack_turn(struct xdp_md *ctx, __u32 at, bool is_v6, struct synack_reply *reply)
{
	struct parse_ethernet *ethernet = synack_at(ctx, 0, sizeof(*ethernet));
	struct ipv6hdr *v6;
	struct iphdr *v4;
	__u32 size;
	__u64 sum;

	if (!reply || !ethernet || ethernet->addresses[0] & 1)
		return THR_REASON_UNCHALLENGED;
	v6 = is_v6 ? synack_at(ctx, at, sizeof(*v6)) : NULL;
	v4 = is_v6 ? NULL : synack_at(ctx, at, sizeof(*v4));
	if (v6)
		sum = synack_turn_v6(v6, reply->words);
	else if (v4)
		sum = synack_turn_v4(v4, reply->words);
	else
		return THR_REASON_UNCHALLENGED;
	synack_turn_ethernet(ethernet);
	synack_seal(reply, sum);
	size = reply->words * 4;
	if (size < sizeof(struct tcphdr) || size > sizeof(reply->word) ||
	    bpf_xdp_store_bytes(ctx, at + synack_header(is_v6), reply->word, size))
		return THR_REASON_UNCHALLENGED;
	return THR_REASON_CHALLENGED;
}

#endif
