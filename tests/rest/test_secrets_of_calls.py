"""No error, log line or kept body shows a token or a key; and TLS, which guards them."""

import gc
import logging
import ssl
import traceback
import weakref
from contextlib import suppress

import pytest

from heygen_avatar.errors import (
    APIConnectionError,
    APIError,
    APITimeoutError,
    AuthenticationError,
    SessionStateError,
)
from heygen_avatar.rest import RestClient
from tests.rude import (
    TRICKLES_BODY,
    RudeServer,
    breaks_off,
    forgets_tls,
    hangs_up,
    is_silent,
    says,
    sends,
)

from .calls import BY_KEY, CREATE, FINE, KEY, SAFE, TOKEN, call_failing, rest_threads

# -- secrets


def everything_told_by(error):
    """The error, what it is chained to, and all that hangs on them, as text."""
    texts, pending, seen = [], [error], set()
    while pending:
        current = pending.pop()
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        texts += [str(current), repr(current), repr(vars(current)), "".join(traceback.format_exception(current))]
        pending += [current.__cause__, current.__context__]
        for attribute in ("request", "response"):
            held = getattr(current, attribute, None)
            texts.append(repr(getattr(held, "headers", "")))
    return "\n".join(texts)


@pytest.mark.parametrize(
    "manner",
    [
        hangs_up,
        breaks_off,
        is_silent,
        sends(b"", 307, Location=f"http://elsewhere/?token={TOKEN}"),
        says({"message": f"invalid token {TOKEN}", "code": 400112}, 401),
        sends(TOKEN.encode(), 500),
    ],
)
def test_no_error_shows_the_token(server, client, manner):
    server.will(manner)
    assert TOKEN not in everything_told_by(call_failing(client, CREATE, timeout=0.5))


def test_a_secret_echoed_by_the_service_is_blacked_out_in_the_kept_body(server, client):
    server.will(says({"message": "no such key", "data": KEY}, 401))
    error = call_failing(client, BY_KEY, kind=AuthenticationError)
    assert KEY not in error.response_text
    assert "[redacted]" in error.response_text


ODD_TOKEN = "to/ken=with+odd"


@pytest.mark.parametrize(
    "echo",
    [
        pytest.param(rb"to\/ken=with+odd", id="slashes escaped as in JSON"),
        pytest.param(rb"to/ken\u003dwith\u002bodd", id="characters escaped as in JSON"),
        pytest.param(b"to%2Fken%3Dwith%2Bodd", id="as in a URL"),
    ],
)
def test_an_echoed_secret_is_blacked_out_however_it_is_spelled(server, echo):
    client = RestClient(server.base_path, token=ODD_TOKEN)
    server.will(sends(b'{"code": 400112, "message": "bad token ' + echo + b'"}', 401))
    error = call_failing(client, kind=AuthenticationError)
    assert error.message == "bad token [redacted]"
    assert echo.decode() not in everything_told_by(error)
    assert ODD_TOKEN not in everything_told_by(error)
    client.close()


def test_a_secret_echoed_as_the_requests_id_is_blacked_out(server, client):
    server.will(says({"message": "no"}, 400, X_Request_Id=TOKEN))
    assert call_failing(client, kind=APIError).request_id == "[redacted]"


def test_a_short_secret_does_not_garble_what_an_error_means(server):
    client = RestClient(server.base_path, token="1")
    server.will(says({"code": 10005, "message": "session state wrong: closed"}, 400))
    assert call_failing(client, kind=SessionStateError).code == 10005
    client.close()


def test_an_error_that_was_dealt_with_keeps_nothing_alive(server, client):
    class Avatar:
        pass

    def fail():
        avatar = Avatar()
        with suppress(APIError):
            client.call(SAFE, timeout=5)
        return weakref.ref(avatar)

    server.will(says({"code": 10005, "message": "session state wrong: closed"}, 400))
    gc.disable()
    try:
        assert fail()() is None, "its traceback is held by a cycle that only a garbage collection ends"
    finally:
        gc.enable()


def test_no_log_line_shows_a_secret_or_a_body(server, client, caplog, quick):
    caplog.set_level(logging.DEBUG)
    server.will(sends(b"the body", 503), FINE)
    client.call(SAFE, timeout=5)
    client.call(BY_KEY, timeout=5)
    assert caplog.records
    for hidden in (TOKEN, KEY, "the body", "session_id"):
        assert hidden not in caplog.text


def test_a_clients_repr_shows_where_it_goes_and_no_secret(client, server):
    assert repr(client) == f"<RestClient {server.base_path}>"


# -- TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    import datetime
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture
def tls_server(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = RudeServer(context)
    yield server
    server.stop()


def test_a_tls_break_after_a_create_is_not_taken_for_a_failed_handshake(tls_server, certificate, monkeypatch, quick):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    tls_server.will(forgets_tls, FINE)
    error = call_failing(RestClient(tls_server.base_path, token=TOKEN), CREATE, kind=APIConnectionError)
    assert error.sent
    assert "broke the secure connection" in str(error)
    assert len(tls_server.heard) == 1


def test_a_call_over_tls_is_cut_off_at_its_deadline(tls_server, certificate, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    tls_server.will(TRICKLES_BODY)
    call_failing(RestClient(tls_server.base_path, token=TOKEN), timeout=0.5, kind=APITimeoutError)
    for thread in rest_threads():
        thread.join(1)
    assert not rest_threads()


def test_an_untrusted_certificate_is_refused_before_anything_is_sent(tls_server, quick):
    error = call_failing(RestClient(tls_server.base_path, token=TOKEN), CREATE, kind=APIConnectionError)
    assert not error.sent
    assert "certificate verify failed" in str(error)
    assert not tls_server.heard
