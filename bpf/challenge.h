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
 * The frame keeps its length, so what is left of a longer SYN stays as padding. Since
 * Linux 6.13 a program that may resize frames gets no place in a dispatcher of libxdp,
 * unless that is of 2025 or later (xdp-tools, pull request 509). The answer offers nothing
 * that the SYN did not, and so has room, but for a SYN without an MSS: then our MSS is
 * left out too, and the client assumes 536 bytes (RFC 9293 3.7.1).
 *
 * What is not answered is dropped as UNCHALLENGED: no listener, or it is full; no
 * cookies (tcp_syncookies = 0, or 1 while there is no overflow); IPv4 options, IPv6
 * extension headers, fragments, frames in several buffers; TCP-MD5 and TCP-AO, whose key
 * we lack; addresses that no connection has, and those that the kernel would forward. A
 * SYN for a connection that the kernel has passes to it.
 *
 * What lies between here and the listener never sees the SYN. Connection tracking takes
 * the ACK for a connection that it missed the beginning of (nf_conntrack_tcp_loose), but a
 * rule that lets only SYNs begin one drops it; and where the port is redirected to another
 * machine or container (DNAT), the listener here is not the one that is meant. A bridge
 * has frames that are not for it, and a card that strips VLAN tags has the answer go out
 * without one. None of these should challenge.
 *
 * What an attacker gets out of it. Answers to the address that it pretends to have: one
 * for each SYN, no longer than that, and no more than the address may open connections,
 * since the SYN stays charged; but without end where the address shares a cell that is
 * over and can have no bucket of its own (limit.h), as the kernel would answer too.
 * Whoever saw a cookie can send its ACK again until it expires, from 1 to 2 minutes: with
 * a reset between, each opens a connection. So a returned cookie is charged like a SYN, to
 * a bucket of its own with twice the burst, as long as challenges go on. Of a source that
 * is verified one tick in eight is looked at; who is caught there is verified no longer.
 * Later on nobody looks, and the kernel takes such ACKs, as with SYN cookies in general. A
 * guessed cookie is right once in 2^29 times.
 * Verified is only who returned a cookie, or has a connection that the kernel holds to be
 * open.
 *
 * The functions that are not inline are global: the verifier proves each once, by itself;
 * hence the checks of arguments and of where headers lie.
 */
#ifndef THR_CHALLENGE_H
#define THR_CHALLENGE_H

/* How long the kernel takes a cookie, in ns: MAX_SYNCOOKIE_AGE minutes. And by how much
 * longer ACKs are looked at, so that this is written once a second. */
#define CHALLENGE_COOKIE_NS 120000000000ULL
#define CHALLENGE_SLACK_NS 1000000000ULL

/* How long a source that returned a cookie too often is not verified again. */
#define CHALLENGE_SHUT_NS 60000000000ULL

/* A tick where its length is not known: shorter than any, so that it lasts longer. */
#define CHALLENGE_JIFFY_NS 500000ULL

#define CHALLENGE_AF_INET 2
#define CHALLENGE_AF_INET6 10

/* Whether an ACK may answer a challenge. */
static __always_inline bool challenge_is_on(const struct thr_live *live)
{
	return clock_jiffies() < live->challenged_until;
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
	return place >> 8 == synack_header(is_v6);
}

/* What a socket is looked up by, as it lies in the packet. */
#define challenge_tuple(headers) ((struct bpf_sock_tuple *)&(headers)->ip.saddr)
#define CHALLENGE_TUPLE_V4 sizeof(((struct bpf_sock_tuple *)NULL)->ipv4)
#define CHALLENGE_TUPLE_V6 sizeof(((struct bpf_sock_tuple *)NULL)->ipv6)

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
					 struct synack_asked *syn)
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

