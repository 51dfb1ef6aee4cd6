/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Heads that pass through the proxy, on either way.
 *
 * Each line is written anew from its name and value, never copied as a block, so
 * that only what the parser has understood goes out. A field goes one of three
 * ways:
 *
 *   held back   its id is in a mask: the proxy writes that field itself, maybe
 *               from what came
 *   left out    it is hop-by-hop
 *   passed on   any other, in its place
 *
 * The mask is asked first: a Connection field that names X-Forwarded-For must not
 * keep from the target who is behind a trusted peer.
 *
 * Values need no escaping: the parser lets no control byte through, and neither
 * quotes nor backslashes into a Host.
 */
#include "proxy/heads.h"

#include "http/write.h"

#define BIT(id) (1U << (id))
_Static_assert(THR_FIELD_IDS <= 32, "a mask holds every id");

/* What two neighbours agree on for their connection, and framing: of no meaning
 * to the next one. */
#define CONNECTION_FIELDS                                                                          \
	(BIT(THR_FIELD_CONNECTION) | BIT(THR_FIELD_KEEP_ALIVE) | BIT(THR_FIELD_PROXY_CONNECTION) | \
	 BIT(THR_FIELD_TE) | BIT(THR_FIELD_UPGRADE) | BIT(THR_FIELD_HTTP2_SETTINGS) |              \
	 BIT(THR_FIELD_TRANSFER_ENCODING) | BIT(THR_FIELD_CONTENT_LENGTH))

#define FORWARDING_FIELDS                                                                          \
	(BIT(THR_FIELD_TWIN) | BIT(THR_FIELD_X_FORWARDED_FOR) | BIT(THR_FIELD_X_FORWARDED_PROTO) | \
	 BIT(THR_FIELD_X_FORWARDED_HOST) | BIT(THR_FIELD_FORWARDED) | BIT(THR_FIELD_VIA))

/* Ids of what was passed on or held back are in `seen`. */
struct fields {
	const struct thr_http_field *first;
	size_t count;
	uint32_t seen;
};

static void pass_fields(struct thr_writer *writer, struct fields *fields, uint32_t held_back)
{
	for (size_t i = 0; i < fields->count; i++) {
		const struct thr_http_field *field = &fields->first[i];

		if (!(held_back & BIT(field->id))) {
			if (field->hop_by_hop)
				continue;
			thr_put_field(writer, field->name, field->value);
		}
		fields->seen |= BIT(field->id);
	}
}

/* The lines of a field that was held back, as they came. */
static void put_as_sent(struct thr_writer *writer, const struct fields *fields,
			enum thr_http_field_id id)
{
	if (!(fields->seen & BIT(id)))
		return;
	for (size_t i = 0; i < fields->count; i++)
		if (fields->first[i].id == id)
			thr_put_field(writer, fields->first[i].name, fields->first[i].value);
}

/* "Name: a, b, ": all that came of a list that was held back, in order, on one
 * line, for one more element and the CRLF to follow. */
static void put_list(struct thr_writer *writer, struct thr_slice name, const struct fields *fields,
		     enum thr_http_field_id id)
{
	if (!thr_writer_has(writer, name.length + 2))
		return;
	thr_put_slice(writer, name);
	THR_PUT(writer, ": ");
	if (!(fields->seen & BIT(id)))
		return;
	for (size_t i = 0; i < fields->count; i++) {
		struct thr_slice value = fields->first[i].value;

		if (fields->first[i].id != id || !value.length)
			continue;
		if (!thr_writer_has(writer, value.length + 2))
			return;
		thr_put_slice(writer, value);
		THR_PUT(writer, ", ");
	}
}

static void put_last(struct thr_writer *writer, struct thr_slice element)
{
	if (!thr_writer_has(writer, element.length + 2))
		return;
	thr_put_slice(writer, element);
	THR_PUT(writer, "\r\n");
}

/* RFC 9110, 7.6.3: the version is that of the message that came. */
static void put_via(struct thr_writer *writer, const struct fields *fields, uint8_t minor)
{
	put_list(writer, THR_SLICE("Via"), fields, THR_FIELD_VIA);
	put_last(writer, minor ? THR_SLICE("1.1 xdp-throttle") : THR_SLICE("1.0 xdp-throttle"));
}

static void put_upgrade(struct thr_writer *writer, const struct fields *fields)
{
	thr_put_field(writer, THR_SLICE("Connection"), THR_SLICE("upgrade"));
	put_as_sent(writer, fields, THR_FIELD_UPGRADE);
}

