#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
Requests that are malformed or ambiguous. Each must be answered with the status that
RFC 9112 asks for, the connection must close, no request that was smuggled behind or
inside it may be served, and no whole request may reach the upstream; when the head
is to blame, not one byte.

The tables hold what this proxy refuses on purpose, the cases of public conformance
and smuggling suites among it. The last one is what must not be refused: odd, but
with one meaning only.
"""
import random

from daemon import start
from message import request
from support import cases, expect, expect_match, fail, run_suite, shared
from upstream import Upstream

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: site.test\r\n\r\n"
HOST = "Host: site.test\r\n"


def encode(table):
    """Text as Latin-1, and behind each entry another request."""
    return {
        name: (text if isinstance(text, bytes) else text.encode("latin-1")) + SMUGGLED
        for name, text in table.items()
    }


def line(request_line):
    return f"{request_line}\r\n{HOST}\r\n"


def field(text, method="GET"):
    """A request with one more line, or lines, that are to blame."""
    return f"{method} / HTTP/1.1\r\n{HOST}{text}\r\n\r\n"


def host(*lines, version="HTTP/1.1"):
    return f"GET / {version}\r\n" + "".join(f"{text}\r\n" for text in lines) + "\r\n"


def post(fields, body="hello"):
    return f"POST / HTTP/1.1\r\n{HOST}{fields}\r\n\r\n{body}"


def both(fields, body="0\r\n\r\n"):
    return post(fields, body)


REQUEST_LINE = {
    "two_spaces_after_method": line("GET  / HTTP/1.1"),
    "two_spaces_before_version": line("GET /  HTTP/1.1"),
    "tab_after_method": line("GET\t/ HTTP/1.1"),
    "tab_before_version": line("GET /\tHTTP/1.1"),
    "vertical_tab_after_method": line("GET\x0b/ HTTP/1.1"),
    "form_feed_after_method": line("GET\x0c/ HTTP/1.1"),
    "space_at_the_start": line(" GET / HTTP/1.1"),
    "tab_at_the_start": line("\tGET / HTTP/1.1"),
    "space_at_the_end": line("GET / HTTP/1.1 "),
    "tab_at_the_end": line("GET / HTTP/1.1\t"),
    "space_in_target": line("GET /pa th HTTP/1.1"),
    "word_after_version": line("GET / HTTP/1.1 x"),
    "no_target": line("GET HTTP/1.1"),
    "empty_target": line("GET  HTTP/1.1"),
    "no_version": line("GET /"),
    "no_version_but_a_space": line("GET / "),
    "method_only": line("GET"),
    "http_0_9": "GET /\r\n",
    "http_0_9_empty_line": "GET /\r\n\r\n",
    "white_space_only": "   \r\n\r\n",
    "two_empty_lines_first": "\r\n\r\n" + line("GET / HTTP/1.1"),
    "empty_line_of_lf_first": "\n" + line("GET / HTTP/1.1"),
    "empty_line_of_cr_first": "\r" + line("GET / HTTP/1.1"),
    "nul_first": "\0" + line("GET / HTTP/1.1"),
    "lf_at_the_end": "GET / HTTP/1.1\n" + HOST + "\r\n",
    "lf_everywhere": "GET / HTTP/1.1\nHost: site.test\n\n",
    "cr_at_the_end": "GET / HTTP/1.1\r" + HOST + "\r\n",
    "cr_cr_lf_at_the_end": "GET / HTTP/1.1\r\r\n" + HOST + "\r\n",
    "cr_after_method": line("GET\r / HTTP/1.1"),
    "cr_in_target": line("GET /a\rb HTTP/1.1"),
    "lf_in_target": line("GET /a\nb HTTP/1.1"),
    "nul_in_target": line("GET /\0test HTTP/1.1"),
    "nul_in_method": line("GE\0T / HTTP/1.1"),
    "delete_in_target": line("GET /\x7f HTTP/1.1"),
    "bell_in_target": line("GET /\x07 HTTP/1.1"),
    "utf_8_in_target": line("GET /caf\xc3\xa9 HTTP/1.1"),
    "overlong_utf_8_in_target": line("GET /\xc0\xaf HTTP/1.1"),
    "latin_1_in_target": line("GET /\xff HTTP/1.1"),
    "fragment": line("GET /path#frag HTTP/1.1"),
    "fragment_only": line("GET # HTTP/1.1"),
    "method_with_parenthesis": line("GET( / HTTP/1.1"),
    "method_with_colon": line("GET: / HTTP/1.1"),
    "method_with_slash": line("G/T / HTTP/1.1"),
    "method_with_quote": line('"GET" / HTTP/1.1'),
    "method_in_utf_8": line("G\xc3\x8bT / HTTP/1.1"),
    "binary": bytes(random.Random(42).randbytes(256)).replace(b"\n", b"\0") + b"\r\n\r\n",
    "tls_client_hello": b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + b"\x01" * 150 + b"\r\n",
    "field_in_its_place": HOST + "\r\n",
    "status_line": "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
}

VERSION = {
    "small": line("GET / http/1.1"),
    "mixed_case": line("GET / Http/1.1"),
    "no_minor": line("GET / HTTP/1"),
    "no_minor_but_a_dot": line("GET / HTTP/1."),
    "no_major": line("GET / HTTP/.1"),
    "leading_zeros": line("GET / HTTP/01.01"),
    "leading_zero": line("GET / HTTP/1.01"),
    "two_digits": line("GET / HTTP/1.10"),
    "space_inside": line("GET / HTTP/ 1.1"),
    "space_before_dot": line("GET / HTTP/1 .1"),
    "comma": line("GET / HTTP/1,1"),
    "sign": line("GET / HTTP/+1.1"),
    "letters": line("GET / HTTP/x.y"),
    "other_name": line("GET / HTTPS/1.1"),
    "other_protocol": line("GET / ICY/1.1"),
    "no_slash": line("GET / HTTP1.1"),
    "junk_behind": line("GET / HTTP/1.1x"),
    "nul_behind": line("GET / HTTP/1.1\0"),
}

TARGET = {
    "asterisk_for_get": line("GET * HTTP/1.1"),
    "asterisk_for_post": line("POST * HTTP/1.1"),
    "asterisk_and_more": line("OPTIONS *x HTTP/1.1"),
    "authority_for_get": line("GET site.test:80 HTTP/1.1"),
    "no_slash": line("GET path HTTP/1.1"),
    "query_only": line("GET ?x HTTP/1.1"),
    "backslash_first": line("GET \\path HTTP/1.1"),
    "dot_first": line("GET ./path HTTP/1.1"),
    "absolute_other_scheme": line("GET ftp://site.test/ HTTP/1.1"),
    "absolute_file": line("GET file:///etc/passwd HTTP/1.1"),
    "absolute_without_authority": line("GET http:///path HTTP/1.1"),
    "absolute_one_slash": line("GET http:/path HTTP/1.1"),
    "absolute_no_slash": line("GET http:path HTTP/1.1"),
    "absolute_port_only": line("GET http://:80/ HTTP/1.1"),
    "absolute_with_user": line("GET http://user@site.test/ HTTP/1.1"),
    "absolute_with_password": line("GET http://user:secret@site.test/ HTTP/1.1"),
    "absolute_bad_port": line("GET http://site.test:8x/ HTTP/1.1"),
    "absolute_port_out_of_range": line("GET http://site.test:65536/ HTTP/1.1"),
    "absolute_with_fragment": line("GET http://site.test/#x HTTP/1.1"),
    "absolute_bad_ipv6": line("GET http://[::1/ HTTP/1.1"),
    "absolute_without_host": "GET http://site.test/ HTTP/1.1\r\n\r\n",
}

HOST_FIELD = {
    "none": host(),
    "none_but_others": host("X-Host: site.test"),
    "empty": host("Host:"),
    "empty_but_a_space": host("Host: "),
    "two_different": host("Host: site.test", "Host: other.test"),
    "two_equal": host("Host: site.test", "Host: site.test"),
    "two_in_other_case": host("Host: site.test", "hOST: other.test"),
    "two_in_1_0": host("Host: site.test", "Host: other.test", version="HTTP/1.0"),
    "list": host("Host: site.test, other.test"),
    "list_without_space": host("Host: site.test,other.test"),
    "user": host("Host: user@site.test"),
    "path": host("Host: site.test/path"),
    "query": host("Host: site.test?x"),
    "fragment": host("Host: site.test#x"),
    "url": host("Host: http://site.test"),
    "backslash": host("Host: site.test\\x"),
    "space_inside": host("Host: site test"),
    "tab_inside": host("Host: site\ttest"),
    "two_ports": host("Host: site.test:80:80"),
    "letters_in_port": host("Host: site.test:8o"),
    "negative_port": host("Host: site.test:-1"),
    "port_out_of_range": host("Host: site.test:65536"),
    "port_only": host("Host: :80"),
    "ipv6_without_brackets": host("Host: 2001:db8::1"),
    "ipv6_not_closed": host("Host: [2001:db8::1"),
    "ipv6_junk_behind": host("Host: [2001:db8::1]x"),
    "utf_8": host("Host: caf\xc3\xa9.test"),
    "quotes": host('Host: "site.test"'),
    "angle_brackets": host("Host: <site.test>"),
    "nul": host("Host: site.test\0"),
    "space_before_colon": host("Host : site.test"),
    "folded": host("Host:", " site.test"),
}

FIELD = {
    "space_before_colon": field("X-Test : value"),
    "tab_before_colon": field("X-Test\t: value"),
    "folded_with_a_space": field("X-Test: value\r\n continued"),
    "folded_with_a_tab": field("X-Test: value\r\n\tcontinued"),
    "folded_and_empty": field("X-Test: value\r\n "),
    "fold_first": "GET / HTTP/1.1\r\n " + HOST + "\r\n",
    "white_space_line_first": "GET / HTTP/1.1\r\n \r\n" + HOST + "\r\n",
    "empty_name": field(": value"),
    "no_colon": field("NoColonHere"),
    "no_colon_but_a_space": field("No colon here"),
    "bracket_in_name": field("Bad[Name: value"),
    "space_in_name": field("X Test: value"),
    "parenthesis_in_name": field("X(Test): value"),
    "quote_in_name": field('"X-Test": value'),
    "slash_in_name": field("X/Test: value"),
    "at_in_name": field("X@Test: value"),
    "utf_8_in_name": field("X-T\xc3\xabst: value"),
    "nul_in_name": field("X-\0Test: value"),
    "control_in_name": field("X-\x01Test: value"),
    "nul_in_value": field("X-Test: val\0ue"),
    "controls_in_value": field("X-Test: abc\x07\x08\x0bdef"),
    "escape_in_value": field("X-Test: \x1b[31m"),
    "delete_in_value": field("X-Test: a\x7fb"),
    "cr_in_value": field("X-Test: val\rue"),
    "cr_at_the_end_of_value": field("X-Test: value\r"),
    "lf_at_the_end": field("X-Test: value\nX-More: value"),
    "lf_only_before_empty_line": f"GET / HTTP/1.1\r\n{HOST}X-Test: value\n\r\n",
    "lf_as_empty_line": f"GET / HTTP/1.1\r\n{HOST}\n",
    "cr_as_line_end": field("X-Test: value\rX-More: value"),
    "cr_before_name": field("\rX-Test: value"),
    "cr_as_empty_line": f"GET / HTTP/1.1\r\n{HOST}\rX",
    "cookie_folded": field("Cookie: a=b;\r\n c=d"),
}

LENGTH = {
    "letters": post("Content-Length: abc"),
    "digits_and_letters": post("Content-Length: 5x"),
    "plus": post("Content-Length: +5"),
    "minus": post("Content-Length: -1", ""),
    "minus_zero": post("Content-Length: -0", ""),
    "empty": post("Content-Length:"),
    "space_only": post("Content-Length: "),
    "hexadecimal": post("Content-Length: 0x5"),
    "hexadecimal_digit": post("Content-Length: a"),
    "octal": post("Content-Length: 0o5"),
    "underscore": post("Content-Length: 1_0", "helloworld"),
    "space_inside": post("Content-Length: 1 0", "helloworld"),
    "tab_inside": post("Content-Length: 1\t0", "helloworld"),
    "dot": post("Content-Length: 5.0"),
    "exponent": post("Content-Length: 5e0"),
    "thousands": post("Content-Length: 1,000"),
    "two_different": post("Content-Length: 5\r\nContent-Length: 10", "helloworld"),
    "two_equal": post("Content-Length: 5\r\nContent-Length: 5"),
    "two_in_other_case": post("Content-Length: 5\r\ncontent-length: 0"),
    "list_different": post("Content-Length: 5, 10"),
    "list_equal": post("Content-Length: 5, 5"),
    "list_of_three": post("Content-Length: 5, 5, 5"),
    "comma_behind": post("Content-Length: 5,"),
    "comma_before": post("Content-Length: ,5"),
    "beyond_2_63": post("Content-Length: 9223372036854775808"),
    "beyond_2_64": post("Content-Length: 18446744073709551621"),
    "twenty_digits": post("Content-Length: 99999999999999999999"),
    "hundred_digits": post("Content-Length: " + "1" * 100),
    "nul_behind": post("Content-Length: 5\0"),
    "vertical_tab_before": post("Content-Length: \x0b5"),
    "quotes": post('Content-Length: "5"'),
    "utf_8_digit": post("Content-Length: \xd9\xa5"),
    "folded": post("Content-Length:\r\n 5"),
    "space_before_colon": post("Content-Length : 5"),
    "two_with_a_request_between": post(
        f"Content-Length: 4\r\nContent-Length: {4 + len(SMUGGLED)}", "PING"
    ),
}

CODING = {
    "beside_length": both("Content-Length: 5\r\nTransfer-Encoding: chunked"),
    "before_length": both("Transfer-Encoding: chunked\r\nContent-Length: 30"),
    "beside_length_that_fits": both(
        "Content-Length: 28\r\nTransfer-Encoding: chunked", "D\r\nhello-bananas\r\n0\r\n\r\n"
    ),
    "beside_length_0": both("Content-Length: 0\r\nTransfer-Encoding: chunked"),
    "beside_bad_length": both("Content-Length: +6\r\nTransfer-Encoding: chunked"),
    "beside_length_and_letters": both("Content-Length: 6x\r\nTransfer-Encoding: chunked"),
    "beside_length_odd_case": both("Content-Length: 6\r\nTransfer-Encoding: cHuNkEd"),
    "beside_length_space_behind": both("Content-Length: 6\r\nTransfer-Encoding: chunked "),
    "beside_length_tab_before": both("Content-Length: 6\r\nTransfer-Encoding:\tchunked"),
    "beside_length_comma_before": both("Content-Length: 6\r\nTransfer-Encoding: , chunked"),
    "desync_length_first": both("Content-Length: 6\r\nTransfer-Encoding: chunked", "0\r\n\r\nX"),
    "desync_coding_first": both("Transfer-Encoding: chunked\r\nContent-Length: 30", "0\r\n\r\nX"),
    "unknown_beside_length": post("Transfer-Encoding: xchunked\r\nContent-Length: 5"),
    "identity_beside_length": post("Transfer-Encoding: identity\r\nContent-Length: 5"),
    "empty_beside_length": post("Transfer-Encoding:\r\nContent-Length: 5"),
    "folded_beside_length": post("Transfer-Encoding:\r\n chunked\r\nContent-Length: 5"),
    "space_before_colon": both("Transfer-Encoding : chunked"),
    "tab_before_colon": both("Transfer-Encoding\t: chunked"),
    "space_before_colon_and_length": post("Transfer-Encoding : chunked\r\nContent-Length: 5"),
    "nul_behind": both("Transfer-Encoding: chunked\0"),
    "vertical_tab_before": both("Transfer-Encoding: \x0bchunked"),
    "vertical_tab_behind": both("Transfer-Encoding: chunked\x0b"),
    "form_feed_before": both("Transfer-Encoding: \x0cchunked"),
    "cr_behind": both("Transfer-Encoding: chunked\r"),
    "cr_in_front_of_name": both("X: y\rTransfer-Encoding: chunked"),
    "lf_in_front_of_name": both("X: y\nTransfer-Encoding: chunked"),
    "not_last": both("Transfer-Encoding: chunked, gzip"),
    "not_last_but_identity": both("Transfer-Encoding: chunked, identity"),
    "twice_in_a_list": both("Transfer-Encoding: chunked, chunked"),
    "twice": both("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
    "twice_and_identity": both("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity"),
    "twice_and_odd": both("Transfer-Encoding: chunked\r\nTransfer-encoding: x"),
    "twice_odd_first": both("Transfer-Encoding: x\r\nTransfer-Encoding: chunked"),
    "comma_before": both("Transfer-Encoding: , chunked"),
    "comma_behind": both("Transfer-Encoding: chunked,"),
    "parameter": both("Transfer-Encoding: chunked;q=1"),
    "semicolon": both("Transfer-Encoding: chunked;"),
    "quotes": both('Transfer-Encoding: "chunked"'),
    "brackets": both("Transfer-Encoding: [chunked]"),
    "colon": both("Transfer-Encoding: :chunked"),
    "two_words": both("Transfer-Encoding: chunked x"),
    "latin_1_space": both("Transfer-Encoding: \xa0chunked"),
    "empty": both("Transfer-Encoding:"),
    "folded": both("Transfer-Encoding:\r\n chunked"),
    "folded_value": both("Transfer-Encoding: chunked\r\n , identity"),
    "in_1_0": f"POST / HTTP/1.0\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "in_1_0_beside_length": f"POST / HTTP/1.0\r\n{HOST}Transfer-Encoding: chunked\r\n"
    "Content-Length: 5\r\n\r\nhello",
    "in_get_beside_length": f"GET / HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n"
    "Content-Length: 5\r\n\r\n0\r\n\r\n",
}

# No coding that this proxy has, alone or before chunked: 501, or 400 where the end of
# the body could not even be found.
UNKNOWN_CODING = {
    "gzip": post("Transfer-Encoding: gzip", ""),
    "gzip_and_chunked": both("Transfer-Encoding: gzip, chunked"),
    "deflate_and_chunked": both("Transfer-Encoding: deflate,chunked"),
    "identity": post("Transfer-Encoding: identity", ""),
    "unknown": post("Transfer-Encoding: xchunked", ""),
    "short": post("Transfer-Encoding: chunke", ""),
    "unknown_and_chunked": both("Transfer-Encoding: x, chunked"),
}

CHUNKS = {
    "size_0x": "0x5\r\nhello\r\n0\r\n\r\n",
    "size_x": "x5\r\nhello\r\n0\r\n\r\n",
    "size_plus": "+5\r\nhello\r\n0\r\n\r\n",
    "size_minus": "-1\r\nhello\r\n0\r\n\r\n",
    "size_minus_zero": "-0\r\n\r\n",
    "size_underscore": "1_0\r\nhello world!!!!!\r\n0\r\n\r\n",
    "size_space_before": " 5\r\nhello\r\n0\r\n\r\n",
    "size_tab_before": "\t5\r\nhello\r\n0\r\n\r\n",
    "size_space_behind": "5 \r\nhello\r\n0\r\n\r\n",
    "size_tab_behind": "5\t\r\nhello\r\n0\r\n\r\n",
    "size_space_before_extension": "5 ;a\r\nhello\r\n0\r\n\r\n",
    "size_empty": "\r\nhello\r\n0\r\n\r\n",
    "size_only_extension": ";a\r\nhello\r\n0\r\n\r\n",
    "size_letters": "xyz\r\nhello\r\n0\r\n\r\n",
    "size_g": "g\r\nhello\r\n0\r\n\r\n",
    "size_comma": "5,5\r\nhello\r\n0\r\n\r\n",
    "size_dot": "5.0\r\nhello\r\n0\r\n\r\n",
    "size_quotes": '"5"\r\nhello\r\n0\r\n\r\n',
    "size_nul": "5\0\r\nhello\r\n0\r\n\r\n",
    "size_17_digits": "00000000000000005\r\nhello\r\n0\r\n\r\n",
    "size_overflow": "FFFFFFFFFFFFFFFF0\r\nhello\r\n0\r\n\r\n",
    "size_2_64_minus_1": "ffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    "size_2_63": "8000000000000000\r\nhello\r\n0\r\n\r\n",
    "size_wraps_to_5": "10000000000000005\r\nhello\r\n0\r\n\r\n",
    "size_lf": "5\nhello\r\n0\r\n\r\n",
    "size_cr": "5\rhello\r\n0\r\n\r\n",
    "size_cr_cr_lf": "5\r\r\nhello\r\n0\r\n\r\n",
    "data_too_short": "6\r\nhello\r\n0\r\n\r\n",
    "data_too_long": "5\r\nhello!!\r\n0\r\n\r\n",
    "data_without_crlf": "5\r\nhello0\r\n\r\n",
    "data_and_lf": "5\r\nhello\n0\r\n\r\n",
    "data_and_cr": "5\r\nhello\r0\r\n\r\n",
    "data_and_junk": "5\r\nhello\rX0\r\n\r\n",
    "data_and_two_crlf": "5\r\nhello\r\n\r\n0\r\n\r\n",
    "extension_empty": "5;\r\nhello\r\n0\r\n\r\n",
    "extension_no_name": "5;=x\r\nhello\r\n0\r\n\r\n",
    "extension_no_value": "5;a=\r\nhello\r\n0\r\n\r\n",
    "extension_bad_name": "5;bad[=x\r\nhello\r\n0\r\n\r\n",
    "extension_bad_value": "5;a=b[\r\nhello\r\n0\r\n\r\n",
    "extension_not_closed": '5;a="b\r\nhello\r\n0\r\n\r\n',
    "extension_nul": "5;\0ext\r\nhello\r\n0\r\n\r\n",
    "extension_nul_in_quotes": '5;a="\0"\r\nhello\r\n0\r\n\r\n',
    "extension_cr": "5;a\rX\r\nhello\r\n0\r\n\r\n",
    "extension_lf": "5;\nhello\r\n0\r\n\r\n",
    "extension_lf_in_quotes": '5;a="\n"\r\nhello\r\n0\r\n\r\n',
    "extension_with_lf_as_end": "5;a\nhello\r\n0\r\n\r\n",
    "extension_too_long": f"5;ext={'A' * 1000}\r\nhello\r\n0\r\n\r\n",
    "extension_of_the_last": "5\r\nhello\r\n0;\r\n\r\n",
    "last_lf": "5\r\nhello\r\n0\n\r\n",
    "last_cr": "5\r\nhello\r\n0\rX\r\n",
    "trailers_end_in_lf": "5\r\nhello\r\n0\r\n\n",
    "trailer_lf": "5\r\nhello\r\n0\r\nX-T: a\n\r\n",
    "trailer_cr": "5\r\nhello\r\n0\r\nX-T: a\rb\r\n\r\n",
    "trailer_folded": "5\r\nhello\r\n0\r\nX-T: a\r\n b\r\n\r\n",
    "trailer_space_before_colon": "5\r\nhello\r\n0\r\nX-T : a\r\n\r\n",
    "trailer_no_colon": "5\r\nhello\r\n0\r\nGET / HTTP/1.1\r\n\r\n",
    "trailer_empty_name": "5\r\nhello\r\n0\r\n: a\r\n\r\n",
    "trailer_nul": "5\r\nhello\r\n0\r\nX-T: \0\r\n\r\n",
}

# Refused with another status than 400.
OTHERS = {
    "version_2_0": (505, line("GET / HTTP/2.0")),
    "version_1_2": (505, line("GET / HTTP/1.2")),
    "version_9_9": (505, line("GET / HTTP/9.9")),
    "version_0_9": (505, line("GET / HTTP/0.9")),
    "http_2_preface": (505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "expect_unknown": (417, field("Expect: 200-ok")),
    "expect_list": (417, field("Expect: 100-continue, x")),
    "long_target": (414, line("GET /" + "A" * 100_000 + " HTTP/1.1")),
    "long_value": (431, field("X-Big: " + "B" * 100_000)),
    "long_name": (431, field("A" * 100_000 + ": val")),
    "many_fields": (431, field("\r\n".join(f"X-H-{i}: value" for i in range(10_000)))),
    "connect_without_port": (501, line("CONNECT site.test HTTP/1.1")),
    "connection_of_33_names": (400, field("Connection: " + ",".join(f"a{i}" for i in range(33)))),
    "connection_of_33_upgrade": (400, field("Connection: " + ",".join(["upgrade"] * 33))),
    "connection_of_33_in_two_lines": (400, field("Connection: " + ",".join(["close"] * 16)
                                      + "\r\nConnection: " + ",".join(["keep-alive"] * 17))),
}


@shared
def target():
    upstream = Upstream()
    return start({"/": upstream}), upstream


@shared
def silent():
    """A target that must never be connected to."""
    upstream = Upstream()
    return start({"/": upstream}), upstream


def expect_refused(sent, statuses, given=silent):
    proxy, upstream = given()
    upstream.forget()
    client = proxy.connect()

    client.send(sent)

    answer = client.read_response()
    expect_match("status", str(answer.status), f"^({statuses})$")
    expect("status in the problem", answer.problem["status"], answer.status)
    expect("Connection", answer.field("Connection"), "close")
    client.expect_closed()
    expect("requests at the upstream", upstream.requests, [])
    if given is silent:
        expect("connections to the upstream", len(upstream.peers), 0)


@cases(encode(REQUEST_LINE))
def test_request_line(sent):
    expect_refused(sent, "400")


@cases(encode(VERSION))
def test_version(sent):
    expect_refused(sent, "400")


@cases(encode(TARGET))
def test_target(sent):
    expect_refused(sent, "400")


@cases(encode(HOST_FIELD))
def test_host(sent):
    expect_refused(sent, "400")


@cases(encode(FIELD))
def test_field(sent):
    expect_refused(sent, "400")


@cases(encode(LENGTH))
def test_content_length(sent):
    expect_refused(sent, "400")


@cases(encode(CODING))
def test_transfer_encoding(sent):
    expect_refused(sent, "400")


@cases(encode(UNKNOWN_CODING))
def test_unknown_transfer_encoding(sent):
    expect_refused(sent, "400|501")


@cases(encode({name: both("Transfer-Encoding: chunked", body) for name, body in CHUNKS.items()}))
def test_chunks(sent):
    expect_refused(sent, "400", given=target)


@cases({name: (str(status), text) for name, (status, text) in OTHERS.items()})
def test_refused(status, text):
    expect_refused(text.encode("latin-1"), status)


def test_long_method_is_refused():
    expect_refused(line("A" * 100_000 + " / HTTP/1.1").encode(), "400|414")


# --- cut short ------------------------------------------------------------------------


@cases(
    {
        "request_line": b"GET / HT",
        "fields": b"GET / HTTP/1.1\r\nHost: site.test\r\nX-Test: value",
        "empty_line": b"GET / HTTP/1.1\r\nHost: site.test\r\n",
        "body": post("Content-Length: 10").encode(),
        "chunks": both("Transfer-Encoding: chunked", "5\r\nhello\r\n").encode(),
        "nothing": b"",
        "an_empty_line": b"\r\n",
    }
)
def test_cut_in(sent):
    proxy, upstream = target()
    upstream.forget()
    client = proxy.connect()

    client.send(sent)
    client.half_close()

    answer = client.read_to_end()
    if answer:
        expect_match("answer", answer.decode(), "^HTTP/1.1 400 ")
    expect("requests at the upstream", upstream.requests, [])


# --- odd, with one meaning -----------------------------------------------------------

ODD = {
    "length_with_a_space_behind": post("Content-Length: 5 "),
    "length_with_spaces_before": post("Content-Length:   5"),
    "length_with_a_tab_before": post("Content-Length:\t5"),
    "length_without_a_space": post("Content-Length:5"),
    "length_in_capitals": post("CONTENT-LENGTH: 5"),
    "coding_in_capitals": post("TRANSFER-ENCODING: CHUNKED", "5\r\nhello\r\n0\r\n\r\n"),
    "coding_with_a_space_behind": post("Transfer-Encoding: chunked ", "5\r\nhello\r\n0\r\n\r\n"),
    "coding_with_a_tab_before": post("Transfer-Encoding:\tchunked", "5\r\nhello\r\n0\r\n\r\n"),
    "range_of_post": post("Range: bytes=0-10\r\nContent-Length: 5"),
    "two_content_types": post("Content-Type: a/b\r\nContent-Type: c/d\r\nContent-Length: 5"),
    "field_named_like_coding": post("Transfer_Encoding: chunked\r\nContent-Length: 5"),
    "field_with_every_token_byte": post("!#$%&'*+-.^_`|~09AZaz: x\r\nContent-Length: 5"),
    "connection_of_32": post("Connection: " + ",".join(["keep-alive"] * 32)
                             + "\r\nContent-Length: 5"),
    "absolute_form_other_host": "POST http://a.test/ HTTP/1.1\r\nHost: b.test\r\n"
    "Content-Length: 5\r\n\r\nhello",
}


@cases({name: text.encode("latin-1") for name, text in ODD.items()})
def test_accepted(sent):
    proxy, upstream = target()
    upstream.forget()
    client = proxy.connect()

    client.send(sent + request("GET", "/next"))

    expect("statuses", [client.read_response().status for _ in range(2)], [200, 200])
    first, second = upstream.requests
    expect("body", first.body, b"hello")
    expect("target of the next", second.target, "/next")


# A grammar that allows them, and two recipients that might not agree: refused, or
# forwarded in the one form that everybody reads alike.
LEADING_ZEROS = {
    "one": post("Content-Length: 05"),
    "two": post("Content-Length: 005"),
    "many": post("Content-Length: " + "0" * 30 + "5"),
}


@cases(encode(LEADING_ZEROS))
def test_leading_zeros(sent):
    proxy, upstream = target()
    upstream.forget()
    client = proxy.connect()

    client.send(sent)

    answer = client.read_response()
    if answer.status == 400:
        client.expect_closed()
        expect("requests at the upstream", upstream.requests, [])
    elif answer.status == 200:
        expect("Content-Length", upstream.requests[0].field("Content-Length"), "5")
    else:
        fail(f"status {answer.status}")


if __name__ == "__main__":
    run_suite()
