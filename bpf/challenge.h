/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The SYN-cookie challenge (RFC 4987 3.6): a SYN beyond the budget for new sources is
 * answered right here, in the place of the kernel, and nothing is remembered of it.
 * Who completes the handshake has shown that its address is no spoofed one.
 *
 *   SYN  -> the kernel's own listener for it, and its cookie for this SYN
 *        -> the frame becomes the SYN-ACK, and goes back by the way it came (XDP_TX)
 *   ACK  -> the cookie is right: the source is verified; the kernel opens the
 *           connection, as it does after a cookie of its own
 *
 * What the handshake carries, and where, as in net/ipv4/syncookies.c:
 *   MSS of the client      in the cookie, as one of four values
 *   window scale, SACK     in the low 6 bits of our timestamp, which the client echoes:
 *                          without timestamps neither is offered. That needs
 *                          tcp_timestamps = 2: with 1 there is an offset, which only
 *                          the kernel knows. Hence thr_live.offer
 *   ECN, TCP Fast Open,    not offered. What was sent with the SYN is sent again
 *   MPTCP
 * Our own MSS is what the interface's MTU leaves, our window one that the kernel grants
 * whatever the MSS, and our window scale (thr_live.offer) the one that the kernel
 * chooses for itself when the ACK comes. It chooses another for a listener with a buffer
 * size of its own (SO_RCVBUF), which can not be seen from here: clients of such a one
 * would misread its window, so it should not be challenged for.
 *
 * The frame keeps its length, so what is left of a longer SYN stays as padding. A
 * program that resizes frames could not be loaded into a dispatcher that was built
 * before Linux 6.13. The answer offers nothing that the SYN did not, and so has room,
 * but for a SYN without an MSS: then our MSS is left out too, and the client assumes 536
 * bytes (RFC 9293 3.7.1).
 *
 * What is not answered is dropped as UNCHALLENGED: no listener, or it is full; no
 * cookies (tcp_syncookies = 0, or 1 while there is no overflow); IPv4 options, IPv6
 * extension headers, fragments, frames in several buffers; TCP-MD5 and TCP-AO, whose key
 * we lack; addresses that no connection has, and those that the kernel would forward. A
 * SYN for a connection that the kernel has passes to it.
 *
 * What an attacker gets out of it. Answers to the address that it pretends to have: one
 * for each SYN, no longer than that, and no more than the address may open connections,
 * since the SYN stays charged. Whoever saw a cookie can send its ACK again until it
 * expires, from 1 to 2 minutes, and a guessed cookie is right once in some 2^22 times:
 * both hold for SYN cookies in general. Verified is only who returned a cookie, or has a
 * connection that the kernel holds to be open.
 *
 * The functions that are not inline are global: the verifier proves each once, by itself;
 * hence the checks of arguments and of where headers lie.
 */
#ifndef THR_CHALLENGE_H
#define THR_CHALLENGE_H

/* Where a TCP header without extension headers before it is at the latest. */
#define CHALLENGE_UPPER_MAX                                                                        \
	(ETH_HLEN + PARSE_TAGS_MAX * sizeof(struct parse_tag) + sizeof(struct ipv6hdr))

#define CHALLENGE_OPTIONS_MAX 40 /* bytes; RFC 9293 3.1 */
#define CHALLENGE_NO_SCALE 255
#define CHALLENGE_SCALE_MAX 14 /* RFC 7323 2.3 */

#define CHALLENGE_AF_INET 2
#define CHALLENGE_AF_INET6 10
#define CHALLENGE_HOPS 64
#define CHALLENGE_DONT_FRAGMENT 0x4000
#define CHALLENGE_NS_PER_MS 1000000

/* The least MSS that the kernel announces: its ip_rt_min_advmss and min_adv_mss. */
#define CHALLENGE_MSS_MIN_V4 256
#define CHALLENGE_MSS_MIN_V6 1220

/* The window of our SYN-ACK. With the usual tcp_rmem the kernel grants 65535 less a part
 * of an MSS, which for the values that a cookie can carry leaves at least 62580. */
