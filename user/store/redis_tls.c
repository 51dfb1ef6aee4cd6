/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* OpenSSL between two BIOs in memory; see redis_tls.h. Its queue of errors is the thread's:
 * it is emptied before each call whose failure is looked at. */
#include "store/redis_tls.h"

#include <errno.h>
#include <limits.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/address.h"
#include "core/cleanup.h"
#include "store/redis.h"

struct thr_redis_tls {
	SSL *ssl;
	BIO *in, *out; /* of ssl, which frees them */
};

/* --- the context --- */

static BIO *text_bio(const char *text)
{
	return BIO_new_mem_buf(text, -1);
}

/* No pass phrase is ever asked for on a terminal. */
static int no_pass_phrase(char *buffer, int size, int writing, void *context)
{
	(void)buffer, (void)size, (void)writing, (void)context;
	return -1;
}

/* The next certificate of a text: returns 1, 0 when there is no more, or -EINVAL: there is one
 * that cannot be read. To go on without it would be to trust or to show less than was written. */
static int next_certificate(BIO *bio, X509 **ret_certificate)
{
	X509 *certificate;

	ERR_clear_error();
	certificate = PEM_read_bio_X509(bio, NULL, no_pass_phrase, NULL);
	if (!certificate)
		return ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE ? 0 : -EINVAL;
	*ret_certificate = certificate;
	return 1;
}

static int use_ca(SSL_CTX *context, const char *pem, struct thr_error *error)
{
	X509_STORE *store = SSL_CTX_get_cert_store(context);
	X509 *certificate;
	int count = 0, r = 0;
	BIO *bio;

	if (!pem)
		return SSL_CTX_set_default_verify_paths(context) == 1
			       ? 0
			       : thr_fail(error, ENOMEM,
					  "store.redis: the system's certificates: %s",
					  strerror(ENOMEM));
	bio = text_bio(pem);
	while (bio && (r = next_certificate(bio, &certificate)) > 0) {
		count += X509_STORE_add_cert(store, certificate);
		X509_free(certificate);
	}
	BIO_free(bio);
	return count && !r ? 0
			   : thr_fail(error, EINVAL,
				      "store.redis.ca_file: no certificate in it, or one that is "
				      "damaged: PEM is what it must be");
}

/* Those after our own lead from it to an authority. */
static int add_chain(SSL_CTX *context, BIO *bio)
{
	X509 *next;
	int r;

	while ((r = next_certificate(bio, &next)) > 0) {
		if (SSL_CTX_add0_chain_cert(context, next) != 1) {
			X509_free(next);
			return -ENOMEM;
		}
	}
	return r;
}

static int use_certificate(SSL_CTX *context, const char *pem, struct thr_error *error)
{
	BIO *bio = text_bio(pem);
	X509 *own = bio ? PEM_read_bio_X509(bio, NULL, no_pass_phrase, NULL) : NULL;
	int r = -EINVAL;

	if (own && SSL_CTX_use_certificate(context, own) == 1)
		r = add_chain(context, bio);
	X509_free(own);
	BIO_free(bio);
	return r < 0 ? thr_fail(error, -r,
				"store.redis.cert_file: no certificate in it that can be used, or "
				"one that is damaged: PEM is what it must be")
		     : 0;
}

static int use_key(SSL_CTX *context, const char *pem, struct thr_error *error)
{
	BIO *bio = text_bio(pem);
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_pass_phrase, NULL) : NULL;
	int r = 0;

	BIO_free(bio);
	if (!key)
		return thr_fail(
			error, EINVAL,
			"store.redis.key_file: no key in it: PEM without a pass phrase is what "
			"it must be");
	if (SSL_CTX_use_PrivateKey(context, key) != 1 || SSL_CTX_check_private_key(context) != 1)
		r = thr_fail(error, EINVAL,
			     "store.redis.key_file: not the key of the certificate in cert_file");
	EVP_PKEY_free(key);
	return r;
}

int thr_redis_tls_context(const struct thr_redis_settings *settings, SSL_CTX **ret_context,
			  struct thr_error *error)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	int r;

	if (!context)
		return thr_fail(error, ENOMEM, "store.redis: TLS: %s", strerror(ENOMEM));
	SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
	r = use_ca(context, settings->ca, error);
	if (!r && settings->certificate)
		r = use_certificate(context, settings->certificate, error);
	if (!r && settings->key)
		r = use_key(context, settings->key, error);
	ERR_clear_error();
	if (r < 0) {
		SSL_CTX_free(context);
		return r;
	}
	*ret_context = context;
	return 0;
}

