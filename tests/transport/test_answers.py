"""How an answer is read that comes at once, and one that does not."""

from __future__ import annotations

import socket

import pytest

from resumable.transport.connections import FastResponse
from resumable.transport.response import BegunAnswer, parse_whole

WHOLE = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nA: 1\r\nSet-Cookie: c=d\r\na : 2\r\nContent-Length: 2\r\n\r\nok"


def test_an_answer_is_the_same_wherever_its_first_packet_ends() -> None:
    answer = parse_whole(WHOLE)
    assert answer is not None
    assert (answer.reply.status, answer.reply.headers["a"], answer.reply.text) == (200, "1, 2", "ok")
    assert (answer.cookies, answer.closes) == (["Set-Cookie: a=b", "Set-Cookie: c=d"], False)
    for size in range(len(WHOLE)):
        assert parse_whole(WHOLE[:size]) is None
        ours, theirs = socket.socketpair()
        with ours, theirs:
            theirs.sendall(WHOLE[size:])
            response = FastResponse(BegunAnswer(ours, WHOLE[:size]), method="POST")
            response.begin()
            assert (response.status, response.headers, response.cookies) == (200, answer.reply.headers, answer.cookies)
            assert (response.read(), response.will_close) == (b"ok", False)
            response.close()


@pytest.mark.parametrize(
    "received",
    [
        b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 103 Early\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n and so on\r\n\r\nok",
        b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Encoding: gzip\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + b"A: b\r\n" * 100 + b"\r\nok",
    ],
)
def test_what_is_not_plain_is_left_to_the_library(received: bytes) -> None:
    assert parse_whole(received) is None


def test_a_server_that_closes_says_so() -> None:
    answer = parse_whole(b"HTTP/1.1 204\r\nConnection: Close\r\nContent-Length: 7\r\n\r\n")
    assert answer is not None
    assert (answer.reply.status, answer.reply.text, answer.closes) == (204, "", True)