#define CHALLENGE_WINDOW 61440

/* Of our timestamp, in what the kernel reads back from the client's echo. */
#define CHALLENGE_TS_BITS 6
#define CHALLENGE_TS_NO_SCALE 0xf
#define CHALLENGE_TS_SACK 0x10

/* How long the kernel takes a cookie, in ns: MAX_SYNCOOKIE_AGE minutes. And by how much
 * longer ACKs are looked at, so that this is written once a second. */
#define CHALLENGE_COOKIE_NS 120000000000ULL
#define CHALLENGE_SLACK_NS 1000000000ULL

/* A tick where its length is not known: shorter than any, so that it lasts longer. */
#define CHALLENGE_JIFFY_NS 500000ULL

enum challenge_option {
	CHALLENGE_END = 0,
	CHALLENGE_NOP = 1,
	CHALLENGE_MSS = 2,
	CHALLENGE_SCALE = 3,
	CHALLENGE_SACK = 4,
	CHALLENGE_TIMESTAMPS = 8,
	CHALLENGE_MD5 = 19,
	CHALLENGE_AO = 29,
};

/* What the options of a SYN say. */
struct challenge_options {
	__be32 timestamp;
	__u16 mss;  /* 0: none */
	__u8 scale; /* CHALLENGE_NO_SCALE: none */
	bool has_timestamp;
	bool sack;
	bool is_signed;
	__u8 unused[2];
};

/* The options as they came: zero behind them, where a last one may seem to go on. */
struct challenge_text {
	__u8 bytes[CHALLENGE_OPTIONS_MAX + 16];
	__u32 length;
};

/* Of the SYN's header what the kernel makes its cookie from. */
struct challenge_asked {
	struct tcphdr header;
	__u8 kind, size;
	__be16 mss;
};
_Static_assert(sizeof(struct challenge_asked) == 24, "a header of six words");

/* The header of the answer, in words of network order. */
#define CHALLENGE_WORDS 10
struct challenge_reply {
	__be32 word[CHALLENGE_WORDS]; /* zero from `words` on */
	__u32 words;
};

/* Whether an ACK may answer a challenge. */
static __always_inline bool challenge_is_on(const struct thr_live *live)
{
	return clock_jiffies() < live->challenged_until;
}

/* --- where things are --- */

static __always_inline __u32 challenge_header(bool is_v6)
{
	return is_v6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr);
}

/* Where the headers of a packet are, as one number: how far into the frame the IP header
 * is, its size << 8, and of a fragment something beyond that. To put it together asks
 * nothing of the verifier; a comparison in the main program would have it tell apart
 * every way through the parser. */
static __always_inline __u64 challenge_place(const struct packet *packet)
{
	return packet->network | (packet->upper - packet->network) << 8 |
	       (__u64)packet->fragment << 32;
}

/* Whether the TCP header follows a plain IP header. */
static __always_inline bool challenge_is_plain(__u64 place, bool is_v6)
{
	return place >> 8 == challenge_header(is_v6);
}

/* The `size` bytes at `at` in the frame; NULL where it has less. */
static __always_inline void *challenge_at(struct xdp_md *ctx, __u32 at, __u32 size)
{
	void *found;

	parse_keep_number(at);
	if (at > CHALLENGE_UPPER_MAX)
		return NULL;
	found = (void *)(long)ctx->data + at;
	return found + size <= (void *)(long)ctx->data_end ? found : NULL;
}

/* Bytes of the frame's first buffer. */
static __always_inline __u32 challenge_linear(struct xdp_md *ctx)
{
	return (__u64)(long)ctx->data_end - (long)ctx->data;
}

/* An IP header and the TCP header after it. What a socket is looked up by, addresses and
 * ports, lies there in one piece. */
struct challenge_v4 {
	struct iphdr ip;
	struct tcphdr tcp;
};
struct challenge_v6 {
	struct ipv6hdr ip;
	struct tcphdr tcp;
};
_Static_assert(offsetof(struct challenge_v4, tcp) - offsetof(struct iphdr, saddr) == 8,
	       "ports follow the addresses");
