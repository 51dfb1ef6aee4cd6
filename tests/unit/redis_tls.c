/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The Redis client by TLS: certificates made here, and a redis-server that asks for one. */
#include <errno.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "store/redis_tls.h"
#include "support/redis.h"
#include "support/run.h"

#define CALM_MS 5000

/* A CA, and certificates by it: a server's for localhost and 127.0.0.1, one for other names,
 * a client's. And another CA, which nobody has to do with. */
static const char make_certificates[] =
	"set -e; cd '%s'; exec 2>log\n"
	"key() { openssl ecparam -name prime256v1 -genkey -noout -out $1.key; }\n"
	"ca() { key $1; openssl req -x509 -new -key $1.key -subj /CN=$1 -days 2 -out $1.pem; }\n"
	"leaf() { key $1; openssl req -new -key $1.key -subj /CN=$1 -out $1.csr\n"
	"  echo \"$2\" >$1.ext\n"
	"  openssl x509 -req -in $1.csr -CA ca.pem -CAkey ca.key -CAcreateserial \\\n"
	"    -days ${3:-2} -extfile $1.ext -out $1.pem; }\n"
	"ca ca; ca other\n"
	"leaf server 'subjectAltName=DNS:localhost,IP:127.0.0.1'\n"
	"leaf elsewhere 'subjectAltName=DNS:elsewhere.example,DNS:*.localhost'\n"
	"leaf client 'extendedKeyUsage=clientAuth'\n"
	"openssl ec -in client.key -aes128 -passout pass:secret -out locked.key\n"
	"leaf expired 'subjectAltName=DNS:localhost' -1\n"
	"sed 's/^MI/@@/' ca.pem >damaged.pem; cat ca.pem damaged.pem >partly.pem\n"
	"cat client.pem damaged.pem >chain.pem\n";

static struct {
	char folder[64], port[8];
	char *ca, *other, *certificate, *key, *other_key, *locked_key, *partly, *chain;
	struct redis_server server;
} ours;

static char *read_pem(const char *name)
{
	char path[128], *text = calloc(1, 65536);
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", ours.folder, name);
	file = fopen(path, "r");
	assert_non_null(file);
	assert_non_null(text);
	assert_true(fread(text, 1, 65535, file) > 0);
	fclose(file);
	return text;
}

/* `protocols`: NULL for those that it has by itself. */
static void begin_server(struct redis_server *server, const char *name, const char *port,
			 const char *protocols)
{
	char certificate[96], key[96], ca[96];
	const char *const options[] = {"--bind",
				       "127.0.0.1",
				       "127.0.0.2",
				       "--tls-port",
				       port,
				       "--tls-cert-file",
				       certificate,
				       "--tls-key-file",
				       key,
				       "--tls-ca-cert-file",
				       ca,
				       "--tls-protocols",
				       protocols ? protocols : "TLSv1.2 TLSv1.3",
				       NULL};

	snprintf(certificate, sizeof(certificate), "%s/%s.pem", ours.folder, name);
	snprintf(key, sizeof(key), "%s/%s.key", ours.folder, name);
	snprintf(ca, sizeof(ca), "%s/ca.pem", ours.folder);
	server_begin(server, options);
}

static int set_up(void **state)
{
	char command[2048];

	(void)state;
	strcpy(ours.folder, "/tmp/xdp-throttle-tls.XXXXXX");
	assert_non_null(mkdtemp(ours.folder));
	snprintf(command, sizeof(command), make_certificates, ours.folder);
	assert_int_equal(system(command), 0);
	ours.ca = read_pem("ca.pem");
	ours.other = read_pem("other.pem");
	ours.certificate = read_pem("client.pem");
	ours.key = read_pem("client.key");
	ours.other_key = read_pem("other.key");
	ours.locked_key = read_pem("locked.key");
	ours.partly = read_pem("partly.pem");
	ours.chain = read_pem("chain.pem");
	snprintf(ours.port, sizeof(ours.port), "%u", free_port());
	begin_server(&ours.server, "server", ours.port, NULL);
	return 0;
}

static int tear_down(void **state)
{
	char command[128];

	(void)state;
	server_end(&ours.server);
	free(ours.ca);
	free(ours.other);
	free(ours.certificate);
	free(ours.key);
	free(ours.other_key);
	free(ours.locked_key);
	free(ours.partly);
	free(ours.chain);
	snprintf(command, sizeof(command), "rm -rf '%s'", ours.folder);
	return system(command);
}

