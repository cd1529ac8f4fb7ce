"""Hours of the week: whatever the zone does to its clocks."""

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, strategies as st

from pop3proto.serving import Hours

UTC = dt.UTC
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia")
MINUTES = st.integers(0, 24 * 60)
MOMENTS = st.integers(1_293_840_000, 2_208_988_800).map(lambda second: dt.datetime.fromtimestamp(second, UTC))


def clock(minute):
    return f"{minute // 60:02}:{minute % 60:02}"


def by_the_week(days, start, end):
    """The minutes of a week that belong to the hours, one by one."""
    length = end - start if start < end else end + 24 * 60 - start
    return {(day * 24 * 60 + start + minute) % (7 * 24 * 60) for day in days for minute in range(length)}


@given(st.sets(st.integers(0, 6), min_size=1), MINUTES, MINUTES, st.sampled_from(ZONES), MOMENTS)
@example({6}, 23 * 60, 3 * 60, "Europe/Berlin", dt.datetime(2026, 3, 29, 1, 30, tzinfo=UTC))  # 02:00 is skipped
@example({6}, 2 * 60, 3 * 60, "Europe/Berlin", dt.datetime(2026, 10, 25, 1, 30, tzinfo=UTC))  # it comes twice
@example({4}, 0, 24 * 60, "Pacific/Apia", dt.datetime(2011, 12, 30, 10, 0, tzinfo=UTC))  # a Friday that never was
def test_it_goes_by_the_clock_on_the_wall(days, start, end, zone, now):
    if start in (24 * 60, end):
        with pytest.raises(ValueError, match="there is no time"):
            Hours(start=clock(start), end=clock(end))
        return
    hours = Hours(days=",".join(DAYS[day] for day in days), start=clock(start), end=clock(end), zone=zone)
    local = now.astimezone(ZoneInfo(zone))
    minute = local.weekday() * 24 * 60 + local.hour * 60 + local.minute
    assert hours.contains(now) == (minute in by_the_week(days, start, end))
    assert hours.contains(local) == hours.contains(now)


@given(st.sampled_from(ZONES), MOMENTS)
def test_the_two_readings_of_an_hour_are_alike(zone, now):
    """An hour that comes twice is the same both times."""
    local = now.astimezone(ZoneInfo(zone))
    hours = Hours(start="01:00", end="03:00", zone=zone)
    assert hours.contains(local.replace(fold=0)) == hours.contains(local.replace(fold=1)) or (
        local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset()
        and local.replace(fold=1).astimezone(UTC).astimezone(ZoneInfo(zone)).time() != local.time()
    )


@pytest.mark.parametrize(
    "days, numbers",
    [
        ("Mon-Fri", {0, 1, 2, 3, 4}),
        ("fri-MON", {4, 5, 6, 0}),
        ("Sat, Sun", {5, 6}),
        ("Mon,Wed-Thu", {0, 2, 3}),
        ("Sun-Sun", {6}),
        ("Mon-Sun", set(range(7))),
    ],
)
def test_days(days, numbers):
    hours = Hours(days=days)
    monday = dt.datetime(2026, 3, 2, 12, tzinfo=UTC)
    assert {day for day in range(7) if hours.contains(monday + dt.timedelta(days=day))} == numbers


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"days": "Mo-Fr"}, "'Mo' is not a day"),
        ({"days": ""}, "'' is not a day"),
        ({"days": "Mon-"}, "'' is not a day"),
        ({"start": "8"}, "'8' is not a time"),
        ({"end": "24:01"}, "'24:01' is not a time"),
        ({"end": "12:60"}, "'12:60' is not a time"),
        ({"zone": "Europe/Nowhere"}, "there is no time zone 'Europe/Nowhere'"),
        ({"zone": "../etc/passwd"}, "there is no time zone"),
        ({"zone": ""}, "there is no time zone"),
        ({"start": "08:00", "end": "08:00"}, "there is no time"),
    ],
)
def test_hours_that_cannot_be(arguments, message):
    with pytest.raises(ValueError, match=message):
        Hours(**arguments)


def test_friday_night_ends_on_saturday():
    hours = Hours(days="Fri", start="22:00", end="06:00", zone="Europe/Berlin")
    friday = dt.datetime(2026, 3, 6, tzinfo=ZoneInfo("Europe/Berlin"))
    inside = [hour for hour in range(-24, 48) if hours.contains(friday + dt.timedelta(hours=hour))]
    assert inside == list(range(22, 30))