_Static_assert(offsetof(struct challenge_v6, tcp) - offsetof(struct ipv6hdr, saddr) == 32,
	       "ports follow the addresses");

#define challenge_tuple(headers) ((struct bpf_sock_tuple *)&(headers)->ip.saddr)
#define CHALLENGE_TUPLE_V4 sizeof(((struct bpf_sock_tuple *)NULL)->ipv4)
#define CHALLENGE_TUPLE_V6 sizeof(((struct bpf_sock_tuple *)NULL)->ipv6)

/* --- what the SYN says --- */

/* Take in one option of `size` bytes, as tcp_parse_options() does. */
static __always_inline void challenge_take_option(const __u8 *option, __u32 size,
						  struct challenge_options *options)
{
	switch (option[0]) {
	case CHALLENGE_MSS:
		if (size == 4 && (option[2] || option[3]))
			options->mss = option[2] << 8 | option[3];
		break;
	case CHALLENGE_SCALE:
		if (size == 3)
			options->scale =
				option[2] < CHALLENGE_SCALE_MAX ? option[2] : CHALLENGE_SCALE_MAX;
		break;
	case CHALLENGE_SACK:
		options->sack |= size == 2;
		break;
	case CHALLENGE_TIMESTAMPS:
		if (size != 10)
			break;
		options->has_timestamp = true;
		__builtin_memcpy(&options->timestamp, option + 2, sizeof(options->timestamp));
		break;
	case CHALLENGE_MD5:
	case CHALLENGE_AO:
		options->is_signed = true;
		break;
	}
}

/* Read the option at `at`. Returns where the next one is; CHALLENGE_OPTIONS_MAX after
 * the last, and where the rest cannot be read. */
__noinline __u32 challenge_read_option(const struct challenge_text *text, __u32 at,
				       struct challenge_options *options)
{
	const __u8 *option;
	__u32 size;

	if (!text || !options || at >= CHALLENGE_OPTIONS_MAX)
		return CHALLENGE_OPTIONS_MAX;
	option = text->bytes + at;
	if (option[0] == CHALLENGE_END)
		return CHALLENGE_OPTIONS_MAX;
	if (option[0] == CHALLENGE_NOP)
		return at + 1;
	size = option[1];
	if (size < 2 || at + size > text->length)
		return CHALLENGE_OPTIONS_MAX;
	challenge_take_option(option, size, options);
	return at + size;
}

/* Read the `length` bytes of options that are `at` into the frame. Returns 0, or
 * THR_REASON_UNCHALLENGED where they ask for what cannot be answered here. */
__noinline int challenge_read_options(struct xdp_md *ctx, __u32 at, __u32 length,
				      struct challenge_options *options)
{
	struct challenge_text text = {};
	__u32 next = 0;

	if (!options)
		return THR_REASON_UNCHALLENGED;
	options->scale = CHALLENGE_NO_SCALE;
	if (length < 4)
		return 0;
	if (length > CHALLENGE_OPTIONS_MAX || bpf_xdp_load_bytes(ctx, at, text.bytes, length))
		return THR_REASON_UNCHALLENGED;
	text.length = length;
	for (int i = 0; i < CHALLENGE_OPTIONS_MAX && next < CHALLENGE_OPTIONS_MAX; i++)
		next = challenge_read_option(&text, next, options);
	return options->is_signed ? THR_REASON_UNCHALLENGED : 0;
}

/* --- the listener and its cookie --- */

/* Whether a connection may have the address. With others the kernel drops a packet, so
 * that an answer would tell what listens, or go where none belongs. */
static __always_inline bool challenge_may_have_v4(__be32 address)
{
	__u32 first = bpf_ntohl(address) >> 24;

	return first && first != 127 && first < 224;
}

static __always_inline bool challenge_may_have_v6(const struct in6_addr *address)
{
	const __be32 *words = address->s6_addr32;

	return address->s6_addr[0] != 0xff && (words[0] | words[1]);
}

/* Whether the kernel would send the packet on, instead of to a listener of its own: a
 * router has those too. */
