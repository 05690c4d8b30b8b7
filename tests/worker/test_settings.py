"""What a worker can set: each bad variable is named with what was expected, and a password is never repeated."""

import os

import pytest

from gnomon.errors import ConfigurationError
from gnomon.settings import ClientSettings
from worker.settings import load

SECRET = "open-sesame"
GOOD = {"GNOMON_REDIS_URL": "redis://127.0.0.1:6379/0", "GNOMON_DATABASE_URL": "sqlite:///ledger.sqlite3"}


@pytest.fixture
def environment(monkeypatch):
    """Set exactly these GNOMON_ variables."""
    for name in [name for name in os.environ if name.upper().startswith("GNOMON_")]:
        monkeypatch.delenv(name)

    def use(**variables: str) -> None:
        for name, value in {**GOOD, **variables}.items():
            monkeypatch.setenv(name, value)

    return use


def test_two_variables_are_enough(environment):
    """Everything else has a default; one process for each core."""
    environment()
    used = load()
    assert (used.namespace, used.lanes, used.threads, used.replay_timeout_s) == ("default", 64, 16, 10.0)
    assert used.operation_modules == ("gnomon_memory.operations",)
    assert used.concurrency == os.cpu_count()


def test_every_variable_is_read(environment):
    """Each by its name in capitals."""
    environment(
        GNOMON_NAMESPACE="homes",
        GNOMON_OPERATIONS=" one.module , another ",
        GNOMON_LANES="8",
        GNOMON_CONCURRENCY="3",
        GNOMON_THREADS="5",
        GNOMON_REPLAY_TIMEOUT_S="0.5",
    )
    used = load()
    assert (used.namespace, used.operation_modules) == ("homes", ("one.module", "another"))
    assert (used.lanes, used.concurrency, used.threads, used.replay_timeout_s) == (8, 3, 5, 0.5)


def test_empty_variables_are_not_there(environment):
    """As a compose file leaves them."""
    environment(GNOMON_LANES="", GNOMON_NAMESPACE="")
    assert (load().lanes, load().namespace) == (64, "default")


@pytest.mark.parametrize("variable", GOOD)
def test_what_is_missing_is_named(environment, monkeypatch, variable):
    """With what it should hold."""
    environment()
    monkeypatch.delenv(variable)
    with pytest.raises(ConfigurationError, match=f"^{variable}: is not set; expected ") as refused:
        load()
    assert refused.value.variable == variable


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("GNOMON_REDIS_URL", "http://127.0.0.1:6379"),
        ("GNOMON_REDIS_URL", "127.0.0.1:6379"),
        ("GNOMON_DATABASE_URL", "mysql://ann@db/ledger"),
        ("GNOMON_DATABASE_URL", "ledger.sqlite3"),
        ("GNOMON_DATABASE_URL", "sqlite://"),
        ("GNOMON_LANES", "0"),
        ("GNOMON_LANES", "many"),
        ("GNOMON_LANES", "5000"),
        ("GNOMON_CONCURRENCY", "0"),
        ("GNOMON_CONCURRENCY", "1.5"),
        ("GNOMON_THREADS", "-1"),
        ("GNOMON_THREADS", "257"),
        ("GNOMON_REPLAY_TIMEOUT_S", "0"),
        ("GNOMON_REPLAY_TIMEOUT_S", "nan"),
        ("GNOMON_REPLAY_TIMEOUT_S", "soon"),
    ],
)
def test_a_bad_variable_is_named_with_its_value(environment, variable, text):
    """One line: the variable, what was found, what was expected."""
    environment(**{variable: text})
    with pytest.raises(ConfigurationError, match=f"^{variable}: cannot use .*; expected ") as refused:
        load()
    assert text in str(refused.value) or "***" in str(refused.value)


@pytest.mark.parametrize("text", ["redis://127.0.0.1:port/0", "redis://127.0.0.1:6379/first", "redis://"])
def test_a_redis_url_that_cannot_be_used_is_named_at_the_start(environment, text):
    """What the live client refuses by name, the worker refuses by name."""
    with pytest.raises(ConfigurationError):
        ClientSettings.from_env({"GNOMON_REDIS_URL": text})
    environment(GNOMON_REDIS_URL=text)
    with pytest.raises(ConfigurationError, match=r"^GNOMON_REDIS_URL"):
        load()


@pytest.mark.parametrize(
    "text",
    [
        "two words",
        "a{b}",
        "x|y",
        pytest.param(" homes "),
    ],
)
def test_client_and_worker_agree_on_a_namespace(environment, text):
    """Both refuse it, or both read the same one: otherwise they never meet."""
    environment(GNOMON_NAMESPACE=text)

    def read(settings) -> str:
        try:
            return settings().namespace
        except ConfigurationError:
            return "refused"

    assert read(load) == read(lambda: ClientSettings.from_env(os.environ))


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("GNOMON_REDIS_URL", f"http://ann:{SECRET}@127.0.0.1:6379"),
        pytest.param("GNOMON_REDIS_URL", f"rediss:/:{SECRET}@db"),
        ("GNOMON_DATABASE_URL", f"mysql://ann:{SECRET}@db/ledger"),
        ("GNOMON_DATABASE_URL", f"postgresql://ann:{SECRET}@db:port/ledger"),
        pytest.param("GNOMON_DATABASE_URL", f"//ann:{SECRET}@db/ledger"),
    ],
)
def test_a_refused_url_keeps_its_password(environment, variable, text):
    """What is wrong with a URL is said without the part that nobody may read."""
    environment(**{variable: text})
    with pytest.raises(ConfigurationError, match=f"^{variable}: ") as refused:
        load()
    assert SECRET not in str(refused.value)


def test_settings_are_frozen_and_show_no_password(environment):
    """Read once; printing them is safe."""
    environment(GNOMON_REDIS_URL=f"redis://:{SECRET}@db/0", GNOMON_DATABASE_URL=f"postgresql://ann:{SECRET}@db/ledger")
    used = load()
    assert SECRET not in repr(used) + str(used)
    with pytest.raises(ValueError, match="frozen"):
        used.lanes = 3


@pytest.mark.parametrize(
    ("redis_url", "broker_url"),
    [
        ("redis://db:6379/1", "redis://db:6379/1"),
        ("unix:///run/valkey.sock", "redis+socket:///run/valkey.sock"),
    ],
)
def test_the_broker_is_the_same_redis(environment, redis_url, broker_url):
    """As kombu spells it."""
    environment(GNOMON_REDIS_URL=redis_url)
    assert load().broker_url == broker_url
