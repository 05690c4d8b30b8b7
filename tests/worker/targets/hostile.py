"""What a service may answer instead of an answer, and how that is to be classified."""

import gzip
import socket
import time
import zlib

from tests.worker.targets.conftest import answering
from worker.failures import Failure


def drip(connection: socket.socket, asked) -> None:
    connection.sendall(b"HTTP/1.1 200 Slowly\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(1000):
        connection.sendall(b" ")
        time.sleep(0.05)


def drip_head(connection: socket.socket, asked) -> None:
    connection.sendall(b"HTTP/1.1 200 Slowly\r\nX-Slow: ")
    for _ in range(1000):
        connection.sendall(b"x")
        time.sleep(0.05)


def flood(connection: socket.socket, asked) -> None:
    """A gigabyte in chunks, its length never announced."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
    for _ in range(1024):
        connection.sendall(chunk)


def endless_head(connection: socket.socket, asked) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    for number in range(100_000):
        connection.sendall(b"X-%d: y\r\n" % number)


def bomb() -> bytes:
    """Below what an answer may have, and 64 MB unpacked."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    packed = b"".join(packer.compress(bytes(1024 * 1024)) for _ in range(64)) + packer.flush()
    return answering(body=packed, headers="Content-Encoding: gzip\r\n")


HOSTILE = {
    "a gigabyte": (flood, Failure.OVERSIZE, "ResponseTooLarge"),
    "a gigabyte announced": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n ",
        Failure.OVERSIZE,
        "ResponseTooLarge",
    ),
    "10,000 deep": (answering(body=b"[" * 10_000 + b"]" * 10_000), Failure.OVERSIZE, "ResponseTooLarge"),
    "100 deep": (answering(body=b"[" * 100 + b"]" * 100), Failure.OVERSIZE, "ResponseTooLarge"),
    "a byte now and then": (drip, Failure.TIMEOUT, "ReadTimeout"),
    "a head that never ends, slowly": (drip_head, Failure.TIMEOUT, "ReadTimeout"),
    "a head that never ends": (endless_head, Failure.GARBAGE, "BadAnswerError"),
    "a redirect to metadata": (
        answering(status=302, headers="Location: http://169.254.169.254/latest/\r\n"),
        Failure.ERROR,
        "RedirectedError",
    ),
    "a redirect nowhere": (answering(status=301, headers="Location: http://[::\r\n"), Failure.ERROR, "RedirectedError"),
    "invalid UTF-8": (answering(body=b'["\xff\xfe"]'), Failure.GARBAGE, "BadAnswerError"),
    "a lone surrogate": (answering(body=b'["\\ud800"]'), Failure.GARBAGE, "BadAnswerError"),
    "shorter than announced": (
        lambda connection, asked: (
            connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n["one"]'),
            connection.shutdown(socket.SHUT_RDWR),
        ),
        Failure.GARBAGE,
        "BadAnswerError",
    ),
    "longer than announced": (
        b'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n["one", "two"]',
        Failure.GARBAGE,
        "BadAnswerError",
    ),
    "no length that is a number": (
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n[]",
        Failure.GARBAGE,
        "BadAnswerError",
    ),
    "two lengths": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 5\r\n\r\n[]",
        Failure.GARBAGE,
        "BadAnswerError",
    ),
    "a gzip bomb": (bomb, Failure.OVERSIZE, "ResponseTooLarge"),
    "no gzip": (answering(["x"], headers="Content-Encoding: gzip\r\n"), Failure.GARBAGE, "BadAnswerError"),
    "half a gzip": (
        answering(body=gzip.compress(b'["one"]')[:-9], headers="Content-Encoding: gzip\r\n"),
        Failure.GARBAGE,
        "BadAnswerError",
    ),
    "another encoding": (answering(["x"], headers="Content-Encoding: br\r\n"), Failure.GARBAGE, "BadAnswerError"),
    "NaN": (answering(body=b"[NaN]"), Failure.GARBAGE, "BadAnswerError"),
    "1e999": (answering(body=b"[1e999]"), Failure.GARBAGE, "BadAnswerError"),
    "100,000 digits": (answering(body=b"9" * 99_999), Failure.GARBAGE, "BadAnswerError"),
    "no JSON": (answering(body=b"<html>maintenance</html>"), Failure.GARBAGE, "BadAnswerError"),
    "no HTTP": (b"SSH-2.0-OpenSSH\r\n\r\n", Failure.GARBAGE, "BadAnswerError"),
    "nothing": (lambda connection, asked: connection.shutdown(socket.SHUT_RDWR), Failure.ERROR, "DisconnectedError"),
    "500": (answering("oops", status=500), Failure.ERROR, "Http500"),
    "503": (answering("full", status=503, headers="Retry-After: 7\r\n"), Failure.REFUSED, "Http503"),
    "504": (answering("slow", status=504), Failure.TIMEOUT, "Http504"),
    "418": (answering("short and stout", status=418), Failure.ERROR, "Http418"),
}