/* --- a connection --- */

/* Whom the certificate must be for, and for names what the server is told: without the dot that
 * says to a resolver that a name is complete, which neither has (RFC 6066, 3). */
static bool expect_host(SSL *ssl, const char *host)
{
	size_t length = strlen(host);
	AUTO_FREE char *name = NULL;
	struct thr_address address;

	if (thr_address_parse((struct thr_slice){host, length}, &address) == 0)
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
	name = strndup(host, length && host[length - 1] == '.' ? length - 1 : length);
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return name && SSL_set1_host(ssl, name) == 1 && SSL_set_tlsext_host_name(ssl, name) == 1;
}

int thr_redis_tls_new(SSL_CTX *context, const char *host, struct thr_redis_tls **ret_tls)
{
	struct thr_redis_tls *tls = calloc(1, sizeof(*tls));

	if (!tls)
		return -ENOMEM;
	tls->ssl = SSL_new(context);
	tls->in = BIO_new(BIO_s_mem());
	tls->out = BIO_new(BIO_s_mem());
	if (!tls->ssl || !tls->in || !tls->out || !expect_host(tls->ssl, host)) {
		BIO_free(tls->in);
		BIO_free(tls->out);
		SSL_free(tls->ssl);
		free(tls);
		ERR_clear_error();
		return -ENOMEM;
	}
	SSL_set_bio(tls->ssl, tls->in, tls->out);
	SSL_set_connect_state(tls->ssl);
	*ret_tls = tls;
	return 0;
}

void thr_redis_tls_free(struct thr_redis_tls *tls)
{
	if (!tls)
		return;
	SSL_free(tls->ssl);
	free(tls);
}

int thr_redis_tls_feed(struct thr_redis_tls *tls, const void *bytes, size_t length)
{
	return BIO_write(tls->in, bytes, (int)length) == (int)length ? 0 : -ENOMEM;
}

/* Why the last call failed, in words. Returns -EPROTO, or 0 when the peer has to say more. */
static int judge(struct thr_redis_tls *tls, int result, char why[static THR_REDIS_WHY])
{
	int kind = SSL_get_error(tls->ssl, result);
	long verdict = SSL_get_verify_result(tls->ssl);
	unsigned long code = ERR_peek_error();
	const char *reason = ERR_reason_error_string(code);

	if (kind == SSL_ERROR_WANT_READ)
		return 0;
	if (kind == SSL_ERROR_ZERO_RETURN)
		snprintf(why, THR_REDIS_WHY, "it closed the connection");
	else if (verdict != X509_V_OK)
		snprintf(why, THR_REDIS_WHY, "TLS: its certificate is refused: %s",
			 X509_verify_cert_error_string(verdict));
	else
		snprintf(why, THR_REDIS_WHY, "TLS: %s", reason ? reason : "it failed");
	ERR_clear_error();
	return -EPROTO;
}

int thr_redis_tls_shake(struct thr_redis_tls *tls, char why[static THR_REDIS_WHY])
{
	int r;

	ERR_clear_error();
	r = SSL_do_handshake(tls->ssl);
	return r == 1 ? 1 : judge(tls, r, why);
}

ssize_t thr_redis_tls_read(struct thr_redis_tls *tls, void *bytes, size_t size,
			   char why[static THR_REDIS_WHY])
{
	int r;

	ERR_clear_error();
	r = SSL_read(tls->ssl, bytes, (int)size);
	return r > 0 ? r : judge(tls, r, why);
}

int thr_redis_tls_write(struct thr_redis_tls *tls, const void *bytes, size_t length,
			char why[static THR_REDIS_WHY])
{
	int r;

	if (!length)
		return 0;
	ERR_clear_error();
	r = SSL_write(tls->ssl, bytes, (int)length);
	if (r == (int)length)
		return 0;
	/* Memory takes all of it; a peer that has to speak first renegotiates, which
	 * OpenSSL does not do for it. */
	if (judge(tls, r, why) == 0)
		snprintf(why, THR_REDIS_WHY, "TLS: it asks for a second handshake");
	return -EPROTO;
}

int thr_redis_tls_drain(struct thr_redis_tls *tls, struct thr_buffer *out)
{
	char *bytes;
	long length = BIO_get_mem_data(tls->out, &bytes);

	if (length <= 0)
		return 0;
	if (thr_buffer_append(out, bytes, (size_t)length) < 0)
		return -ENOMEM;
	BIO_reset(tls->out);
	return 0;
}
