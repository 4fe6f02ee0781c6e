"""The site's clock, seen from here."""

from math import inf

_LOOK_BACK = 600.0  # s; a proof older than this is forgotten, in case a clock was set back


class SiteClock:
    """Keeps the greatest proven lower bound of (site's clock - ours), in s.

    Every time the site shows (Date header, ``updated`` of a server, issue of a token) lies in its past, so each is a
    proof; the watermark made from the bound is never later than the site's own now. Not every API sends a Date header.
    """

    def __init__(self, offset: float, here: float) -> None:
        """``offset``: a first proof, for instance of a token's issue, had at ``here`` (our epoch s)."""
        self._best, self._proven = offset, here
        self._second = -inf  # the best proof since ``_proven``

    def observe(self, site: float, here: float) -> None:
        """Take a time the site showed in an answer that arrived at ``here``."""
        offset = site - here
        if offset >= self._best:
            self._best, self._proven, self._second = offset, here, -inf
            return
        self._second = max(self._second, offset)
        if here - self._proven > _LOOK_BACK:
            self._best, self._proven, self._second = self._second, here, -inf

    def now(self, here: float) -> float:
        """The site's time, or a little earlier, when ours is ``here``."""
        return here + self._best
