#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""
How the daemon gets to Redis: TLS whose name is verified, certificates, users and
passwords, databases, Unix sockets; and that what is wrong is said once and harms nobody.
"""
import os
import re
import urllib.parse

from api import SLOW, Api, api_section, check_for, check_until, serve
from daemon import Daemon, configuration, expect_refused, new_directory
from redis import PATIENT, Certificates, Redis, said_of, store
from support import (
    cases,
    expect,
    expect_match,
    fail,
    run_before_others,
    run_suite,
    shared,
    wait_until,
)

NOT_FOR_A_URL = "p@ss:w/rd?#%&"


@shared
def the_certificates():
    return Certificates()


def expect_served(section, redis, what="served"):
    """Checks are Redis'; returns the daemon."""
    daemon = serve(store=section | {"redis": {"deadline": PATIENT} | section["redis"]})
    api = Api(daemon)
    check_until(api, "any", lambda verdict: not verdict["degraded"])
    api.set(what, 5, SLOW)
    expect("allowed", api.verdicts(what, 7), [True] * 5 + [False] * 2)
    return daemon


def expect_not_served(section, pattern):
    """Checks go on degraded, and the log says why; returns the daemon."""
    daemon = serve(store=section)
    taken = check_for(Api(daemon), "any", 1)
    expect("degraded", {one.verdict["degraded"] for one in taken}, {True})
    daemon.log.wait_for("redis")
    wait_until(f"the log says {pattern}",
               lambda: any(pattern.lower() in line.lower() for line in said_of(daemon)), 5)
    return daemon


# --- TLS ------------------------------------------------------------------------------------


def test_tls_with_an_authority():
    certificates = the_certificates()
    redis = Redis("--tls-auth-clients", "no", certificates=certificates)

    expect_served(store(redis, ca_file=certificates.ca), redis)

    expect("keys", "xdp-throttle:check:served" in redis.keys(), True)


def test_tls_with_a_name():
    certificates = Certificates("DNS:localhost")
    redis = Redis("--tls-auth-clients", "no", certificates=certificates)

    expect_served(store(f"rediss://localhost:{redis.port}", ca_file=certificates.ca), redis)


def test_tls_with_a_client_s_certificate():
    certificates = the_certificates()
    redis = Redis("--tls-auth-clients", "yes", certificates=certificates)

    expect_served(store(redis, ca_file=certificates.ca, cert_file=certificates.client_cert,
                        key_file=certificates.client_key), redis)


def test_tls_with_a_password():
    certificates = the_certificates()
    redis = Redis("--tls-auth-clients", "no", certificates=certificates, password="of-the-default")

    expect_served(store(redis.url(password="of-the-default"), ca_file=certificates.ca), redis)


def test_tls_survives_a_restart():
    certificates = the_certificates()
    redis = Redis("--tls-auth-clients", "no", certificates=certificates)
    api = Api(expect_served(store(redis, ca_file=certificates.ca), redis))

    redis.kill()
    check_until(api, "any", lambda verdict: verdict["degraded"])
    redis.start()

    check_until(api, "any", lambda verdict: not verdict["degraded"], 2)


def test_tls_carries_large_batches():
    certificates = the_certificates()
    redis = Redis("--tls-auth-clients", "no", certificates=certificates)
    api = Api(expect_served(store(redis, ca_file=certificates.ca), redis))

    results = api.checks(*((f"{number:04d}" + "k" * 200, 1) for number in range(1000)))

    expect("degraded", {result["degraded"] for result in results}, {False})
    expect("keys", len(redis.keys("*kkk")), 1000)


def test_certificate_of_another_name_is_refused():
    certificates = Certificates("DNS:other.test")
    redis = Redis("--tls-auth-clients", "no", certificates=certificates)

    expect_not_served(store(f"rediss://localhost:{redis.port}", ca_file=certificates.ca),
                      "certificate")

    expect("keys", redis.keys("*check:*"), [])


def test_certificate_of_another_address_is_refused():
    certificates = Certificates("IP:127.0.0.2")
    redis = Redis("--tls-auth-clients", "no", certificates=certificates)

    expect_not_served(store(redis, ca_file=certificates.ca), "certificate")


def test_certificate_of_another_authority_is_refused():
    redis = Redis("--tls-auth-clients", "no", certificates=the_certificates())

    expect_not_served(store(redis, ca_file=Certificates().ca), "certificate")


def test_certificate_of_no_known_authority_is_refused():
    """Without ca_file those of the system are the ones that are believed."""
    redis = Redis("--tls-auth-clients", "no", certificates=the_certificates())

    expect_not_served(store(redis), "certificate")


def test_missing_client_s_certificate_is_said():
    certificates = the_certificates()
    redis = Redis("--tls-auth-clients", "yes", certificates=certificates)

    expect_not_served(store(redis, ca_file=certificates.ca), redis.name)