__noinline int challenge_ask_v4(struct xdp_md *ctx, __u32 at, struct synack_asked *syn)
{
	struct bpf_fib_lookup way = {.family = CHALLENGE_AF_INET};
	struct synack_v4 *headers;
	struct bpf_sock *socket;
	bool is_anybodys;
	int reason;

	if (!syn)
		return THR_REASON_UNCHALLENGED;
	headers = synack_at(ctx, at, sizeof(*headers));
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

__noinline int challenge_ask_v6(struct xdp_md *ctx, __u32 at, struct synack_asked *syn)
{
	struct bpf_fib_lookup way = {.family = CHALLENGE_AF_INET6};
	struct synack_v6 *headers;
	struct bpf_sock *socket;
	bool is_anybodys;
	int reason;

	if (!syn)
		return THR_REASON_UNCHALLENGED;
	headers = synack_at(ctx, at, sizeof(*headers));
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
					    struct synack_asked *syn)
{
	const struct tcphdr *tcp = synack_at(ctx, upper, sizeof(*tcp));

	if (!tcp || bpf_xdp_get_buff_len(ctx) != synack_linear(ctx))
		return 0;
	syn->header.source = tcp->source;
	syn->header.dest = tcp->dest;
	syn->header.seq = tcp->seq;
	syn->header.doff = sizeof(*syn) / 4;
	syn->header.syn = 1;
	syn->kind = SYNACK_MSS;
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
	__u32 upper = at + synack_header(is_v6), length, room;
	struct synack_reply reply = {.words = 5};
	struct synack_options options = {};
	struct synack_asked syn = {};
	int reason;

	if (!live || !challenge_is_plain(place, is_v6))
		return THR_REASON_UNCHALLENGED;
	length = challenge_read(ctx, upper, &syn);
	if (length < sizeof(struct tcphdr))
		return THR_REASON_UNCHALLENGED;
	reason = synack_read_options(ctx, upper + sizeof(struct tcphdr),
				     length - sizeof(struct tcphdr), &options);
	if (reason)
		return reason;
	syn.mss = bpf_htons(options.mss);
	reason = is_v6 ? challenge_ask_v6(ctx, at, &syn) : challenge_ask_v4(ctx, at, &syn);
	if (reason != THR_REASON_CHALLENGED)
		return reason;
	room = (bpf_xdp_get_buff_len(ctx) - upper - sizeof(struct tcphdr)) / 4;
	synack_agree(&options, &live->offer, room);
	if (room)
		synack_offer(&reply, &options, synack_own_mss(ctx, is_v6),
			     live->offer.window_scale);
	synack_fill(&reply, &syn);
	challenge_extend(live);
	return synack_turn(ctx, at, is_v6, &reply);
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
	struct synack_v4 *headers = synack_at(ctx, at, sizeof(*headers));
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
	struct synack_v6 *headers = synack_at(ctx, at, sizeof(*headers));
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

/* Whether a verified source's segments are looked at in this tick: in one of eight, which
 * only the seed knows. */
static __always_inline bool challenge_is_checked(const struct thr_live *live)
{
	return clock_jiffies() * live->seed[0] >> 61 == 0;
}

/* Enter the source as verified from `now` on, but not within a minute after
 * challenge_settle() ended its last time. */
static __always_inline void challenge_verify(struct thr_live *live, const struct thr_source_id *id,
					     const struct thr_expiry *known, __u64 now)
{
	const struct thr_expiry entry = {.until_ns = (now + THR_VERIFIED_NS) & ~THR_EXPIRY_ENDED};

	if (known && known->until_ns & THR_EXPIRY_ENDED && known->until_ns <= now &&
	    now - known->until_ns < CHALLENGE_SHUT_NS)
		return;
	if (live->verified_until_ns < entry.until_ns)
		live->verified_until_ns = entry.until_ns + CHALLENGE_SLACK_NS;
	bpf_map_update_elem(&thr_verified, id, &entry, BPF_ANY);
}

/* What a segment does: returns a cookie of a verified source, or one that verifies. */
enum challenge_lesson { CHALLENGE_NOTHING, CHALLENGE_RETURNED, CHALLENGE_COMPLETED };

/*
 * Learn from a segment of `ask->source` that opens no connection. A connection that the
 * kernel has verifies its source; one that is verified is asked again when half of its
 * time is over. Returns enum challenge_lesson; challenge_settle() comes after a cookie.
 */
__noinline int challenge_learn(struct xdp_md *ctx, __u64 place, const struct ask *ask, __u32 slot)
{
	const __u32 zero = 0;
	struct thr_live *live = bpf_map_lookup_elem(&thr_config, &zero);
	const struct thr_expiry *known;
	struct thr_source_id id;
	bool is_fresh;
	__u64 now;
	int proof;

	if (!ask || !live || slot >= THR_SLOTS || !challenge_is_plain(place, ask->is_v6) ||
	    !challenge_concerns(slot, ask->port))
		return CHALLENGE_NOTHING;
	source_set_id(ask, &live->slot[slot], &id);
	now = clock_coarse_ns();
	known = bpf_map_lookup_elem(&thr_verified, &id);
	is_fresh = known && known->until_ns > now + THR_VERIFIED_NS / 2;
	if (is_fresh && !challenge_is_checked(live))
		return CHALLENGE_NOTHING;
	proof = ask->is_v6 ? challenge_judge_v6(ctx, place & 0xff)
			   : challenge_judge_v4(ctx, place & 0xff);
	if (proof == CHALLENGE_CONNECTION && !is_fresh)
		challenge_verify(live, &id, known, now);
	if (proof != CHALLENGE_COOKIE)
		return CHALLENGE_NOTHING;
	return is_fresh ? CHALLENGE_RETURNED : CHALLENGE_COMPLETED;
}

/*
 * A cookie was returned, and the ladder came to `reason`. Where that is 0, the source is
 * verified. Where the source is over its limit, though the SYN was not, it returned one
 * again, and is verified no longer: each of its segments is looked at from now on.
 */
__noinline int challenge_settle(const struct ask *ask, __u32 slot, int reason)
{
	const __u32 zero = 0;
	struct thr_live *live = bpf_map_lookup_elem(&thr_config, &zero);
	struct thr_expiry *known;
	struct thr_source_id id;
	__u64 now = clock_coarse_ns();

	if (!ask || !live || slot >= THR_SLOTS)
		return 0;
	source_set_id(ask, &live->slot[slot], &id);
	known = bpf_map_lookup_elem(&thr_verified, &id);
	if (!reason)
		challenge_verify(live, &id, known, now);
	else if (reason == THR_REASON_OVER_CONNECTIONS && known && known->until_ns > now)
		known->until_ns = (now - 1) | THR_EXPIRY_ENDED;
	return 0;
}

#endif