static __always_inline bool challenge_is_forwarded(struct xdp_md *ctx, struct bpf_fib_lookup *way)
{
	int found;

	way->ifindex = ctx->ingress_ifindex;
	found = bpf_fib_lookup(ctx, way, sizeof(*way), 0);
	return found != BPF_FIB_LKUP_RET_NOT_FWDED && found != BPF_FIB_LKUP_RET_FWD_DISABLED;
}

/* Ask the socket that was found for a SYN with this IP header. Returns 0 where it is no
 * listener, but a connection; THR_REASON_UNCHALLENGED; or THR_REASON_CHALLENGED with the
 * cookie as syn->header.ack_seq. */
static __always_inline int challenge_ask(struct bpf_sock *socket, void *ip, __u32 size,
					 struct challenge_asked *syn)
{
	__s64 cookie;

	if (socket->state != BPF_TCP_LISTEN)
		return 0;
	cookie = bpf_tcp_gen_syncookie(socket, ip, size, &syn->header, sizeof(*syn));
	if (cookie < 0)
		return THR_REASON_UNCHALLENGED;
	syn->header.ack_seq = bpf_htonl((__u32)cookie);
	return THR_REASON_CHALLENGED;
}

__noinline int challenge_ask_v4(struct xdp_md *ctx, __u32 at, struct challenge_asked *syn)
{
	struct bpf_fib_lookup way = {.family = CHALLENGE_AF_INET};
	struct challenge_v4 *headers;
	struct bpf_sock *socket;
	bool is_anybodys;
	int reason;

	if (!syn)
		return THR_REASON_UNCHALLENGED;
	headers = challenge_at(ctx, at, sizeof(*headers));
	if (!headers || !challenge_may_have_v4(headers->ip.saddr) ||
	    !challenge_may_have_v4(headers->ip.daddr))
		return THR_REASON_UNCHALLENGED;
	socket = bpf_skc_lookup_tcp(ctx, challenge_tuple(headers), CHALLENGE_TUPLE_V4,
				    BPF_F_CURRENT_NETNS, 0);
	if (!socket)
		return THR_REASON_UNCHALLENGED;
	reason = challenge_ask(socket, &headers->ip, sizeof(headers->ip), syn);
	is_anybodys = !socket->src_ip4;
	bpf_sk_release(socket);
	way.ipv4_src = headers->ip.saddr;
	way.ipv4_dst = headers->ip.daddr;
	return is_anybodys && challenge_is_forwarded(ctx, &way) ? THR_REASON_UNCHALLENGED : reason;
}

__noinline int challenge_ask_v6(struct xdp_md *ctx, __u32 at, struct challenge_asked *syn)
{
	struct bpf_fib_lookup way = {.family = CHALLENGE_AF_INET6};
	struct challenge_v6 *headers;
	struct bpf_sock *socket;
	bool is_anybodys;
	int reason;

	if (!syn)
		return THR_REASON_UNCHALLENGED;
	headers = challenge_at(ctx, at, sizeof(*headers));
	if (!headers || !challenge_may_have_v6(&headers->ip.saddr) ||
	    !challenge_may_have_v6(&headers->ip.daddr))
		return THR_REASON_UNCHALLENGED;
	socket = bpf_skc_lookup_tcp(ctx, challenge_tuple(headers), CHALLENGE_TUPLE_V6,
				    BPF_F_CURRENT_NETNS, 0);
	if (!socket)
		return THR_REASON_UNCHALLENGED;
	reason = challenge_ask(socket, &headers->ip, sizeof(headers->ip), syn);
	is_anybodys = !(socket->src_ip6[0] | socket->src_ip6[1] | socket->src_ip6[2] |
			socket->src_ip6[3]);
	bpf_sk_release(socket);
	__builtin_memcpy(way.ipv6_src, &headers->ip.saddr, sizeof(way.ipv6_src));
	__builtin_memcpy(way.ipv6_dst, &headers->ip.daddr, sizeof(way.ipv6_dst));
	return is_anybodys && challenge_is_forwarded(ctx, &way) ? THR_REASON_UNCHALLENGED : reason;
}