def test_tls_to_a_server_without_is_said():
    redis = Redis()

    expect_not_served(store(f"rediss://{redis.name}", ca_file=the_certificates().ca), redis.name)


def test_plain_to_a_server_with_tls_is_said():
    redis = Redis("--tls-auth-clients", "no", certificates=the_certificates())

    expect_not_served(store(f"redis://{redis.name}"), redis.name)


@cases(
    {
        "that_is_not_there": (None, r"ca\.pem: .*No such file"),
        "that_is_empty": ("", r"ca\.pem: .*certificate"),
        "that_is_garbage": ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                            r"ca\.pem: .*certificate"),
    }
)
def test_authority_s_file(text, pattern):
    file = new_directory() / "ca.pem"
    if text is not None:
        file.write_text(text)
    config = configuration([], api=api_section(),
                           store=store("rediss://127.0.0.1:1", ca_file=str(file)))

    expect_refused(config, pattern, commands=("run",))


def garbage_for(directory, key):
    """The files of a client, of which one holds nothing that can be used."""
    certificates = the_certificates()
    files = {
        "ca_file": certificates.ca,
        "cert_file": certificates.client_cert,
        "key_file": certificates.client_key,
    }
    path = directory / f"bad-{key}.pem"
    path.write_text("garbage")
    return files | {key: str(path)}


@cases({"ca": "ca_file", "cert": "cert_file", "key": "key_file"})
def test_file_that_is_no_use_is_refused(key):
    """At the start, and at a reload, which changes nothing."""
    config = configuration([], api=api_section(), store=store("rediss://127.0.0.1:1"))
    daemon = Daemon(config)
    files = garbage_for(new_directory(), key)
    config["store"] = config["store"] | store("rediss://127.0.0.1:1", **files)
    pattern = rf"master: {re.escape(files[key])}: store\.redis\.{key}: .*refused: nothing changed"

    log = daemon.reload(config)

    expect_match("log", log, pattern)
    expect("it is reloaded", "reloaded: " in log, False)
    expect("status", Api(daemon).call("GET", "/health").status, 200)
    said = expect_refused(config, re.escape(files[key]), commands=("run",))
    expect("a worker is said to have ended", "worker" in said, False)


def test_key_of_another_certificate_is_refused():
    files = {
        "ca_file": the_certificates().ca,
        "cert_file": the_certificates().client_cert,
        "key_file": Certificates().client_key,
    }
    config = configuration([], api=api_section(), store=store("rediss://127.0.0.1:1", **files))

    expect_refused(config, rf"{re.escape(files['key_file'])}: store\.redis\.key_file: not the key",
                   commands=("run",))


def test_new_certificates_hold_after_a_reload():
    certificates = the_certificates()
    redis = Redis("--tls-auth-clients", "no", certificates=certificates)
    file = new_directory() / "ca.pem"
    with open(Certificates().ca, encoding="ascii") as other:
        file.write_text(other.read())
    config = configuration([], api=api_section(), store=store(redis, ca_file=str(file)))
    daemon = Daemon(config)
    check_until(Api(daemon), "any", lambda verdict: verdict["degraded"])

    with open(certificates.ca, encoding="ascii") as right:
        file.write_text(right.read())
    daemon.reload(config)

    check_until(Api(daemon), "any", lambda verdict: not verdict["degraded"])


# --- who one is ---------------------------------------------------------------------------------


def test_password_in_the_url():
    redis = Redis(password="simple")

    expect_served(store(redis.url(password="simple")), redis)


def test_password_of_any_characters_in_the_url():
    redis = Redis(password=NOT_FOR_A_URL)

    expect_served(store(redis.url(password=urllib.parse.quote(NOT_FOR_A_URL, safe=""))), redis)


def test_password_in_a_file():
    redis = Redis(password=NOT_FOR_A_URL)
    file = new_directory() / "password"
    file.write_text(NOT_FOR_A_URL + "\n")
    file.chmod(0o600)

    expect_served(store(redis, password_file=str(file)), redis)


READERS = {"others": (0o644, True), "its_owner": (0o600, False)}


@cases(READERS)
def test_password_file_is_warned_of_where_it_can_be_read_by(mode, is_warned):
    file = new_directory() / "password"
    file.write_text("of-the-file")
    file.chmod(mode)

    daemon = serve(store=store("redis://127.0.0.1:1", password_file=str(file)))

    expect("warned", f"{file}: others than its owner can read" in daemon.log.text(), is_warned)


@cases(READERS)
def test_key_of_a_certificate_is_warned_of_where_it_can_be_read_by(mode, is_warned):
    certificates = the_certificates()
    file = new_directory() / "key"
    with open(certificates.client_key, encoding="ascii") as key:
        file.write_text(key.read())
    file.chmod(mode)

    daemon = serve(store=store("rediss://127.0.0.1:1", cert_file=certificates.client_cert,
                               key_file=str(file)))

    expect("warned", f"{file}: others than its owner can read" in daemon.log.text(), is_warned)


