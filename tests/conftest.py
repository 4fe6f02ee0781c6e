"""Settings of all tests: hypothesis draws the same cases every time, unless CASCADE_EXPLORE asks for new ones."""

import os

from hypothesis import HealthCheck, settings

EXPLORE = "CASCADE_EXPLORE"  # = number of examples of each property test, drawn anew

settings.register_profile(
    "house", derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("explore", settings.get_profile("house"), derandomize=False, print_blob=True)
if EXPLORE in os.environ:
    settings.register_profile("explore", settings.get_profile("explore"), max_examples=int(os.environ[EXPLORE]))
settings.load_profile("explore" if EXPLORE in os.environ else "house")