/* --- the answer --- */

/* The MSS to announce: what the interface's MTU leaves, within the kernel's own bounds. */
static __always_inline __u32 challenge_own_mss(struct xdp_md *ctx, bool is_v6)
{
	__u32 headers = is_v6 ? sizeof(struct challenge_v6) : sizeof(struct challenge_v4);
	__u32 least = is_v6 ? CHALLENGE_MSS_MIN_V6 : CHALLENGE_MSS_MIN_V4;
	__u32 mtu = 0;

	bpf_check_mtu(ctx, 0, &mtu, 0, 0);
	if (mtu < least + headers)
		return least;
	return (mtu < 65535 ? mtu : 65535) - headers;
}

/* Keep of what the client asks for what can be offered to it: the kernel cannot do
 * all, and the cookie not without timestamps; `room` is in words of options. */
static __always_inline void challenge_agree(struct challenge_options *options,
					    const struct thr_offer *offer, __u32 room)
{
	options->has_timestamp = options->has_timestamp && offer->timestamps && room >= 4;
	options->sack = options->sack && offer->sack && options->has_timestamp;
	if (!options->has_timestamp || offer->window_scale > CHALLENGE_SCALE_MAX || room < 5)
		options->scale = CHALLENGE_NO_SCALE;
}

/* Our timestamp, as cookie_init_timestamp() makes it: the low bits say what was agreed
 * on, and it is not ahead of the kernel's clock, so that the kernel's next one is not
 * behind it. */
static __always_inline __be32 challenge_timestamp(const struct challenge_options *options)
{
	__u64 now = clock_coarse_ns() / CHALLENGE_NS_PER_MS;
	__u64 own = now >> CHALLENGE_TS_BITS << CHALLENGE_TS_BITS;

	own |= options->scale == CHALLENGE_NO_SCALE ? CHALLENGE_TS_NO_SCALE : options->scale;
	own |= options->sack ? CHALLENGE_TS_SACK : 0;
	return bpf_htonl(own > now ? own - (1 << CHALLENGE_TS_BITS) : own);
}

/* Write the agreed options behind the header, in the kernel's order: MSS, SACK permitted,
 * timestamps, window scale. `mss` and `scale` are our own. */
static __always_inline void challenge_offer(struct challenge_reply *reply,
					    const struct challenge_options *options, __u32 mss,
					    __u32 scale)
{
	reply->word[5] = bpf_htonl(CHALLENGE_MSS << 24 | 4 << 16 | mss);
	reply->words = 6;
	if (!options->has_timestamp)
		return;
	reply->word[6] = bpf_htonl((options->sack ? CHALLENGE_SACK << 24 | 2 << 16
						  : CHALLENGE_NOP << 24 | CHALLENGE_NOP << 16) |
				   CHALLENGE_TIMESTAMPS << 8 | 10);
	reply->word[7] = challenge_timestamp(options);
	reply->word[8] = options->timestamp;
	reply->words = 9;
	if (options->scale == CHALLENGE_NO_SCALE)
		return;
	reply->word[9] = bpf_htonl(CHALLENGE_NOP << 24 | CHALLENGE_SCALE << 16 | 3 << 8 | scale);
	reply->words = 10;
}

/* The SYN-ACK for the SYN, whose ack_seq is the cookie; without its checksum. */
static __always_inline void challenge_fill(struct challenge_reply *reply,
					   const struct challenge_asked *syn)
{
	reply->word[0] =
		bpf_htonl(bpf_ntohs(syn->header.dest) << 16 | bpf_ntohs(syn->header.source));
	reply->word[1] = syn->header.ack_seq;
	reply->word[2] = bpf_htonl(bpf_ntohl(syn->header.seq) + 1);
	reply->word[3] =
		bpf_htonl(reply->words << 28 | (PARSE_SYN | PARSE_ACK) << 16 | CHALLENGE_WINDOW);
}

