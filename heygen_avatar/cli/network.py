"""Whether a host can be reached by name and port. Each look has a deadline and returns what to tell; none raises."""

from __future__ import annotations

import secrets
import socket
import ssl
from urllib.parse import urlsplit

_TIMEOUT = 4.0


def resolve(host: str) -> str | None:
    """None if the name has an address, else what is wrong. Here the deadline is the system's own."""
    try:
        socket.getaddrinfo(host, None)
    except (OSError, UnicodeError) as error:
        return f"its name has no address ({getattr(error, 'strerror', None) or error})"
    return None


def connect(host: str, port: int, *, encrypted: bool) -> str | None:
    """None if it takes a connection (and shows a certificate that is trusted), else what is wrong."""
    try:
        with socket.create_connection((host, port), _TIMEOUT) as plain:
            if encrypted:
                with ssl.create_default_context().wrap_socket(plain, server_hostname=host):
                    pass
    except ssl.SSLError as error:
        return f"its certificate is not trusted ({getattr(error, 'verify_message', '') or error.reason})"
    except OSError as error:
        return f"it takes no connection ({error.strerror or error})"
    return None


def answers_stun(host: str, port: int) -> str | None:
    """None if it answers a STUN binding request over UDP (RFC 8489 §6), else what is wrong."""
    request = b"\x00\x01\x00\x00\x21\x12\xa4\x42" + secrets.token_bytes(12)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.settimeout(_TIMEOUT / 2)
            udp.connect((host, port))
            for _ in range(2):  # a packet may get lost
                udp.send(request)
                try:
                    if udp.recv(1500)[8:20] == request[8:20]:
                        return None
                except TimeoutError:
                    continue
    except OSError as error:
        return f"UDP does not get through ({error.strerror or error})"
    return "UDP gets no answer"


def endpoint(url: str) -> tuple[str, int, bool]:
    """Host, port and whether it is encrypted, of a URL."""
    parts = urlsplit(url)
    encrypted = parts.scheme in ("https", "wss")
    return parts.hostname or "", parts.port or (443 if encrypted else 80), encrypted
