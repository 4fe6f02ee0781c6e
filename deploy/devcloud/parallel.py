"""Runs a few functions side by side."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor


def run(jobs: Iterable[Callable[[], object]], threads: int = 2) -> None:
    """Runs all jobs to their end, at most `threads` at a time; then raises what the first of them raised."""
    with ThreadPoolExecutor(threads) as pool:
        futures = [pool.submit(job) for job in jobs]
    for future in futures:
        future.result()
