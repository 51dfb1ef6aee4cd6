/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A bounded packet generator: sends SYNs, ACKs or UDP datagrams from one source
 * or from millions out of one end of a veth pair, at millions a second from one
 * core. For the demo, the benches and the tests; it sends only out of the
 * interface that it is given, in the network namespace that it runs in.
 *
 *   nsenter --net=/run/netns/NAME flood --dev IF --seconds 2 \
 *           --base 198.18.0.0 --sources 4096 --dst 10.0.0.1 --dst-mac MAC --dport 80
 *
 * How: the kernel runs flood.bpf.c over its own pages and redirects each out of
 * the interface (BPF_F_TEST_XDP_LIVE_FRAMES, Linux 5.18), so no packet costs a
 * system call or an allocation.
 *
 * What the other end needs: veth takes redirected frames only while its peer
 * polls with NAPI, which it does once an XDP program is attached to the peer
 * (any, in native mode) or GRO is on there (`ethtool -K PEER gro on`).
 * Otherwise the kernel discards every frame without an error; the generator
 * notices, because it reports what the interface has counted as sent, and says
 * so. veth hands frames over on the CPU that sends them, so the generator stays on
 * one: sender and receiver share it, in lockstep, and no queue overflows between
 * them. The time a packet is that of both.
 *
 * A spoofed source gets answers: the receiver should have a route for the range
 * (198.18.0.0/15 is set apart for this, RFC 2544) and a neighbor entry.
 */
#include <errno.h>
#include <ifaddrs.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "core/cleanup.h"
#include "lib/frame.h"
#include "lib/tool.h"
#include "tools/flood.skel.h"

/* Frames in one system call. A call takes about 25 ms to begin (the kernel
 * patches the program into its dispatcher), so one should do for a run: this
 * many last for more than a minute. A signal ends the call. */
#define FRAMES_PER_CALL (1ULL << 30)
#define MARKS_SUFFICE 10000 /* packets */
#define SOURCES_MAX (1U << 24)
#define SCATTER_MAX (1U << 31)
#define RATE_MAX 100000000ULL
#define NONE UINT64_MAX

struct options {
	const char *dev;
	uint64_t count;
	uint64_t duration_ns;
	uint64_t start_ns;
	uint64_t rate; /* packets a second; 0: as fast as it goes */
	uint64_t sources;
	uint64_t heavy; /* one packet of so many comes from below the sources; 0: none */
	bool is_random;
	uint64_t scatter; /* the first source's place in the list; NONE: it counts from its base */
	bool json;
	uint16_t ports[16];
	uint32_t port_count;
	uint64_t cpu; /* to run on; NONE: where it happens to be */
	struct frame_spec spec;
};

static const char usage[] =
	"usage: flood --dev IF (--count N | --seconds S) --dst ADDR --dst-mac MAC [option ...]\n"
	"  --dev IF          interface to send out of, in this network namespace\n"
	"  --count N         packets to send, and/or\n"
	"  --seconds S       time to send for; 60 s end every run\n"
	"  --at UPTIME       when to begin, by /proc/uptime (default: now)\n"
	"  --rate PPS        packets a second (default: as fast as it goes)\n"
	"  --base ADDR       first source address (default 198.18.0.1 or 2001:db8::1)\n"
	"  --sources N       sources counted from there, 1 to 2^24 (default 1); IPv6: one a /64\n"
	"  --random          draw the source instead of going round\n"
	"  --heavy N         one packet of N comes from the address (IPv6: /64) below --base\n"
	"  --scatter N       IPv4: sources from all over 64.0.0.0 to 193.255.255.255, from place\n"
	"                    N of a fixed list on, 0 to 2^31; --base then has no say\n"
	"  --dst ADDR        destination address\n"
	"  --dst-mac MAC     and its Ethernet address\n"
	"  --dport P[,P..]   destination ports, in turn, up to 16 (default 80)\n"
	"  --kind KIND       syn (default), ack or udp\n"
	"  --cpu N           CPU to send from\n"
	"  --json            print the result as JSON\n";