/* The one's complement of the one's complement sum (RFC 1071). */
static __always_inline __sum16 challenge_fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* Set the checksum, of a segment without one and of the sum of the addresses. */
static __always_inline void challenge_seal(struct challenge_reply *reply, __u64 sum)
{
	for (int i = 0; i < CHALLENGE_WORDS; i++)
		sum += reply->word[i];
	sum += bpf_htons(IPPROTO_TCP);
	sum += bpf_htons(reply->words * 4);
	reply->word[4] = bpf_htonl((__u32)bpf_ntohs(challenge_fold(sum)) << 16);
}

static __always_inline void challenge_turn_ethernet(struct parse_ethernet *ethernet)
{
	__u8 address[ETH_ALEN];

	__builtin_memcpy(address, ethernet->addresses, ETH_ALEN);
	__builtin_memcpy(ethernet->addresses, ethernet->addresses + ETH_ALEN, ETH_ALEN);
	__builtin_memcpy(ethernet->addresses + ETH_ALEN, address, ETH_ALEN);
}

/* Make the IP header that of the answer. Returns the sum of its addresses. */
static __always_inline __u64 challenge_turn_v4(struct iphdr *ip, __u32 words)
{
	const __be32 word[] = {bpf_htonl(0x45000000 | (sizeof(*ip) + words * 4)),
			       bpf_htonl(CHALLENGE_DONT_FRAGMENT),
			       bpf_htonl(CHALLENGE_HOPS << 24 | IPPROTO_TCP << 16)};
	__be32 source = ip->daddr, destination = ip->saddr;
	__u64 sum = (__u64)source + destination;

	__builtin_memcpy(ip, word, sizeof(word));
	ip->saddr = source;
	ip->daddr = destination;
	ip->check = challenge_fold(sum + word[0] + word[1] + word[2]);
	return sum;
}

static __always_inline __u64 challenge_sum_v6(const struct in6_addr *address)
{
	const __be32 *words = address->s6_addr32;

	return (__u64)words[0] + words[1] + words[2] + words[3];
}

static __always_inline __u64 challenge_turn_v6(struct ipv6hdr *ip, __u32 words)
{
	const __be32 word[] = {bpf_htonl(0x60000000),
			       bpf_htonl(words * 4 << 16 | IPPROTO_TCP << 8 | CHALLENGE_HOPS)};
	const struct in6_addr source = ip->daddr, destination = ip->saddr;

	__builtin_memcpy(ip, word, sizeof(word));
	ip->saddr = source;
	ip->daddr = destination;
	return challenge_sum_v6(&source) + challenge_sum_v6(&destination);
}

/* Turn the frame into the answer. Returns THR_REASON_CHALLENGED. */
__noinline int challenge_turn(struct xdp_md *ctx, __u32 at, bool is_v6,
			      struct challenge_reply *reply)
{
	struct parse_ethernet *ethernet = challenge_at(ctx, 0, sizeof(*ethernet));
	struct ipv6hdr *v6;
	struct iphdr *v4;
	__u32 size;
	__u64 sum;

	if (!reply || !ethernet || ethernet->addresses[0] & 1)
		return THR_REASON_UNCHALLENGED;
	v6 = is_v6 ? challenge_at(ctx, at, sizeof(*v6)) : NULL;
	v4 = is_v6 ? NULL : challenge_at(ctx, at, sizeof(*v4));
	if (v6)
		sum = challenge_turn_v6(v6, reply->words);
	else if (v4)
		sum = challenge_turn_v4(v4, reply->words);
	else
		return THR_REASON_UNCHALLENGED;
	challenge_turn_ethernet(ethernet);
	challenge_seal(reply, sum);
	size = reply->words * 4;
	if (size < sizeof(struct tcphdr) || size > sizeof(reply->word) ||
	    bpf_xdp_store_bytes(ctx, at + challenge_header(is_v6), reply->word, size))
		return THR_REASON_UNCHALLENGED;
	return THR_REASON_CHALLENGED;
}