static void put_request_line(struct thr_writer *writer, const struct thr_http_request *request)
{
	struct thr_slice path = request->path;

	if (!thr_writer_has(writer,
			    request->method.length + path.length + sizeof(" / HTTP/1.1\r\n") - 1))
		return;
	thr_put_slice(writer, request->method);
	THR_PUT(writer, " ");
	if (!path.length && request->method_id == THR_METHOD_OPTIONS)
		THR_PUT(writer, "*");
	else if (!path.length || path.at[0] != '/')
		THR_PUT(writer, "/");
	thr_put_slice(writer, path);
	THR_PUT(writer, " HTTP/1.1\r\n");
}

static void put_framing(struct thr_writer *writer, const struct thr_http_request *request,
			const struct fields *fields)
{
	if (request->body == THR_BODY_CHUNKED)
		thr_put_field(writer, THR_SLICE("Transfer-Encoding"), THR_SLICE("chunked"));
	else if (request->body != THR_BODY_NONE || fields->seen & BIT(THR_FIELD_CONTENT_LENGTH))
		thr_put_length_field(writer, request->content_length);
}

enum { TOKEN = 1, REQUEST_ID = 2 };

/* What a byte may stand in: a token of RFC 9110, 5.6.2; a request id. */
static const uint8_t uses[256] = {
	['0' ... '9'] = TOKEN | REQUEST_ID,
	['A' ... 'Z'] = TOKEN | REQUEST_ID,
	['a' ... 'z'] = TOKEN | REQUEST_ID,
	['-'] = TOKEN | REQUEST_ID,
	['_'] = TOKEN | REQUEST_ID,
	['.'] = TOKEN | REQUEST_ID,
	['+'] = TOKEN | REQUEST_ID,
	[':'] = REQUEST_ID,
	['/'] = REQUEST_ID,
	['='] = REQUEST_ID,
	['@'] = REQUEST_ID,
	['!'] = TOKEN,
	['#'] = TOKEN,
	['$'] = TOKEN,
	['%'] = TOKEN,
	['&'] = TOKEN,
	['\''] = TOKEN,
	['*'] = TOKEN,
	['^'] = TOKEN,
	['`'] = TOKEN,
	['|'] = TOKEN,
	['~'] = TOKEN,
};

static bool is_all(struct thr_slice slice, uint8_t use)
{
	for (size_t i = 0; i < slice.length; i++)
		if (!(uses[(unsigned char)slice.at[i]] & use))
			return false;
	return slice.length > 0;
}

/* for=192.0.2.7 or for="[2001:db8::1]", or for=unknown where there is no address. */
static void put_node(struct thr_writer *writer, const struct thr_address *address,
		     struct thr_slice text)
{
	if (!thr_writer_has(writer, text.length + sizeof("for=\"[unknown]\"") - 1))
		return;
	if (!address) {
		THR_PUT(writer, "for=unknown");
	} else if (thr_address_is_v4(address)) {
		THR_PUT(writer, "for=");
		thr_put_slice(writer, text);
	} else {
		THR_PUT(writer, "for=\"[");
		thr_put_slice(writer, text);
		THR_PUT(writer, "]\"");
	}
}

/* The elements of X-Forwarded-For, each with ", " behind it, as RFC 7239, 7.4 writes
 * them: what a trusted peer says in one field it means in the other. */
static void put_converted(struct thr_writer *writer, const struct fields *fields)
{
	for (size_t i = 0; i < fields->count; i++) {
		struct thr_slice rest = fields->first[i].value, element;

		if (fields->first[i].id != THR_FIELD_X_FORWARDED_FOR)
			continue;
		while (thr_http_list_next(&rest, &element)) {
			struct thr_address address;
			bool known = thr_address_parse(element, &address) == 0;

			put_node(writer, known ? &address : NULL, element);
			if (thr_writer_has(writer, 2))
				THR_PUT(writer, ", ");
		}
	}
}

/* A forwarded-element (RFC 7239, 4): for="[2001:db8::1]";host="h:8080";proto=http,
 * with quotes where the value is not a token. */
static void put_forwarded_element(struct thr_writer *writer, const struct thr_address *peer,
				  struct thr_slice peer_text, struct thr_slice host)
{
	bool quote_host = !is_all(host, TOKEN);

	put_node(writer, peer, peer_text);
	if (!thr_writer_has(writer, host.length + sizeof(";host=\"\";proto=http\r\n") - 1))
		return;
	if (host.length) {
		THR_PUT(writer, ";host=");
		if (quote_host)
			THR_PUT(writer, "\"");
		thr_put_slice(writer, host);
		if (quote_host)
			THR_PUT(writer, "\"");
	}
	THR_PUT(writer, ";proto=http\r\n");
}

/* Who asked, for the target. `trusted` is what came from a trusted peer; it is
 * empty for another one. */