# As in the manual: those of connections, of buckets, and of configs.
COMMANDS = """
    +select +script|load +evalsha +eval
    +time +get +set +del
    +hget +hset +hdel +hlen +pexpire
    +zadd +zcard +zpopmin +zrangebyscore +zrem +zremrangebyscore +zscore
""".split()


def test_user_who_may_do_no_more_than_is_needed():
    redis = Redis()
    redis.command("ACL", "SETUSER", "throttle", "on", ">of-the-user", "resetkeys",
                  "~xdp-throttle:*", "nocommands", *COMMANDS)
    redis.command("ACL", "SETUSER", "default", "off")

    url = redis.url("throttle", "of-the-user", database=1)
    daemon = expect_served(store(url, lease=10), redis)
    api = Api(daemon)
    for number in range(1001):  # one more than the removals that Redis remembers
        api.set(f"removed {number}", 5, 1)
        expect("status of DELETE", api.delete(f"removed {number}").status, 204)
    redis.command("SCRIPT", "FLUSH")
    api.set("leased", 100, SLOW)
    check_until(api, "leased", lambda verdict: verdict["remaining"] < 90)
    redis.command("FLUSHALL")
    daemon.stop()  # which gives back what was leased
    redis.command("SELECT", 1)
    other = expect_served(store(url), redis, "other")
    redis.command("FLUSHALL")
    wait_until("what was set is put back", lambda: redis.keys("*quotas"))

    expect("refused by its ACL", redis.command("ACL", "LOG"), [])
    for one in (daemon, other):
        expect("the password is said", "of-the-user" in one.log.text(), False)


def test_user_who_may_not_write_is_said():
    redis = Redis()
    redis.command("ACL", "SETUSER", "reader", "on", ">of-the-user", "~*", "+@all", "-@write")

    expect_not_served(store(redis.url("reader", "of-the-user")), redis.name)


def test_user_who_may_not_do_what_scripts_do_is_said():
    redis = Redis()
    redis.command("ACL", "SETUSER", "timeless", "on", ">of-the-user", "~*", "+@all", "-time")

    expect_not_served(store(redis.url("timeless", "of-the-user")), redis.name)


def test_environment_gives_the_password():
    redis = Redis(password="of-the-environment")
    daemon = serve(environment={
        "XDP_THROTTLE_STORE_BACKEND": "redis",
        "XDP_THROTTLE_STORE_REDIS_URL": redis.url(password="of-the-environment"),
    })

    check_until(Api(daemon), "any", lambda verdict: not verdict["degraded"])


# --- where it is ----------------------------------------------------------------------------------


def test_database_is_the_one_of_the_url():
    redis = Redis()

    expect_served(store(redis.url(database=5)), redis)

    expect("keys of database 0", redis.keys(), [])
    redis.command("SELECT", 5)
    expect("keys of database 5", "xdp-throttle:check:served" in redis.keys(), True)


def test_database_that_is_not_there_is_said():
    redis = Redis()

    expect_not_served(store(redis.url(database=99)), redis.name)


def test_unix_socket():
    redis = Redis()
    os.chmod(redis.socket, 0o777)

    expect_served(store(f"unix://{redis.socket}"), redis)


def test_unix_socket_with_a_database():
    redis = Redis()
    os.chmod(redis.socket, 0o777)

    expect_served(store(f"unix://{redis.socket}?db=3"), redis)

    redis.command("SELECT", 3)
    expect("keys", "xdp-throttle:check:served" in redis.keys(), True)


def test_unix_socket_that_comes_later():
    redis = Redis()
    redis.kill()
    daemon = serve(store=store(f"unix://{redis.socket}"))
    api = Api(daemon)
    check_until(api, "any", lambda verdict: verdict["degraded"])

    redis.start()
    os.chmod(redis.socket, 0o777)

    check_until(api, "any", lambda verdict: not verdict["degraded"], 3)


def test_name_of_the_host():
    redis = Redis()

    expect_served(store(f"redis://localhost:{redis.port}"), redis)


def test_name_that_nobody_knows_is_said():
    daemon = expect_not_served(store("redis://nobody.invalid:6379"), "nobody.invalid")

    if len([line for line in daemon.log.lines if "nobody.invalid" in line]) > 2:
        fail(f"it is said again and again:\n{daemon.log.text()}")


def test_password_of_a_url_is_never_said():
    config = configuration([], api=api_section(),
                           store=store("redis://user:very-secret@127.0.0.1:port/0"))

    said = expect_refused(config, r"url")
    daemon = serve(store=store("redis://user:very-secret@127.0.0.1:1/0"))
    daemon.log.wait_for(r"127\.0\.0\.1:1\b")

    for text in (said, daemon.log.text(), Api(daemon).metrics().text):
        expect("the password is said", "very-secret" in text, False)


if __name__ == "__main__":
    run_before_others()
    run_suite()