static struct thr_redis_settings by_tls(const char *host)
{
	return (struct thr_redis_settings){
		.host = (char *)(uintptr_t)host,
		.port = (uint16_t)atoi(ours.port),
		.tls = true,
		.deadline_ms = CALM_MS,
		.failures = 3,
		.ca = ours.ca,
		.certificate = ours.certificate,
		.key = ours.key,
	};
}

static void a_certificate_may_be_for_a_name_or_an_address(void **state)
{
	static const char *const hosts[] = {"localhost", "127.0.0.1"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
		struct thr_redis_settings settings = by_tls(hosts[i]);
		struct redis_client client;

		client_begin(&client, &settings);
		client_expect(&client, "k", "x");
		assert_int_equal(client.bad, 0);
		client_end(&client);
	}
}

static void much_goes_both_ways(void **state)
{
	static char megabyte[(1 << 20) + 1];
	static struct redis_call calls[3];
	struct thr_redis_settings settings = by_tls("localhost");
	struct redis_client client;

	(void)state;
	memset(megabyte, 'x', sizeof(megabyte) - 1);
	client_begin(&client, &settings);
	client_expect(&client, "k", "x");
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
		assert_int_equal(client_call(&client, &calls[i], SCRIPT_ECHO, "k", megabyte), 0);
	client_until(&client, &calls[2].is_over);
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
		assert_int_equal(strspn(calls[i].text, "x"), sizeof(calls[i].text) - 1);
	client_end(&client);
}

/* The first call fails, and the reason that is told has this in it. */
static void expect_refused(const struct thr_redis_settings *settings, const char *reason)
{
	struct redis_client client;
	struct redis_call call;

	client_begin(&client, settings);
	assert_int_equal(client_call(&client, &call, SCRIPT_ECHO, "k", "x"), 0);
	client_until(&client, &call.is_over);
	assert_false(call.is_answered);
	while (!client.bad)
		client_turn(&client);
	if (!strstr(client.told, reason))
		fail_msg("%s", client.told);
	assert_int_equal(client_call(&client, &call, SCRIPT_ECHO, "k", "x"), -ENOTCONN);
	client_end(&client);
}

static void a_certificate_for_another_host_is_refused(void **state)
{
	struct thr_redis_settings settings = by_tls("127.0.0.2");
	struct redis_server server;
	char port[8];

	(void)state;
	expect_refused(&settings, ": TLS: its certificate is refused: IP address mismatch: not");
	snprintf(port, sizeof(port), "%u", free_port());
	begin_server(&server, "elsewhere", port, NULL);
	settings = by_tls("localhost");
	settings.port = (uint16_t)atoi(port);
	expect_refused(&settings, ": TLS: its certificate is refused: hostname mismatch: not");
	server_end(&server);
}

static void a_certificate_that_has_expired_is_refused(void **state)
{
	struct thr_redis_settings settings = by_tls("localhost");
	struct redis_server server;
	char port[8];

	(void)state;
	settings.port = free_port();
	snprintf(port, sizeof(port), "%u", settings.port);
	begin_server(&server, "expired", port, NULL);
	expect_refused(&settings,
		       ": TLS: its certificate is refused: certificate has expired: not");
	server_end(&server);
}

static void a_server_may_know_no_more_than_tls_1_2(void **state)
{
	struct thr_redis_settings settings = by_tls("localhost");
	struct redis_server server;
	struct redis_client client;
	char port[8];

	(void)state;
	settings.port = free_port();
	snprintf(port, sizeof(port), "%u", settings.port);
	begin_server(&server, "server", port, "TLSv1.2");
	client_begin(&client, &settings);
	client_expect(&client, "k", "x");
	client_end(&client);
	settings.certificate = settings.key = NULL;
	expect_refused(&settings, "TLS: ");
	server_end(&server);
}

static void a_certificate_of_another_authority_is_refused(void **state)
{
	struct thr_redis_settings settings = by_tls("localhost");

	(void)state;
	settings.ca = ours.other;
	expect_refused(&settings, "TLS: its certificate is refused: ");
	settings.ca = NULL;
	expect_refused(&settings, "TLS: its certificate is refused: ");
}

static void a_server_that_asks_for_a_certificate_gets_one(void **state)
{
	struct thr_redis_settings settings = by_tls("localhost");

	(void)state;
	settings.certificate = settings.key = NULL;
	expect_refused(&settings, "TLS: tlsv13 alert certificate required");
}

