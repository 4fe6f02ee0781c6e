"""The breaker of one API of a site: when it opens, what is let through, and what closes it."""

import asyncio
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proto.errors import Refused, Unavailable
from proto.operations import Lane
from site_agent import breakers, executor
from site_agent.breakers import Breakers
from site_agent.core import breaker
from site_agent.core.answers import Answer, refuse_not_now, waiting_time
from site_agent.core.breaker import Breaker, NotAsked, Overloaded


@dataclass
class Api:
    """One API and its breaker on a clock of its own."""

    state: Breaker = field(default_factory=Breaker)
    now: float = 100.0

    def fail(self, times: int = 1, retry_after: float | None = None) -> None:
        for _ in range(times):
            self.state = breaker.failed(breaker.asked(self.state, self.now), self.now, "503", retry_after)

    def answer(self) -> None:
        self.state = breaker.answered(breaker.asked(self.state, self.now))

    def waits(self) -> float:
        """Return how long nothing is asked; 0 if something may go now."""
        try:
            breaker.asked(self.state, self.now)
        except NotAsked as error:
            return error.retry_after
        return 0.0


def test_some_failures_are_tolerated_and_an_answer_forgets_them() -> None:
    api = Api()
    for _ in range(3):
        api.fail(breaker.TOLERATED - 1)
        assert api.state.closed and not api.state.shown(api.now)
        api.answer()
    api.fail(breaker.TOLERATED)
    assert not api.state.closed and api.waits() == breaker.FIRST_WAIT
    assert api.state.shown(api.now + 1).startswith("not asked for 4 s, failing for 1 s: 503")


def test_one_trial_at_a_time_and_each_that_is_in_vain_waits_longer() -> None:
    api = Api()
    api.fail(breaker.TOLERATED)
    waits = []
    for _ in range(6):
        waits.append(api.waits())
        api.now += waits[-1]
        trial = breaker.asked(api.state, api.now)
        with pytest.raises(NotAsked) as refused:
            breaker.asked(trial, api.now + 1)
        assert refused.value.retry_after == breaker.TRIAL_PAUSE
        api.state = breaker.failed(trial, api.now, "503", None)
    assert waits == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]
    api.now += api.waits()
    api.answer()
    assert api.state == Breaker()


def test_a_trial_that_never_ends_or_tells_nothing_keeps_nobody_waiting() -> None:
    api = Api()
    api.fail(breaker.TOLERATED)
    api.now += api.waits()
    trial = breaker.asked(api.state, api.now)
    assert breaker.asked(trial, api.now + breaker.TRIAL_LIMIT).trial_since == api.now + breaker.TRIAL_LIMIT
    assert breaker.asked(breaker.given_up(trial), api.now + 0.1).trial_since == api.now + 0.1


@pytest.mark.parametrize(("asks", "waits"), [(0.0, 1.0), (7.0, 7.0), (90.0, 90.0), (86400.0, 600.0)])
def test_a_site_that_says_when_is_obeyed_at_once(asks: float, waits: float) -> None:
    api = Api()
    api.fail(1, retry_after=asks)
    assert api.waits() == waits


def test_what_was_sent_before_it_opened_makes_no_wait_longer() -> None:
    api = Api()
    api.fail(breaker.TOLERATED)
    late = breaker.failed(api.state, api.now + 2.0, "timed out", None)
    assert late.until == api.state.until and late.wait == api.state.wait


@given(st.lists(st.tuples(st.sampled_from(["fail", "answer", "give up"]), st.floats(0, 120)), max_size=60))
def test_it_always_lets_something_through_in_the_end_and_never_two_trials(steps: list[tuple[str, float]]) -> None:
    state, now, under_way = Breaker(), 1000.0, 0
    for what, pause in steps:
        now += pause
        try:
            state = breaker.asked(state, now)
        except NotAsked as error:
            assert 0 < error.retry_after <= breaker.LONGEST_WAIT
            continue
        under_way = under_way + 1 if state.closed else 1
        match what:
            case "fail":
                state = breaker.failed(state, now, "503", None)
            case "answer":
                state = breaker.answered(state)
            case _:
                state = breaker.given_up(state)
    assert breaker.asked(state, now + breaker.LONGEST_WAIT + breaker.TRIAL_LIMIT) is not None


# -- around real requests ---------------------------------------------------------------------------------------------


async def ask(api: Breakers, error: BaseException | None) -> None:
    with api.asking("compute"):
        if error:
            raise error


async def test_only_what_says_nothing_of_the_request_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Breakers()
    for error in (Unavailable("500"), Refused("quota", "no"), ValueError("a bug"), asyncio.CancelledError()) * 4:  # type: ignore[arg-type]
        with pytest.raises(type(error)):
            await ask(api, error)
    for _ in range(breaker.TOLERATED):
        with pytest.raises(Overloaded):
            await ask(api, Overloaded("timed out"))
    with pytest.raises(NotAsked):
        await ask(api, None)
    assert "compute" in api.shown() and not api.slow()
    with api.asking("network"):
        pass
    assert set(api.shown()) == {"compute"}


async def test_a_slow_api_is_told_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breakers, "SLOW", 0.0)
    api = Breakers()
    with api.asking("image", bulk=True):
        pass
    assert api.slow() == []
    await ask(api, None)
    assert api.slow() == ["compute API: a request took 0 s"]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer(429, retry_after=9.0), Overloaded),
        (Answer(502), Overloaded),
        (Answer(503), Overloaded),
        (Answer(504), Overloaded),
        (Answer(500), Unavailable),
        (Answer(401), Unavailable),
    ],
)
def test_which_answers_mean_overload(answer: Answer, error: type[Unavailable]) -> None:
    with pytest.raises(error) as met:
        refuse_not_now(answer, "GET /servers")
    assert type(met.value) is error
    if answer.retry_after:
        assert met.value.retry_after == 9.0


@pytest.mark.parametrize(
    ("header", "then", "now", "seconds"),
    [
        ("120", None, None, 120.0),
        (" 3 ", None, 5.0, 3.0),
        ("Fri, 31 Dec 1999 23:59:59 GMT", 100.0, 70.0, 30.0),
        ("Fri, 31 Dec 1999 23:59:59 GMT", 100.0, 170.0, 0.0),
        ("soon", None, 5.0, None),
        (None, None, 5.0, None),
    ],
)
def test_retry_after(header: str | None, then: float | None, now: float | None, seconds: float | None) -> None:
    assert waiting_time(header, then, now) == seconds


def test_deletes_and_stops_come_first_when_it_closes() -> None:
    error = NotAsked("compute", 12.0)
    assert executor._delay(error, 9, Lane.URGENT) == 12.0
    assert executor._delay(error, 9, Lane.NORMAL) == 12.0 + executor.BOOTS_AFTER
    assert executor._delay(Unavailable("busy", 2.0), 3, Lane.URGENT) == 8.0
