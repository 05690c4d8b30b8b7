from datetime import UTC, datetime, timedelta, timezone

import pytest

from comparators.instants import datetime_text, instant_text


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-01-05T12:00:00Z", "2026-01-05T12:00:00Z"),
        ("2026-01-05T13:00:00+01:00", "2026-01-05T12:00:00Z"),
        ("2026-01-05t12:00:00.500000z", "2026-01-05T12:00:00.5Z"),
        ("2026-01-05 07:00:00.000-05:00", "2026-01-05T12:00:00Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ("9999-12-31T23:59:59.123456789Z", "9999-12-31T23:59:59.123456789Z"),
    ],
)
def test_an_instant_is_its_moment_in_utc(text, instant):
    """Offset, case, separator and trailing zeros do not matter."""
    assert instant_text(text) == instant


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-05T12:00:00",
        "2026-01-05",
        "at 2026-01-05T12:00:00Z",
        "2026-02-30T12:00:00Z",
        "2026-01-05T12:00:60Z",
        "0001-01-01T00:00:00+05:00",
        "9999-12-31T23:59:59-05:00",
        "2026-01-05T12:00:00+99:00",
        "٢٠٢٦-01-05T12:00:00Z",
    ],
)
def test_what_is_no_instant_stays_as_it_is(text):
    """No zone, a part of a longer text, an impossible date, a moment outside of years 1 to 9999."""
    assert instant_text(text) == text


def test_datetimes_are_instants_only_with_a_zone():
    """An aware datetime is its instant; a naive one equals no instant."""
    aware = datetime(2026, 1, 5, 13, tzinfo=timezone(timedelta(hours=1)))
    assert datetime_text(aware) == "2026-01-05T12:00:00Z"
    assert datetime_text(datetime(2026, 1, 5, 12)) == "2026-01-05T12:00:00"  # noqa: DTZ001 -- the point
    assert datetime_text(datetime.min.replace(tzinfo=timezone(timedelta(hours=5)))).endswith("+05:00")
    assert datetime_text(datetime(1, 1, 1, tzinfo=UTC)) == "0001-01-01T00:00:00Z"
