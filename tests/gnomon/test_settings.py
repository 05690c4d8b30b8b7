"""Settings are read once; a bad one is named at start-up, without its secrets."""

import pytest

from gnomon import ConfigurationError, Gnomon
from gnomon.settings import ClientSettings, redacted


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("GNOMON_REDIS_URL", "localhost:6379", "redis://HOST:PORT/DB"),
        ("GNOMON_REDIS_URL", "redis://:secret@host:notaport", "redis://HOST:PORT/DB"),
        ("GNOMON_LANES", "none", "a whole number from 1 to 4,096"),
        ("GNOMON_LANES", "1" + 26 * "0", "a whole number from 1 to 4,096"),
        ("GNOMON_LANE_BYTES", "9007199254740992", "below 2**53"),
        ("GNOMON_SAMPLE", "1.5", "a number from 0 to 1"),
        ("GNOMON_SAMPLE", "nan", "a number from 0 to 1"),
        ("GNOMON_CAPTURE", "maybe", "on or off"),
        ("GNOMON_NAMESPACE", "a b", "letters, digits"),
        ("ENHANCED_ROLLOUT_PERCENTAGE", "ten", "a percentage from 0 to 100"),
        ("REACT_APP_ENHANCED_MEMORY", "perhaps", "true or false"),
    ],
)
def test_a_malformed_variable_is_named(variable, value, expected):
    """The error names the variable and what it takes, never a password."""
    with pytest.raises(ConfigurationError) as caught:
        Gnomon.from_env({variable: value})
    assert str(caught.value).startswith(variable)
    assert expected in str(caught.value)
    assert "secret" not in str(caught.value)


def test_without_redis_the_client_is_null():
    """Nothing configured: calls go through, nothing is captured, nothing is started."""
    client = Gnomon.from_env({})

    @client.operation("memory.recent", kind="read", user="user_id")
    def recent(user_id: str) -> str:
        return user_id

    assert recent("ann") == "ann"
    assert client.metrics()["legacy_calls"] == 1
    assert client.metrics()["eligible"] == 0
    assert client.health().status == "off"
    assert client.flush(0.0)
    client.close()


def test_capture_off_is_phase_off():
    """`GNOMON_CAPTURE=off` captures nothing, though Redis is configured."""
    client = Gnomon.from_env({"GNOMON_REDIS_URL": "redis://127.0.0.1:1/0", "GNOMON_CAPTURE": "off"})
    assert client.health().details == {"reason": "capture is off"}


def test_defaults_are_documented_values():
    """An empty environment gives the defaults."""
    assert ClientSettings.from_env({}) == ClientSettings()


def test_redacted_leaves_the_password_out():
    """A URL keeps its host, not its password."""
    assert redacted("redis://user:pa@ss@host:1/0") == "redis://***@host:1/0"
