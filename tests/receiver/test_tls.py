"""The server with a certificate: whoever does not speak TLS, or not to its end, gets no further and holds nothing."""

from __future__ import annotations

import os
import socket
import ssl
from contextlib import suppress
from pathlib import Path

import pytest
import requests
import trustme
from cryptography.hazmat.primitives import serialization
from support.sample import Sample

from resumable import OptionError, Resumable
from resumable.receiver import FileStore, Limits, Receiver, Request, Server
from resumable.receiver.server.tls import Certificate

PATIENCE = 60.0
QUICK = Limits(header_timeout=0.2, linger=0.1, grace=0.1)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def bundle(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What trusts the authority."""
    path = tmp_path_factory.mktemp("authority") / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return str(path)


@pytest.fixture(scope="module")
def pem(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate and its key in one file."""
    path = tmp_path_factory.mktemp("server") / "server.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(path)
    return path


@pytest.fixture
def trusting(bundle: str) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=bundle)


def connect(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE)


def test_a_file_arrives(root: Path, pem: Path, bundle: str) -> None:
    schemes = set()

    def received(record: object, request: Request) -> None:
        schemes.add(request.environ["wsgi.url_scheme"])

    data = bytes(range(256)) * 20_000
    with Server(Receiver(root, on_file_received=received), certfile=pem) as server:
        assert server.url.startswith("https://127.0.0.1:")
        with Resumable(server.url, 1 << 20, session=trusting_session(bundle)) as session:
            session.add_file(data, relative_path="a.bin")
        page = requests.get(f"{server.url}page.js", verify=bundle, timeout=PATIENCE)
    assert (root / "a.bin").read_bytes() == data
    assert page.status_code == 200
    assert schemes == {"https"}


def trusting_session(bundle: str) -> requests.Session:
    session = requests.Session()
    session.verify = bundle
    return session


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH"])
def test_a_client_without_tls_is_told_so(root: Path, pem: Path, method: str) -> None:
    with Server(root, certfile=pem, limits=QUICK) as server:
        answer = requests.request(method, server.url.replace("https:", "http:"), data=b"12345678", timeout=PATIENCE)
    assert answer.status_code == 400
    assert "https://" in answer.text


def test_a_client_that_ends_its_handshake_never_is_disconnected(
    root: Path, pem: Path, trusting: ssl.SSLContext
) -> None:
    hello = ssl.MemoryBIO()
    speaking = trusting.wrap_bio(ssl.MemoryBIO(), hello, server_hostname="127.0.0.1")
    with pytest.raises(ssl.SSLWantReadError):
        speaking.do_handshake()
    greeting = hello.read()
    with Server(root, certfile=pem, limits=QUICK) as server:
        for said in (b"", greeting[:1], greeting[:50], greeting, b"\x16\x03\x01\xff\xff" + bytes(100)):
            with connect(server) as client:
                client.sendall(said)
                with suppress(ConnectionResetError):
                    while client.recv(4096):
                        pass


def test_silent_connections_keep_nobody_out(root: Path, pem: Path, bundle: str) -> None:
    with Server(root, certfile=pem, limits=Limits(max_connections=8)) as server:
        silent = [connect(server) for _ in range(8)]
        try:
            answer = requests.get(f"{server.url}healthz", verify=bundle, timeout=PATIENCE)
        finally:
            for client in silent:
                client.close()
    assert answer.status_code in (200, 503)


def test_nothing_is_stored_of_a_body_that_is_cut(root: Path, pem: Path, trusting: ssl.SSLContext) -> None:
    receiver = Receiver(FileStore(root, fsync="never"))
    sample = Sample(data=bytes(1_000_000), chunk_size=1_000_000)
    head = f"POST /?{sample.query(1)} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000\r\n\r\n"
    with Server(receiver, certfile=pem, limits=Limits(linger=0.1, grace=0.1)) as server:
        with connect(server) as plain, trusting.wrap_socket(plain, server_hostname="127.0.0.1") as client:
            client.sendall(head.encode() + bytes(600_000))
            # The end of the connection below, without that of TLS.
            socket.socket.shutdown(client, socket.SHUT_RDWR)
        with connect(server) as plain, trusting.wrap_socket(plain, server_hostname="127.0.0.1") as client:
            client.sendall(head.encode() + bytes(600_000))
            server.stop()
    assert sample.test(receiver, 1).status == 204


def test_a_certificate_is_read_anew_when_it_has_changed(
    authority: trustme.CA, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "server.pem"
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(path)
    certificate = Certificate(str(path), None, look_every=0.0)
    first = certificate.context()
    assert certificate.context() is first
    os.utime(path, (0, 0))
    second = certificate.context()
    assert second is not first
    path.write_text("half")
    assert certificate.context() is second
    assert "keep the old one" in caplog.text


def broken(authority: trustme.CA, pem: Path, directory: Path) -> dict[str, tuple[str, str | None]]:
    one, other = authority.issue_cert("localhost"), authority.issue_cert("localhost")
    for name, blob in (("cert", one.cert_chain_pems[0]), ("key", other.private_key_pem)):
        blob.write_to_path(directory / name)
    key = serialization.load_pem_private_key(one.private_key_pem.bytes(), None)
    locked = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"passphrase"),
    )
    (directory / "locked").write_bytes(locked)
    (directory / "text").write_text("no certificate")
    cert = str(directory / "cert")
    return {
        "missing": (str(directory / "missing"), None),
        "no key": (cert, None),
        "missing key": (cert, str(directory / "missing")),
        "the key of another": (cert, str(directory / "key")),
        "a passphrase": (cert, str(directory / "locked")),
        "text": (str(directory / "text"), str(pem)),
    }


@pytest.mark.parametrize(
    ("problem", "option"),
    [
        ("missing", "certfile"),
        ("no key", "certfile"),
        ("missing key", "keyfile"),
        ("the key of another", "certfile"),
        ("a passphrase", "keyfile"),
        ("text", "certfile"),
    ],
)
def test_it_does_not_start_without_a_whole_certificate(
    authority: trustme.CA, pem: Path, root: Path, tmp_path: Path, problem: str, option: str
) -> None:
    certfile, keyfile = broken(authority, pem, tmp_path)[problem]
    with pytest.raises(OptionError) as caught:
        Server(root, certfile=certfile, keyfile=keyfile).start()
    assert caught.value.option == option


def test_a_key_belongs_to_a_certificate(root: Path, pem: Path) -> None:
    with pytest.raises(OptionError, match="keyfile"):
        Server(root, keyfile=pem)