static void parse_ports(const char *text, struct options *options)
{
	char *copy AUTO_FREE = strdup(text);
	char *rest = copy;

	options->port_count = 0;
	for (char *port; (port = strsep(&rest, ","));) {
		if (options->port_count == sizeof(options->ports) / sizeof(*options->ports))
			tool_usage("--dport %s: at most 16 ports", text);
		options->ports[options->port_count++] =
			(uint16_t)tool_number("--dport", port, 0, UINT16_MAX);
	}
}

static void parse_address(const char *option, const char *text, struct frame_address *ret_address)
{
	if (!frame_parse_address(text, ret_address))
		tool_usage("%s %s: want an IPv4 or IPv6 address", option, text);
}

static void parse_frame(const char *mac, const char *kind, struct frame_spec *spec)
{
	if (!frame_parse_mac(mac, spec->destination_mac))
		tool_usage("--dst-mac %s: want six pairs of hexadecimal digits", mac);
	if (!frame_parse_kind(kind, &spec->kind))
		tool_usage("--kind %s: want syn, ack or udp", kind);
}

static void parse_options(int argc, char **argv, struct options *options)
{
	const char *base = NULL, *destination = NULL, *mac = NULL, *ports = "80", *kind = "syn";
	struct frame_spec *spec = &options->spec;
	const struct tool_option known[] = {
		{"--dev", .text = &options->dev},
		{"--count", .number = &options->count, .min = 1, .max = UINT64_MAX},
		{"--seconds", .seconds_ns = &options->duration_ns},
		{"--at", .uptime_ns = &options->start_ns},
		{"--rate", .number = &options->rate, .min = 1, .max = RATE_MAX},
		{"--base", .text = &base},
		{"--sources", .number = &options->sources, .min = 1, .max = SOURCES_MAX},
		{"--random", .flag = &options->is_random},
		{"--heavy", .number = &options->heavy, .min = 1, .max = UINT32_MAX},
		{"--scatter", .number = &options->scatter, .max = SCATTER_MAX},
		{"--dst", .text = &destination},
		{"--dst-mac", .text = &mac},
		{"--dport", .text = &ports},
		{"--kind", .text = &kind},
		{"--cpu", .number = &options->cpu, .max = CPU_SETSIZE - 1},
		{"--json", .flag = &options->json},
		{0},
	};

	tool_options(argc, argv, known, usage);
	if (!options->dev || !destination || !mac)
		tool_usage("--dev, --dst and --dst-mac are needed; see --help");
	if (!options->count && !options->duration_ns)
		tool_usage("--count or --seconds is needed: a flood must have an end");
	if (!options->duration_ns)
		options->duration_ns = TOOL_SECONDS_MAX * TOOL_NS_PER_S;
	if (!options->count)
		options->count = UINT64_MAX;
	parse_ports(ports, options);
	parse_frame(mac, kind, spec);
	parse_address("--dst", destination, &spec->destination);
	if (!base)
		base = spec->destination.is_v6 ? "2001:db8::1" : "198.18.0.1";
	parse_address("--base", base, &spec->source);
	if (spec->source.is_v6 != spec->destination.is_v6)
		tool_usage("--base and --dst must be of one family");
	if (options->scatter != NONE && spec->source.is_v6)
		tool_usage("--scatter: want an IPv4 destination");
}

/* --- the interface --- */

static void read_mac(const char *dev, uint8_t ret_mac[static 6])
{
	int fd AUTO_CLOSE = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = {};

	strncpy(request.ifr_name, dev, sizeof(request.ifr_name) - 1);
	if (fd < 0 || ioctl(fd, SIOCGIFHWADDR, &request) < 0)
		tool_die("%s: cannot read its Ethernet address: %s", dev, strerror(errno));
	memcpy(ret_mac, request.ifr_hwaddr.sa_data, 6);
}

