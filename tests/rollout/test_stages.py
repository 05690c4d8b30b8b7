import msgspec
from hypothesis import given
from hypothesis import strategies as st

from gnomon.hashing import BUCKETS, bucket_of
from rollout import Epoch, Stage


def test_the_stages_are_a_closed_set():
    """A rollout knows 0, 1, 10, 25, 50 and 100 % of the users, and nothing between."""
    assert [stage.value for stage in Stage] == [0, 1, 10, 25, 50, 100]
    assert [stage.share for stage in Stage] == [0.0, 0.01, 0.1, 0.25, 0.5, 1.0]


def test_a_rollout_climbs_one_stage_at_a_time():
    """Next and previous are the neighbours; there is none beyond the ends."""
    assert Stage.SHADOW.next() is Stage.FIRST
    assert Stage.ALL.next() is None
    assert Stage.SHADOW.previous() is None
    assert Stage.QUARTER.previous() is Stage.TENTH


@given(st.sampled_from([stage for stage in Stage if stage.next()]))
def test_next_and_previous_undo_each_other(stage):
    """Going back from the next stage leads here."""
    assert stage.next().previous() is stage


@given(user=st.text(min_size=1), stage=st.sampled_from([stage for stage in Stage if stage.next()]))
def test_raising_the_stage_only_adds_users(user, stage):
    """Whoever is served at a stage is served at the next one too."""
    if bucket_of(user) < stage.share * BUCKETS:
        assert bucket_of(user) < stage.next().share * BUCKETS


def test_an_epoch_survives_storage(make_epoch):
    """An epoch read back from JSON is the epoch that was written."""
    assert msgspec.json.decode(msgspec.json.encode(make_epoch()), type=Epoch) == make_epoch()
