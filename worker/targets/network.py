"""Connections to targets: none to a forbidden address, none that outlives a call's deadline, however slowly it drips.

Names are resolved here, checked, and the address that was checked is the one connected to: a name that is answered
differently the second time leads nowhere. Every wait of an exchange is cut at its deadline, also between two bytes.
"""

import ipaddress
import socket
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

import httpcore

from worker.targets.errors import AddressError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: cloud providers answer these with credentials, to whoever asks from inside
_METADATA: Final = ("fd00:ec2::254", "100.100.100.200", "168.63.129.16", "192.0.0.192", "fd20:ce::254")
_INSIDE_V6: Final = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))  # NAT64


@dataclass(slots=True)
class Exchange:
    """One request and its answer, as the connections that serve it see it."""

    until: float  #: the deadline, on the monotonic clock
    connected: bool = False  #: a connection was opened for it
    heard: bool = False  #: a byte of the answer has come

    @property
    def left_s(self) -> float:
        """How much time is left."""
        return self.until - time.monotonic()


_current: ContextVar[Exchange | None] = ContextVar("gnomon_exchange", default=None)


@contextmanager
def exchanging(until: float) -> Iterator[Exchange]:
    """Bound everything that this thread sends and receives in the block."""
    exchange = Exchange(until)
    token = _current.set(exchange)
    try:
        yield exchange
    finally:
        _current.reset(token)


def _bounded(timeout: float | None, error: type[Exception]) -> float | None:
    exchange = _current.get()
    if exchange is None:
        return timeout
    if exchange.left_s <= 0:
        raise error("the call's time is up")
    return exchange.left_s if timeout is None else min(timeout, exchange.left_s)


class Stream(httpcore.NetworkStream):
    """A stream whose every wait ends at the deadline of the exchange that waits."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return what has come; raises httpcore.ReadTimeout."""
        received = self._stream.read(max_bytes, _bounded(timeout, httpcore.ReadTimeout))
        if received and (exchange := _current.get()) is not None:
            exchange.heard = True
        return received

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send; raises httpcore.WriteTimeout."""
        self._stream.write(buffer, _bounded(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        """Close."""
        self._stream.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """Return the stream with TLS on it."""
        bounded = _bounded(timeout, httpcore.ConnectTimeout)
        return Stream(self._stream.start_tls(ssl_context, server_hostname, bounded))

    def get_extra_info(self, info: str) -> Any:
        """Return what the stream below says."""
        return self._stream.get_extra_info(info)


class Backend(httpcore.NetworkBackend):
    """Opens connections to allowed addresses; `allowed` are networks that would be refused otherwise."""

    def __init__(self, allowed: Sequence[Network] = ()) -> None:
        self._allowed = allowed
        self._below = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first address of `host` that answers; raises AddressError where none may be connected to."""
        until = time.monotonic() + (_bounded(timeout, httpcore.ConnectTimeout) or 0.0)
        last: Exception | None = None
        for address in self._usable(host, port, until):
            left_s = until - time.monotonic()
            if left_s <= 0:
                break
            try:
                stream = self._below.connect_tcp(str(address), port, left_s, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                last = error
                continue
            if (exchange := _current.get()) is not None:
                exchange.connected = True
            return Stream(stream)
        raise last or httpcore.ConnectTimeout("the call's time is up")

    def _usable(self, host: str, port: int, until: float) -> list[Address]:
        found = resolved(host, port, until)
        usable = [address for address in found if not forbidden(address, self._allowed)]
        if not usable:
            raise AddressError(f"{host} leads to no address that may be connected to")
        return usable


def forbidden(address: Address, allowed: Sequence[Network] = ()) -> bool:
    """Tell whether nothing may be sent to an address: link-local, metadata, multicast, or nobody's at all."""
    real = _unwrapped(address)
    if any(real in network or address in network for network in allowed):
        return False
    return real.is_link_local or real.is_multicast or real.is_unspecified or _special(real)


def _special(address: Address) -> bool:
    if str(address) in _METADATA:
        return True
    if isinstance(address, ipaddress.IPv4Address):
        return address.is_reserved or address in ipaddress.ip_network("0.0.0.0/8")
    return address.is_site_local


def _unwrapped(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 one stands for, where it stands for one."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    inner = address.ipv4_mapped or address.sixtofour
    if inner is None and any(address in network for network in _INSIDE_V6):
        inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return inner or address


def resolved(host: str, port: int, until: float) -> list[Address]:
    """Return the addresses of a host; raises httpcore.ConnectTimeout and httpcore.ConnectError.

    The system's resolver takes no deadline: it is asked on a thread of its own, which ends when it is answered.
    """
    try:
        return [ipaddress.ip_address(host.strip("[]"))]
    except ValueError:
        pass
    answer: list[list[Address] | OSError] = []
    asked = threading.Thread(target=_ask, args=(host, port, answer), name="gnomon-resolve", daemon=True)
    asked.start()
    asked.join(max(0.0, until - time.monotonic()))
    if not answer:
        raise httpcore.ConnectTimeout("the name was not resolved in time")
    if isinstance(answer[0], OSError):
        raise httpcore.ConnectError("the name is not known")
    return answer[0]


def _ask(host: str, port: int, answer: "list[list[Address] | OSError]") -> None:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        answer.append(error if isinstance(error, OSError) else OSError(str(error)))
        return
    answer.append(list(dict.fromkeys(ipaddress.ip_address(str(entry[4][0])) for entry in found)))
