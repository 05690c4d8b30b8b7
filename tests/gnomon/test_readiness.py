"""Who may be served: the shared document, the exceptions of all, and those of this process alone."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.hashing import BUCKETS, bucket_of, user_digest
from gnomon.readiness import EVERYBODY, MOST_EXCEPTIONS, Readiness, Standing

pytestmark = pytest.mark.feature_flags

users = st.text(min_size=1, max_size=20)
bounds = st.integers(0, BUCKETS)


def standing(*, exceptions=(), **readiness) -> Standing:
    """What a process knows that has read this."""
    known = Standing()
    known.take(msgspec.json.encode(Readiness(version=1, **readiness)))
    fields = [part for digest, since in exceptions for part in (digest.encode(), str(since).encode())]
    known.take_exceptions(1, [*fields, b"version", b"1"])
    return known


EVERYBODY_READY = {"dual_below": BUCKETS, "ready_below": BUCKETS}


@given(users, bounds)
def test_bounds_are_half_open(user, bound):
    """Dual and ready are whole buckets, from the first up to the bound, not the bound."""
    readiness = Readiness(dual_below=bound, ready_below=bound)
    assert readiness.is_dual(user) is readiness.is_ready(user) is (bucket_of(user) < bound)


@given(users, bounds, bounds)
def test_raising_a_bound_only_adds(user, one, other):
    """Whoever is below the lower bound is below the higher one."""
    lower, higher = sorted((one, other))
    assert not Readiness(ready_below=lower).is_ready(user) or Readiness(ready_below=higher).is_ready(user)
    assert not Readiness(dual_below=lower).is_dual(user) or Readiness(dual_below=higher).is_dual(user)


@given(users, users)
def test_users_one_by_one_are_known_by_digest(user, other):
    """The document holds no user id."""
    digests = frozenset({user_digest(user)})
    readiness = Readiness(dual=digests, ready=digests)
    assert readiness.is_dual(user)
    assert readiness.is_ready(user)
    assert readiness.is_dual(other) is (other == user)
    assert readiness.dual == readiness.ready == {user_digest(user)}


@pytest.mark.parametrize(("readiness", "anybody"), [({}, False), ({"dual_below": 1}, True), ({"dual": {"d"}}, True)])
def test_whether_anybody_is_dual(readiness, anybody):
    """Nobody is, in a migration that has only begun: then there is nothing to decide."""
    assert Readiness(**readiness).anybody is anybody


@given(st.integers(0, 9), st.integers(0, 9))
def test_ready_holds_for_the_flags_it_was_found_under(found, now):
    """Lowered since: nobody is ready any more."""
    assert standing(lowered=found, **EVERYBODY_READY).is_ready("ann", now) is (found == now)


def test_an_exception_is_served_by_legacy():
    """One user; the others are served."""
    known = standing(exceptions=[(user_digest("ann"), 7)], **EVERYBODY_READY)
    assert (known.is_ready("ann", 0), known.is_ready("ben", 0)) == (False, True)


@pytest.mark.parametrize("where", ["shared", "own"])
def test_everybody_is_excepted_together(where):
    """One digest stands for all users."""
    known = standing(exceptions=[(EVERYBODY, 7)] if where == "shared" else [], **EVERYBODY_READY)
    if where == "own":
        known.own[EVERYBODY] = 7
    assert not known.is_ready("ann", 0)


def test_too_many_exceptions_of_one_process_except_everybody():
    """Something is wrong with enhanced as a whole, and memory is bounded."""
    known = standing(**EVERYBODY_READY)
    for n in range(MOST_EXCEPTIONS + 5):
        known.except_for(f"user-{n}", n)
    assert len(known.own) == MOST_EXCEPTIONS + 1
    assert not known.is_ready("somebody else", 0)


def test_an_exception_of_our_own_holds_until_it_is_shared():
    """Then it is one of everybody's; a younger one stays our own until that is told too."""
    known, digest = standing(**EVERYBODY_READY), user_digest("ann")
    known.except_for("ann", 10)
    assert not known.is_ready("ann", 0)
    known.except_for("ann", 20)
    known.told({digest: 10})
    assert known.own == {digest: 20}
    known.told({digest: 20, "unknown": 5})
    assert known.own == {}
    assert known.is_ready("ann", 0)


def test_a_redis_that_lost_its_data_takes_readiness_and_leaves_dual():
    """Nobody is served; whoever was written to both still is, so that nothing is lost."""
    known = standing(dual=frozenset({user_digest("zoe")}), ready=frozenset({user_digest("zoe")}), **EVERYBODY_READY)
    known.lose()
    assert (known.shared.version, known.is_ready("ann", 0), known.is_ready("zoe", 0)) == (0, False, False)
    assert known.shared.is_dual("ann")
    assert user_digest("zoe") in known.shared.dual


@given(st.lists(st.binary(max_size=12), max_size=8))
def test_no_exceptions_raise(fields):
    """Whatever the hash holds: read, or everybody is excepted."""
    known = standing(**EVERYBODY_READY)
    known.take_exceptions(2, fields)
    assert known.exceptions_version == 2
    assert all(isinstance(since, int) for since in known.exceptions.values())
    if len(fields) % 2:
        assert not known.is_ready("ann", 0)
