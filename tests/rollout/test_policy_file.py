"""A policy as an operator writes it: read as meant, or refused by name."""

from datetime import date

import pytest

from gnomon import ConfigurationError
from rollout import Policy
from rollout.policy_file import policy_in_force, read_policy

WAIVER = """
[[waivers]]
operation = "memory.save"
criterion = "traffic"
author = "ann"
reason = "three a month"
until = 2026-12-31
"""


@pytest.fixture
def written(tmp_path):
    """Write a policy and return its file."""

    def write(text):
        file = tmp_path / "policy.toml"
        file.write_text(text, encoding="utf-8")
        return file

    return write


def test_the_file_that_comes_with_it_says_what_the_defaults_say():
    """The migration plan's policy is in two places, and they agree, to the digest."""
    assert read_policy() == Policy()
    assert policy_in_force(None, date(2026, 11, 29)).digest() == Policy().digest()


def test_what_a_file_leaves_out_is_as_the_migration_plan_has_it(written):
    """An empty one changes nothing."""
    assert read_policy(written("")) == Policy()
    assert read_policy(written("[limits]\nusers = 500\n")) == Policy(users=500)


def test_a_whole_policy(written):
    """Stages, limits, those of one operation, and waivers, of which one that has ended is not in force."""
    file = written('stages = [0, 10, 100]\n[limits]\nsuccess = 0.99\n[operations."chat.send"]\nno_worse = 2\n' + WAIVER)
    policy = read_policy(file)
    assert (policy.stages, policy.success, policy.of("chat.send").no_worse) == ((0, 10, 100), 0.99, 2)
    assert policy.waiver("memory.save", "traffic").author == "ann"
    assert policy_in_force(file, date(2027, 1, 1)).waivers == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[limits]\nsucess = 0.9\n", "limits.sucess: is not known; expected 'success'"),
        ("success = 0.9\n", "success: is not known; expected"),
        ("[limits]\nsuccess = 1.2\n", "success: cannot use 1.2; expected a number from 0 to 1"),
        ('[limits]\nsuccess = "0.9"\n', "success: cannot be used: Expected `float`, got `str`"),
        ("[limits]\nusers = true\n", "users: cannot be used"),
        ("[limits]\ndwell_h = -1\n", "dwell_h: cannot use -1"),
        ("stages = [0, 25, 10, 100]\n", "stages: cannot use"),
        ("stages = 10\n", "stages: cannot be used"),
        ("limits = 3\n", "limits: is of type int; expected a table"),
        ('[operations."chat.send"]\nalpha = 0.1\n', 'operations."chat.send".alpha: is not known'),
        ("operations = [1]\n", "operations: is of type list; expected a table"),
        ("waivers = 7\n", "waivers: is of type int"),
        (WAIVER.replace("author", "auther"), "waivers[1].auther: is not known; expected 'author'"),
        (WAIVER.replace('author = "ann"\n', ""), "waivers[1]: cannot be used: Object missing required field `author`"),
        (WAIVER.replace("2026-12-31", '"soon"'), "waivers[1].until: cannot be used"),
        (WAIVER.replace("traffic", "harm"), "waivers.criterion: cannot use 'harm'"),
        ("success = = 1\n", "is no TOML"),
    ],
)
def test_what_cannot_be_meant_is_named_with_the_file(written, text, said):
    """One line: the file, the key, what was found, what was expected."""
    file = written(text)
    with pytest.raises(ConfigurationError) as refused:
        read_policy(file)
    assert str(refused.value).startswith(f"{file}: ")
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    """And one that is a folder."""
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(ConfigurationError, match=str(path)):
            read_policy(path)