static void a_server_without_tls_is_refused(void **state)
{
	struct redis_server server;
	struct thr_redis_settings settings = by_tls("localhost");
	char port[8];
	const char *const options[] = {"--port", port, NULL};

	(void)state;
	settings.port = free_port();
	snprintf(port, sizeof(port), "%u", settings.port);
	server_begin(&server, options);
	/* It waits for the end of a line in what it takes for a command. */
	settings.deadline_ms = 50;
	expect_refused(&settings, ": no connection to it in time: not asked until it answers");
	server_end(&server);
}

static void files_that_are_no_pem_are_refused_with_their_key(void **state)
{
	static char nonsense[] = "-----BEGIN NONSENSE-----\n";
	const struct {
		char *ca, *certificate, *key;
		const char *error;
	} cases[] = {
		{nonsense, ours.certificate, ours.key, "store.redis.ca_file: no certificate"},
		{ours.ca, nonsense, ours.key, "store.redis.cert_file: no certificate"},
		{ours.ca, ours.certificate, nonsense, "store.redis.key_file: no key"},
		{ours.ca, ours.certificate, ours.other_key, "store.redis.key_file: not the key of"},
		{ours.ca, ours.certificate, ours.locked_key,
		 "store.redis.key_file: no key in it: "},
		{ours.partly, ours.certificate, ours.key, "store.redis.ca_file: no certificate"},
		{ours.ca, ours.chain, ours.key, "store.redis.cert_file: no certificate"},
	};
	struct thr_redis_events events = {NULL, NULL};
	struct thr_redis_counts counts = {NULL, NULL, NULL, NULL};
	struct thr_loop *loop;

	(void)state;
	assert_int_equal(thr_loop_new(&loop), 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct thr_redis_settings settings = by_tls("localhost");
		struct thr_redis *redis = NULL;
		struct thr_error error = {""};

		settings.ca = cases[i].ca;
		settings.certificate = cases[i].certificate;
		settings.key = cases[i].key;
		assert_int_equal(thr_redis_new(loop, NULL, &settings, NULL, 0, &events, &counts,
					       &redis, &error),
				 -EINVAL);
		assert_null(redis);
		if (strncmp(error.text, cases[i].error, strlen(cases[i].error)) != 0)
			fail_msg("%s", error.text);
	}
	thr_loop_free(loop);
}

/* Shake hands with the server by a socket that blocks. */
static int shake(const char *host, char why[static THR_REDIS_WHY])
{
	const struct sockaddr_in to = {.sin_family = AF_INET,
				       .sin_port = htons((uint16_t)atoi(ours.port)),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct thr_redis_settings settings = by_tls(host);
	int fd = socket(AF_INET, SOCK_STREAM, 0), r;
	struct thr_buffer out = {0};
	struct thr_redis_tls *tls;
	char bytes[4096];
	SSL_CTX *context;
	ssize_t got = 1;

	assert_int_equal(thr_redis_tls_context(&settings, &context, NULL), 0);
	assert_int_equal(thr_redis_tls_new(context, host, &tls), 0);
	assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof(to)), 0);
	while ((r = thr_redis_tls_shake(tls, why)) == 0 && got > 0) {
		assert_int_equal(thr_redis_tls_drain(tls, &out), 0);
		assert_true(send(fd, thr_buffer_bytes(&out), thr_buffer_length(&out), 0) >= 0);
		thr_buffer_clear(&out);
		got = recv(fd, bytes, sizeof(bytes), 0);
		assert_int_equal(thr_redis_tls_feed(tls, bytes, (size_t)got), 0);
	}
	thr_buffer_clear(&out);
	thr_redis_tls_free(tls);
	SSL_CTX_free(context);
	close(fd);
	return r;
}

static void a_name_may_end_with_a_dot(void **state)
{
	char why[THR_REDIS_WHY] = "";

	(void)state;
	if (shake("localhost.", why) != 1)
		fail_msg("%s", why);
	assert_int_equal(shake("localhost..", why), -EPROTO);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_certificate_may_be_for_a_name_or_an_address),
		cmocka_unit_test(much_goes_both_ways),
		cmocka_unit_test(a_certificate_for_another_host_is_refused),
		cmocka_unit_test(a_certificate_of_another_authority_is_refused),
		cmocka_unit_test(a_certificate_that_has_expired_is_refused),
		cmocka_unit_test(a_server_may_know_no_more_than_tls_1_2),
		cmocka_unit_test(a_name_may_end_with_a_dot),
		cmocka_unit_test(a_server_that_asks_for_a_certificate_gets_one),
		cmocka_unit_test(a_server_without_tls_is_refused),
		cmocka_unit_test(files_that_are_no_pem_are_refused_with_their_key),
	};

	thr_run_prepare(argc, argv);
	return cmocka_run_group_tests(tests, set_up, tear_down) != 0;
}
