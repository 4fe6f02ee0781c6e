"""What an operator chose for the healing of a site: ``cascade site set NAME --policy missing=rebuild``. Pure."""

from dataclasses import dataclass

from bridge.core.records import SiteSpec

# By name in SiteSpec; the first choice is what a site begins with.
CHOICES: dict[str, tuple[str, ...]] = {
    "missing": ("fault", "rebuild"),
    "drift": ("copy", "enforce"),
    "orphans": ("keep", "stop", "report"),
    "fenced": ("quarantine", "delete"),
}


@dataclass(frozen=True, slots=True)
class Policies:
    """The choices of one site, and what the cascading cloud's own settings say."""

    missing: str = "fault"  # fault: ERROR above; rebuild: the server is made again of its image
    drift: str = "copy"  # copy: the site's state is shown; enforce: the site is told to start or stop it
    orphans: str = "keep"  # keep: in quarantine; stop: there and powered off; report: only told
    fenced: str = "quarantine"  # quarantine: kept; delete: deleted in the site
    reclaim_interval: int = 0  # s that a soft-deleted instance is kept; 0 = for ever

    @classmethod
    def of(cls, spec: SiteSpec, reclaim_interval: int) -> "Policies":
        """Return those of a site."""
        return cls(spec.missing, spec.drift, spec.orphans, spec.fenced, reclaim_interval)
