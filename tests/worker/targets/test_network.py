"""Nothing is ever sent to an address that hands out credentials, whatever a name leads to, now or a moment later."""

import ipaddress
import socket
import time

import httpcore
import pytest

from tests.worker.targets.conftest import FILE
from worker.targets import network
from worker.targets.errors import AddressError
from worker.targets.network import forbidden, resolved

METADATA = [
    "169.254.169.254",
    "169.254.170.2",
    "fe80::1",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::",
    "fd00:ec2::254",
    "100.100.100.200",
    "168.63.129.16",
    "0.0.0.0",
    "0.1.2.3",
    "::",
    "224.0.0.1",
    "255.255.255.255",
    "ff02::1",
]
USABLE = ["127.0.0.1", "10.1.2.3", "192.168.0.1", "172.16.0.1", "8.8.8.8", "::1", "fd12::1", "2001:4860:4860::8888"]


@pytest.mark.parametrize("text", METADATA)
def test_link_local_and_metadata_addresses_are_refused(text):
    """In every spelling that the system understands, unless a network is allowed."""
    address = ipaddress.ip_address(text)
    assert forbidden(address)
    assert not forbidden(address, [ipaddress.ip_network(text)])


@pytest.mark.parametrize("text", USABLE)
def test_where_services_live_is_not(text):
    """Private networks too: that is where an enhanced system usually is."""
    assert not forbidden(ipaddress.ip_address(text))


@pytest.fixture
def names(monkeypatch):
    """Answer names in turn."""

    def answer(*addresses: str) -> list[str]:
        left, real = list(addresses), socket.getaddrinfo
        asked = []

        def getaddrinfo(host, port, *args, **options):
            if host[0].isdigit():
                return real(host, port, *args, **options)
            asked.append(host)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (left.pop(0), port))]

        monkeypatch.setattr(network.socket, "getaddrinfo", getaddrinfo)
        return asked

    return answer


TEXT = FILE.replace("127.0.0.1", "notes.internal")


def test_a_name_that_leads_to_metadata_is_not_followed(service, make_bound, names):
    """Allowed by name, refused by address."""
    names("169.254.169.254")
    with pytest.raises(AddressError, match=r"^notes\.internal leads to no address"):
        make_bound(service.port, text=TEXT).operations["note.list"].enhanced(user="ann")


def test_the_address_that_was_looked_at_is_the_one_connected_to(service, make_bound, names):
    """A name that is answered differently the second time is asked once."""
    asked = names("127.0.0.1", "169.254.169.254")
    bound = make_bound(service.port, text=TEXT)
    bound.operations["note.list"].enhanced(user="ann")
    assert (asked, service.asked[0].headers["host"]) == (["notes.internal"], f"notes.internal:{service.port}")


def test_a_name_that_nobody_knows_is_a_refusal(monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror

    monkeypatch.setattr(network.socket, "getaddrinfo", unknown)
    with pytest.raises(httpcore.ConnectError, match="not known"):
        resolved("nowhere.invalid", 80, time.monotonic() + 5)


def test_a_resolver_that_hangs_is_not_waited_for(monkeypatch):
    """It takes no deadline by itself."""

    def slow(*_, **__):
        time.sleep(1)
        raise socket.gaierror

    monkeypatch.setattr(network.socket, "getaddrinfo", slow)
    began = time.monotonic()
    with pytest.raises(httpcore.ConnectTimeout):
        resolved("slow.example", 80, began + 0.05)
    assert time.monotonic() - began < 0.8