/* Have ACKs looked at for as long as the kernel takes the cookie. */
static __always_inline void challenge_extend(struct thr_live *live)
{
	__u64 tick = live->jiffy_ns ? live->jiffy_ns : CHALLENGE_JIFFY_NS;
	__u64 now = clock_jiffies(), until = live->challenged_until;

	if (until <= now || (until - now) * tick < CHALLENGE_COOKIE_NS)
		live->challenged_until = now + (CHALLENGE_COOKIE_NS + CHALLENGE_SLACK_NS) / tick;
}

/* Read the header of the SYN, which is `upper` into the frame. Returns its length, or 0
 * where the frame lies in several buffers. */
static __always_inline __u32 challenge_read(struct xdp_md *ctx, __u32 upper,
					    struct challenge_asked *syn)
{
	const struct tcphdr *tcp = challenge_at(ctx, upper, sizeof(*tcp));

	if (!tcp || bpf_xdp_get_buff_len(ctx) != challenge_linear(ctx))
		return 0;
	syn->header.source = tcp->source;
	syn->header.dest = tcp->dest;
	syn->header.seq = tcp->seq;
	syn->header.doff = sizeof(*syn) / 4;
	syn->header.syn = 1;
	syn->kind = CHALLENGE_MSS;
	syn->size = 4;
	return tcp->doff * 4;
}

/*
 * Answer a SYN in the place of the kernel. Returns THR_REASON_CHALLENGED with the frame
 * turned into the answer, 0 where the kernel knows the connection, or
 * THR_REASON_UNCHALLENGED.
 */
__noinline int challenge_answer(struct xdp_md *ctx, struct thr_live *live, __u64 place, bool is_v6)
{
	__u32 at = place & 0xff;
	__u32 upper = at + challenge_header(is_v6), length, room;
	struct challenge_reply reply = {.words = 5};
	struct challenge_options options = {};
	struct challenge_asked syn = {};
	int reason;

	if (!live || !challenge_is_plain(place, is_v6))
		return THR_REASON_UNCHALLENGED;
	length = challenge_read(ctx, upper, &syn);
	if (length < sizeof(struct tcphdr))
		return THR_REASON_UNCHALLENGED;
	reason = challenge_read_options(ctx, upper + sizeof(struct tcphdr),
					length - sizeof(struct tcphdr), &options);
	if (reason)
		return reason;
	syn.mss = bpf_htons(options.mss);
	reason = is_v6 ? challenge_ask_v6(ctx, at, &syn) : challenge_ask_v4(ctx, at, &syn);
	if (reason != THR_REASON_CHALLENGED)
		return reason;
	room = (bpf_xdp_get_buff_len(ctx) - upper - sizeof(struct tcphdr)) / 4;
	challenge_agree(&options, &live->offer, room);
	if (room)
		challenge_offer(&reply, &options, challenge_own_mss(ctx, is_v6),
				live->offer.window_scale);
	challenge_fill(&reply, &syn);
	challenge_extend(live);
	return challenge_turn(ctx, at, is_v6, &reply);
}

/* --- who completes it --- */

enum challenge_proof { CHALLENGE_NO_PROOF, CHALLENGE_COOKIE, CHALLENGE_CONNECTION };

/* What the socket that was found for a segment says of its source. A connection that is
 * half open says nothing: anybody's SYN makes one. */
static __always_inline int challenge_judge(struct bpf_sock *socket, void *ip, __u32 size,
					   struct tcphdr *tcp)
{
	switch (socket->state) {
	case BPF_TCP_LISTEN:
		return bpf_tcp_check_syncookie(socket, ip, size, tcp, sizeof(*tcp))
			       ? CHALLENGE_NO_PROOF
			       : CHALLENGE_COOKIE;
	case BPF_TCP_ESTABLISHED:
	case BPF_TCP_FIN_WAIT1:
	case BPF_TCP_FIN_WAIT2:
	case BPF_TCP_CLOSE_WAIT:
		return CHALLENGE_CONNECTION;
	default:
		return CHALLENGE_NO_PROOF;
	}
}

/* Whether the segment can prove anything: a reset or a SYN cannot. */
static __always_inline bool challenge_is_ack(const struct tcphdr *tcp)
{
	__u8 flags = ((const __u8 *)tcp)[13];

	return (flags & (PARSE_SYN | PARSE_RST | PARSE_ACK)) == PARSE_ACK;
}