/* Packets that the interface counts as sent; 32 bits, which hold for a run. */
static uint32_t read_sent(const char *dev)
{
	struct ifaddrs *list;
	uint32_t sent = 0;

	if (getifaddrs(&list) < 0)
		tool_die("%s: cannot read its counters: %s", dev, strerror(errno));
	for (const struct ifaddrs *at = list; at; at = at->ifa_next)
		if (at->ifa_addr && at->ifa_addr->sa_family == AF_PACKET && at->ifa_data &&
		    !strcmp(at->ifa_name, dev))
			sent = ((const struct rtnl_link_stats *)at->ifa_data)->tx_packets;
	freeifaddrs(list);
	return sent;
}

/* What was sent since `before`: waits, up to 100 ms, for a receiver that has
 * `offered` packets to work through. */
static uint32_t settle_sent(const char *dev, uint32_t before, uint64_t offered)
{
	uint64_t start = tool_now_ns();
	uint32_t sent = read_sent(dev) - before;

	for (int i = 1; i <= 20 && sent < offered; i++) {
		tool_sleep_until(start + i * 5 * TOOL_NS_PER_MS);
		sent = read_sent(dev) - before;
	}
	return sent < offered ? sent : (uint32_t)offered;
}

/* --- the flood --- */

static void stay_on_cpu(uint64_t wanted)
{
	int cpu = wanted == NONE ? sched_getcpu() : (int)wanted;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		tool_die("cannot stay on CPU %d: %s", cpu, strerror(errno));
}

static struct flood_bpf *load(const struct options *options)
{
	struct flood_bpf *skeleton = flood_bpf__open();
	bool is_scattered = options->scatter != NONE;
	uint32_t word;

	if (!skeleton)
		tool_die("cannot open the generator's program: %s", strerror(errno));
	memcpy(&word, options->spec.source.bytes + (options->spec.source.is_v6 ? 4 : 0), 4);
	skeleton->rodata->flood_settings.ifindex = if_nametoindex(options->dev);
	skeleton->rodata->flood_settings.first_source =
		is_scattered ? (uint32_t)options->scatter : be32toh(word);
	skeleton->rodata->flood_settings.is_scattered = is_scattered;
	skeleton->rodata->flood_settings.source_count = (uint32_t)options->sources;
	skeleton->rodata->flood_settings.port_count = options->port_count;
	memcpy((void *)skeleton->rodata->flood_settings.ports, options->ports,
	       sizeof(options->ports));
	skeleton->rodata->flood_settings.is_v6 = options->spec.source.is_v6;
	skeleton->rodata->flood_settings.is_udp = options->spec.kind == FRAME_UDP;
	skeleton->rodata->flood_settings.is_random = options->is_random;
	if (options->rate)
		skeleton->rodata->flood_settings.interval = (TOOL_NS_PER_S << 8) / options->rate;
	skeleton->rodata->flood_settings.limit = options->count;
	skeleton->rodata->flood_settings.heavy = (uint32_t)options->heavy;
	if (flood_bpf__load(skeleton))
		tool_die("cannot load the generator's program: %s (root, Linux 5.18 or later?)",
			 strerror(errno));
	return skeleton;
}

/* From the start on the time counts. A pace keeps to it by itself, so that the call is
 * under way by then. */
static void begin(const struct options *options, struct flood_bpf *skeleton)
{
	uint64_t now = tool_now_ns(), wait_ns = 0;

	if (options->start_ns > now && options->rate)
		wait_ns = options->start_ns - now;
	else
		tool_sleep_until(options->start_ns);
	skeleton->bss->flood_due = options->rate ? options->start_ns << 8 : 0;
	tool_stop_after(wait_ns + options->duration_ns);
}

