# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Upgrades to a protocol that is bytes to the proxy: both ends of a tunnel."""
import base64
import hashlib

from message import request
from support import expect

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
KEY = "dGhlIHNhbXBsZSBub25jZQ=="


def accept_key(key):
    return base64.b64encode(hashlib.sha1(key.encode() + GUID).digest()).decode()


def upgrade_request(target="/", method="GET", version="HTTP/1.1"):
    return request(
        method, target, "Connection: Upgrade", "Upgrade: websocket",
        f"Sec-WebSocket-Key: {KEY}", "Sec-WebSocket-Version: 13", version=version,
    )


def upgrade(client, target="/"):
    """Ask for a WebSocket, and be let in."""
    client.send(upgrade_request(target))
    answer = client.read_response()
    expect("status", answer.status, 101)
    expect("Upgrade", answer.field("Upgrade"), "websocket")
    expect("Connection", answer.field("Connection").lower(), "upgrade")
    expect("Sec-WebSocket-Accept", answer.field("Sec-WebSocket-Accept"), accept_key(KEY))
    return answer


def let_in(peer):
    """The server's side; returns the request."""
    message = peer.next_request()
    peer.send(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Accept: " + accept_key(message.field("Sec-WebSocket-Key")).encode()
        + b"\r\n\r\n"
    )
    return message


def echo_frames(peer):
    """Let the client in and send back all it sends, until it ends."""
    let_in(peer)
    peer.sock.settimeout(None)
    while data := peer.unread() or peer.sock.recv(65536):
        peer.read_bytes = len(peer.received)
        peer.send(data)