static void put_forwarding(struct thr_writer *writer, const struct thr_http_request *request,
			   const struct thr_address *peer, const struct fields *trusted)
{
	char text[THR_ADDRESS_TEXT];
	struct thr_slice peer_text = {text, thr_address_format(peer, text)};

	put_list(writer, THR_SLICE("X-Forwarded-For"), trusted, THR_FIELD_X_FORWARDED_FOR);
	put_last(writer, peer_text);
	if (trusted->seen & BIT(THR_FIELD_X_FORWARDED_PROTO))
		put_as_sent(writer, trusted, THR_FIELD_X_FORWARDED_PROTO);
	else
		thr_put_field(writer, THR_SLICE("X-Forwarded-Proto"), THR_SLICE("http"));
	if (trusted->seen & BIT(THR_FIELD_X_FORWARDED_HOST))
		put_as_sent(writer, trusted, THR_FIELD_X_FORWARDED_HOST);
	else if (request->authority.length)
		thr_put_field(writer, THR_SLICE("X-Forwarded-Host"), request->authority);
	put_list(writer, THR_SLICE("Forwarded"), trusted, THR_FIELD_FORWARDED);
	if (!(trusted->seen & BIT(THR_FIELD_FORWARDED)))
		put_converted(writer, trusted);
	put_forwarded_element(writer, peer, peer_text, request->authority);
	put_via(writer, trusted, request->minor);
}

size_t thr_head_request(char *out, size_t size, const struct thr_http_request *request,
			const struct thr_origin *origin)
{
	struct thr_writer writer = {.at = out, .end = out + size};
	struct fields fields = {.first = request->field, .count = request->field_count};
	const struct fields nothing = {0};
	uint32_t held_back = CONNECTION_FIELDS | FORWARDING_FIELDS | BIT(THR_FIELD_HOST) |
			     BIT(THR_FIELD_X_REQUEST_ID);

	if (request->minor == 0) /* it means nothing there (RFC 9110, 10.1.1) */
		held_back |= BIT(THR_FIELD_EXPECT);

	put_request_line(&writer, request);
	thr_put_field(&writer, THR_SLICE("Host"), request->authority);
	pass_fields(&writer, &fields, held_back);
	put_framing(&writer, request, &fields);
	if (request->upgrade)
		put_upgrade(&writer, &fields);
	put_forwarding(&writer, request, origin->peer,
		       origin->peer_is_trusted ? &fields : &nothing);
	if (origin->request_id.length)
		thr_put_field(&writer, THR_SLICE("X-Request-Id"), origin->request_id);
	thr_put_head_end(&writer);
	return thr_written(&writer, out);
}

struct thr_slice thr_head_request_id(const struct thr_http_request *request)
{
	const struct thr_slice none = THR_SLICE("");
	struct thr_slice found = none;

	for (size_t i = 0; i < request->field_count; i++) {
		if (request->field[i].id != THR_FIELD_X_REQUEST_ID)
			continue;
		if (found.length)
			return none;
		found = request->field[i].value;
		if (found.length > THR_REQUEST_ID_MAX || !is_all(found, REQUEST_ID))
			return none;
	}
	return found;
}

/* RFC 9110, 8.6: also of a body that is not sent because of the method or a 304,
 * but never in 1xx and 204. */
static bool states_length(const struct thr_http_response *response, const struct thr_reply *reply)
{
	return response->has_length && !reply->chunked && response->status >= 200 &&
	       response->status != 204;
}

static void put_our_part(struct thr_writer *writer, const struct thr_http_response *response,
			 const struct thr_reply *reply, const struct fields *fields)
{
	if (states_length(response, reply))
		thr_put_length_field(writer, response->content_length);
	if (reply->chunked)
		thr_put_field(writer, THR_SLICE("Transfer-Encoding"), THR_SLICE("chunked"));
	if (response->status == 101)
		put_upgrade(writer, fields);
	else
		thr_put_persistence(writer, reply->keep_alive, reply->client_minor);
	put_via(writer, fields, response->minor);
	if (!(fields->seen & BIT(THR_FIELD_DATE)))
		thr_put_date_field(writer, reply->date);
	thr_put_block(writer, reply->limits);
}

size_t thr_head_response(char *out, size_t size, const struct thr_http_response *response,
			 const struct thr_reply *reply)
{
	struct thr_writer writer = {.at = out, .end = out + size};
	struct fields fields = {.first = response->field, .count = response->field_count};
	bool is_interim = response->status < 200 && response->status != 101;
	uint32_t held_back = CONNECTION_FIELDS;

	if (!is_interim)
		held_back |= BIT(THR_FIELD_VIA);
	if (reply->limits.length && !is_interim)
		held_back |= BIT(THR_FIELD_RATELIMIT) | BIT(THR_FIELD_RATELIMIT_POLICY);

	thr_put_status_line(&writer, response->status, response->reason);
	pass_fields(&writer, &fields, held_back);
	if (!is_interim)
		put_our_part(&writer, response, reply, &fields);
	thr_put_head_end(&writer);
	return thr_written(&writer, out);
}
