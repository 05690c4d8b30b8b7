"""A channel that closes gives back what it has fetched, and where it cannot, that is no error of anybody's."""

import pytest
from kombu import Connection
from structlog.testing import capture_logs

from worker import broker

pytestmark = pytest.mark.slow


@pytest.fixture
def fetched(valkey_url):
    """Give a channel that has fetched a message and not acknowledged it, and its connection."""
    broker.use()
    with Connection(valkey_url) as connection:
        channel = connection.channel()
        channel.queue_declare("hints")
        channel.basic_publish(channel.prepare_message("one"), exchange="", routing_key="hints")
        assert channel.basic_get("hints").body == b"one"
        yield channel, connection


def test_what_was_fetched_is_given_back(fetched):
    """As kombu does it."""
    channel, connection = fetched
    with capture_logs() as logged:
        channel.close()
    assert logged == []
    assert connection.channel().basic_get("hints", no_ack=True).body == b"one"


def test_a_channel_whose_connection_is_gone_closes_all_the_same(fetched):
    """The state in which a broker that goes away twice leaves it: Celery would end the worker."""
    channel, connection = fetched
    transport, channel.connection.client = channel.connection, None
    channel._disconnect_pools()
    with capture_logs() as logged:
        channel.close()
    transport.client = connection
    assert logged == [{"event": "broker.not_given_back", "log_level": "warning", "hints": 1, "error": "AttributeError"}]
