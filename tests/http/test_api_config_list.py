#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
GET /config: which keys have a config, in pages, whichever worker or instance is asked, on the
memory store and on Redis.
"""
from api import SLOW, Api, api_section, config_path, json_of, serve
from daemon import Daemon, configuration
from redis import PATIENT, Redis, store
from support import cases, expect, expect_match, expect_within, run_suite, shared, wait_until

PAGE = 1000


@shared
def the_daemon():
    return serve()


def list_page(api, target="/config"):
    answer = api.call("GET", target)
    expect("status", answer.status, 200)
    page = json_of(answer)
    expect("members", sorted(page), ["configs", "next"])
    return page["configs"], page["next"]


def list_all(*apis):
    """All pages, each asked of the next one of `apis`."""
    configs, target, number = [], "/config", 0
    while target:
        page, target = list_page(apis[number % len(apis)], target)
        configs += page
        number += 1
    return configs


def keys_of(configs):
    return [config["key"] for config in configs]


def put_all(daemon, keys, connections=50):
    """Set something for many keys."""
    apis = [Api(daemon) for _ in range(connections)]
    body = {"capacity": 5, "refill_per_second": 1}
    for start in range(0, len(keys), connections):
        part = list(zip(apis, keys[start : start + connections]))
        for api, key in part:
            api.send_call("PUT", config_path(key), body)
        for api, _ in part:
            expect("status", api.read_answer("PUT").status in (201, 204), True)


def wait_for_list(api):
    """With Redis there is none before all was read."""
    wait_until("it can be listed", lambda: api.call("GET", "/config").status == 200)


# --- what is in it --------------------------------------------------------------------------


def test_list_has_what_was_put():
    daemon = serve()
    api = Api(daemon)
    expect("at first", list_page(api), ([], None))
    first = api.set("user:42", 100, 10)
    second = api.set("default", 5, 0.25, on_error="deny")

    expect("configs", list_page(api)[0], [
        {"key": "user:42", "capacity": 100, "refill_per_second": 10, "on_error": "local",
         "etag": first},
        {"key": "default", "capacity": 5, "refill_per_second": 0.25, "on_error": "deny",
         "etag": second},
    ])


def test_tag_of_a_list_is_one_to_change_under():
    api = Api(serve())
    api.set("key", 5, 1)
    [config] = list_page(api)[0]

    expect("status", api.put("key", 6, 1, f"If-Match: {config['etag']}").status, 204)
    expect("status again", api.put("key", 6, 1, f"If-Match: {config['etag']}").status, 412)


def test_list_is_the_same_after_a_restart():
    config = configuration([], api=api_section())
    daemon = Daemon(config)
    api = Api(daemon)
    for key in "abcdefgh":
        api.set(key, 5, 1)
    api.set("c", 6, 1)
    api.delete("e")
    before = list_all(api)
    daemon.stop()

    expect("keys", keys_of(before), list("abdfghc"))
    expect("configs", list_all(Api(Daemon(config))), before)


KEYS = {
    "quotes": 'a"b\\c',
    "control_characters": "\x01\t\n\x1f\x7f",
    "longest": "\U0010ffff" * 64,
    "longest_of_control_characters": "\x01" * 256,
    "path": "a/b?c=d&e#f %2F",
    "line_separator": "\u2028</script>",
}


@cases(KEYS)
def test_list_gives_back_the_key(key):
    api = Api(the_daemon())
    api.set(key, 41, SLOW)

    expect("it is there", keys_of(list_all(api)).count(key), 1)


# --- pages ----------------------------------------------------------------------------------


def test_pages_of_all_workers_have_each_key_once_while_others_are_changed():
    config = configuration([], api=api_section(max_configs=3000), server={"workers": 2})
    daemon = Daemon(config)
    stays, moves, goes = ([f"{name}{number}" for number in range(500)]
                          for name in ("stays", "moves", "goes"))
    put_all(daemon, [key for three in zip(stays, moves, goes) for key in three])
    apis = [Api(daemon) for _ in range(8)]  # connections to either worker

    first, target = list_page(apis[0])
    put_all(daemon, moves)
    for key in goes[:50]:
        apis[0].delete(key)
    put_all(daemon, ["comes"])
    rest, number = [], 0
    while target:
        number += 1
        page, target = list_page(apis[number % 8], target)
        rest += page

    expect("entries of the first page", len(first), PAGE)
    keys = keys_of(first + rest)
    for key in stays:
        expect(f"{key} is there", keys.count(key), 1)
    for key in moves:
        expect_within(f"{key} is there", keys.count(key), 1, 2)


def test_pages_have_no_more_than_they_may_and_end():
    daemon = Daemon(configuration([], api=api_section(max_configs=2 * PAGE)))
    api = Api(daemon)
    keys = [f"k{number}" for number in range(2 * PAGE)]
    put_all(daemon, keys)

    first, target = list_page(api)
    second, end = list_page(api, target)

    expect("entries of the first page", len(first), PAGE)
    expect("entries of the second page", len(second), PAGE)
    expect("keys", sorted(keys_of(first + second)), sorted(keys))
    expect("end", end, None)


# --- what is refused ------------------------------------------------------------------------


@cases(
    {
        "other": ("/config?limit=10", None),
        "two": ("/config?from=1&limit=10", "from"),
        "empty": ("/config?", None),
        "no_place": ("/config?from=", "from"),
        "word": ("/config?from=user:42", "from"),
        "too_large": ("/config?from=99999999999999999999", "from"),
    }
)
def test_query_that_is_no_place_is_refused(target, field):
    answer = Api(the_daemon()).call("GET", target)

    expect("status", answer.status, 400)
    expect_match("type", answer.problem["type"], ":unexpected-query$")
    expect("field", answer.problem.get("field"), field)
    expect_match("detail", answer.problem["detail"], r"from=.*next")


def test_head_tells_how_long_the_list_is():
    api = Api(serve())
    api.set("head", 5, 1)

    answer = api.call("HEAD", "/config")

    expect("status", answer.status, 200)
    expect("Content-Length", answer.field("Content-Length"),
           str(len(api.call("GET", "/config").body)))


def test_list_counts_as_a_call_for_configs():
    api = Api(serve())

    list_page(api)

    expect("calls", api.metrics().value("api_requests_total", call="config"), 1)


# --- Redis ----------------------------------------------------------------------------------


def test_pages_go_on_at_another_instance():
    section = store(Redis(), deadline=PATIENT)
    one, two = [serve(store=section, api={"max_configs": 3000}) for _ in range(2)]
    keys = [f"k{number}" for number in range(PAGE + 500)]
    put_all(one, keys)
    apis = [Api(two), Api(one)]
    for api in apis:
        wait_for_list(api)
        wait_until("all are known", lambda api=api: len(list_all(api)) == len(keys))

    configs = list_all(*apis)

    expect("different keys", len(set(keys_of(configs))), len(keys))
    expect("keys", len(configs), len(keys))


def test_list_that_was_never_read_is_503():
    redis = Redis()
    redis.kill()
    api = Api(serve(store=store(redis)))

    answer = api.call("GET", "/config")

    expect("status", answer.status, 503)
    expect_match("type", answer.problem["type"], ":store-unavailable$")
    expect_match("detail", answer.problem["detail"], "Redis")
    redis.start()
    wait_for_list(api)
    expect("configs", list_all(api), [])


def test_without_redis_the_list_is_what_was_read_last():
    redis = Redis()
    api = Api(serve(store=store(redis, deadline=PATIENT)))
    etag = api.set("known", 5, 1)
    wait_for_list(api)

    redis.kill()
    wait_until("it is degraded", lambda: api.check("any")["degraded"])

    expect("configs", list_all(api), [{"key": "known", "capacity": 5, "refill_per_second": 1,
                                       "on_error": "local", "etag": etag}])


if __name__ == "__main__":
    run_suite()