/*
 * Send until the count is reached, or tool_stopped. Returns the time from the
 * first packet to the last: without what the system call takes to begin and to
 * end, so by the program's own marks, which may be 63 packets old where there is
 * no pace. For a run too short for that to be nothing, the end is the call's.
 */
static uint64_t run(const struct options *options, struct flood_bpf *skeleton)
{
	uint8_t frame[FRAME_MAX];
	size_t size = frame_build(&options->spec, frame);
	uint64_t left = options->count;

	memcpy(skeleton->bss->flood_template, frame, size);
	while (!tool_stopped && left) {
		uint64_t frames = options->rate || left > FRAMES_PER_CALL ? FRAMES_PER_CALL : left;
		LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = frame,
			    .data_size_in = (uint32_t)size, .repeat = (int)frames,
			    .flags = BPF_F_TEST_XDP_LIVE_FRAMES);
		int err = bpf_prog_test_run_opts(bpf_program__fd(skeleton->progs.flood), &run);

		if (err && err != -EINTR)
			tool_die("%s: the kernel refuses to send: %s", options->dev,
				 strerror(-err));
		left = options->count - skeleton->bss->flood_packets;
	}
	if (skeleton->bss->flood_packets < MARKS_SUFFICE)
		return tool_now_ns() - skeleton->bss->flood_started_ns;
	return skeleton->bss->flood_marked_ns - skeleton->bss->flood_started_ns;
}

struct result {
	uint64_t packets; /* that the interface took */
	uint64_t offered;
	uint64_t took_ns;
	uint64_t paused_ns; /* in pauses of over 10 ms: the pace is made up afterwards */
};

static void report(const struct options *options, const struct result *result)
{
	double seconds = (double)result->took_ns / TOOL_NS_PER_S;
	double ns = (double)result->took_ns / (double)result->packets;

	printf(options->json
		       ? "{\"packets\":%llu,\"seconds\":%.3f,\"ns_per_packet\":%.1f,"
			 "\"packets_per_second\":%.0f,\"offered\":%llu"
		       : "%llu packets in %.3f s: %.1f ns a packet, %.0f packets/s, %llu offered",
	       (unsigned long long)result->packets, seconds, ns, (double)result->packets / seconds,
	       (unsigned long long)result->offered);
	if (options->rate)
		printf(options->json ? ",\"paused_seconds\":%.3f" : ", paused for %.3f s",
		       (double)result->paused_ns / TOOL_NS_PER_S);
	puts(options->json ? "}" : "");
}

int main(int argc, char **argv)
{
	struct options options = {
		.sources = 1, .scatter = NONE, .cpu = NONE, .spec.source_port = 1024};
	struct flood_bpf *skeleton;
	struct result result;
	uint64_t offered;
	uint32_t before;

	parse_options(argc, argv, &options);
	options.spec.destination_port = options.ports[0];
	if (!if_nametoindex(options.dev))
		tool_die("%s: no such interface in this network namespace", options.dev);
	libbpf_set_print(NULL); /* the errors are told here, in one line */
	stay_on_cpu(options.cpu);
	read_mac(options.dev, options.spec.source_mac);
	skeleton = load(&options);
	before = read_sent(options.dev);
	begin(&options, skeleton);
	result.took_ns = run(&options, skeleton);
	result.paused_ns = skeleton->bss->flood_paused_ns;
	offered = result.offered = skeleton->bss->flood_packets;
	flood_bpf__destroy(skeleton);
	result.packets = settle_sent(options.dev, before, offered);
	if (offered && result.packets < offered / 100 + 1)
		tool_die("%s: took %llu of %llu packets: is it up, and has its peer an XDP program "
			 "or GRO on (ethtool -K PEER gro on)?",
			 options.dev, (unsigned long long)result.packets,
			 (unsigned long long)offered);
	if (!offered)
		tool_die("interrupted before the first packet");
	report(&options, &result);
	return 0;
}
