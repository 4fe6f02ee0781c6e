"""How fast may it go? Pure: `now` is an argument (monotonic s)."""

from math import inf


class Rate:
    """Spaces amounts out so that they stay below so many a second; 0 = as fast as it goes."""

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._free_at = -inf

    def wait(self, now: float, amount: int, longest: float) -> float | None:
        """Return in how many s the amount may go, and count it; None, and not counted, if that is over ``longest``."""
        if self._per_second <= 0:
            return 0.0
        begin = max(self._free_at, now)
        if begin - now > longest:
            return None
        self._free_at = begin + amount / self._per_second
        return begin - now
