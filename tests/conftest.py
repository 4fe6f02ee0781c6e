"""Settings of all tests: hypothesis draws the same cases every time, unless CASCADE_EXPLORE asks for new ones."""

import os

from hypothesis import HealthCheck, settings

EXPLORE = int(os.environ.get("CASCADE_EXPLORE", "0"))  # examples of each property test, drawn anew
SLOW_IS_FINE = [HealthCheck.too_slow, HealthCheck.data_too_large]

settings.register_profile("house", derandomize=True, deadline=None, database=None, suppress_health_check=SLOW_IS_FINE)
settings.register_profile("explore", settings.get_profile("house"), derandomize=False, max_examples=EXPLORE or 100)
settings.load_profile("explore" if EXPLORE else "house")


def examples(number: int) -> int:
    """Return how many examples an expensive property test draws."""
    return EXPLORE or number