__noinline int challenge_judge_v4(struct xdp_md *ctx, __u32 at)
{
	struct challenge_v4 *headers = challenge_at(ctx, at, sizeof(*headers));
	struct bpf_sock *socket;
	int proof;

	if (!headers || !challenge_is_ack(&headers->tcp))
		return CHALLENGE_NO_PROOF;
	socket = bpf_skc_lookup_tcp(ctx, challenge_tuple(headers), CHALLENGE_TUPLE_V4,
				    BPF_F_CURRENT_NETNS, 0);
	if (!socket)
		return CHALLENGE_NO_PROOF;
	proof = challenge_judge(socket, &headers->ip, sizeof(headers->ip), &headers->tcp);
	bpf_sk_release(socket);
	return proof;
}

__noinline int challenge_judge_v6(struct xdp_md *ctx, __u32 at)
{
	struct challenge_v6 *headers = challenge_at(ctx, at, sizeof(*headers));
	struct bpf_sock *socket;
	int proof;

	if (!headers || !challenge_is_ack(&headers->tcp))
		return CHALLENGE_NO_PROOF;
	socket = bpf_skc_lookup_tcp(ctx, challenge_tuple(headers), CHALLENGE_TUPLE_V6,
				    BPF_F_CURRENT_NETNS, 0);
	if (!socket)
		return CHALLENGE_NO_PROOF;
	proof = challenge_judge(socket, &headers->ip, sizeof(headers->ip), &headers->tcp);
	bpf_sk_release(socket);
	return proof;
}

/* Whether the port's service challenges. */
static __always_inline bool challenge_concerns(__u32 slot, __u32 port)
{
	__u32 group = slot * THR_PORT_GROUPS + port / 8;
	const struct thr_ports *ports = bpf_map_lookup_elem(&thr_ports, &group);
	const struct thr_service *service;
	__u32 key = slot * (THR_SERVICES_MAX + 1);

	key += ports ? ports->service[port % 8] : 0;
	service = bpf_map_lookup_elem(&thr_services, &key);
	return service && service->on_overload == THR_OVERLOAD_CHALLENGE;
}

/* Enter the source as verified from `now` on. */
static __always_inline void challenge_verify(struct thr_live *live, const struct thr_source_id *id,
					     __u64 now)
{
	const struct thr_expiry entry = {.until_ns = now + THR_VERIFIED_NS};

	if (live->verified_until_ns < entry.until_ns)
		live->verified_until_ns = entry.until_ns + CHALLENGE_SLACK_NS;
	bpf_map_update_elem(&thr_verified, id, &entry, BPF_ANY);
}

/*
 * Learn from a segment of `ask->source` that opens no connection whether the source is
 * verified; one that is, is asked again when half of its time is over. Returns whether
 * the segment completed a challenge.
 */
__noinline int challenge_learn(struct xdp_md *ctx, __u64 place, const struct ask *ask, __u32 slot)
{
	const __u32 zero = 0;
	struct thr_live *live = bpf_map_lookup_elem(&thr_config, &zero);
	const struct thr_expiry *known;
	struct thr_source_id id;
	__u64 now;
	int proof;

	if (!ask || !live || slot >= THR_SLOTS || !challenge_is_plain(place, ask->is_v6) ||
	    !challenge_concerns(slot, ask->port))
		return false;
	source_set_id(ask, &live->slot[slot], &id);
	now = clock_coarse_ns();
	known = bpf_map_lookup_elem(&thr_verified, &id);
	if (known && known->until_ns > now + THR_VERIFIED_NS / 2)
		return false;
	proof = ask->is_v6 ? challenge_judge_v6(ctx, place & 0xff)
			   : challenge_judge_v4(ctx, place & 0xff);
	if (proof == CHALLENGE_NO_PROOF)
		return false;
	challenge_verify(live, &id, now);
	return proof == CHALLENGE_COOKIE;
}

#endif
