"""OpenStack's own conformance suite against the cascading cloud, and against a plain one to compare with."""

from pathlib import Path

CI = Path(__file__).with_name("ci.txt")
"""The tests that the end-to-end stage runs."""
