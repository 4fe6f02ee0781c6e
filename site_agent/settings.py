"""The agent's settings: files and OS_<GROUP>__<OPTION> variables in, one frozen value out."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oslo_config import cfg
from oslo_log import log

from proto import codec, logs
from proto.errors import Malformed, Misconfigured
from proto.messages import Bundle
from proto.sealing import PrivateKey

DESCRIPTION = "Serves one site. `cascade-agent check` with the same options tells what the agent may do there."
SITE = [
    cfg.StrOpt("bundle", help="File that `cascade site add` made for this site; it holds keys: mode 600."),
    cfg.StrOpt("cloud", help="Entry of clouds.yaml with the site's own credentials."),
    cfg.FloatOpt("request_timeout", default=60.0, min=1.0, help="Seconds one request to the site's APIs may take."),
]
NATS = [cfg.ListOpt("servers", default=[], help="NATS URLs; empty: those of the bundle.")]
TRACING = [
    cfg.BoolOpt("enabled", default=False, help="Send OpenTelemetry spans."),
    cfg.StrOpt("otlp_endpoint", default="http://127.0.0.1:4318", help="OTLP/HTTP collector, without /v1/traces."),
]
AGENT = [
    cfg.IntOpt("slots", default=8, min=1, max=256, help="Commands of each lane carried out at a time."),
    cfg.BoolOpt("shared", default=False, help="Other agents serve this site too: check each create against deletes."),
    cfg.FloatOpt("poll_fast", default=0.6, min=0.1, help="Seconds between two looks while a command is under way."),
    cfg.FloatOpt("poll_slow", default=2.0, min=0.1, help="Seconds between two looks while nothing is expected."),
    cfg.FloatOpt("overlap", default=4.0, min=1.0, help="Seconds each look reaches back before the last one."),
    cfg.FloatOpt("resync_interval", default=600.0, min=10.0, help="Seconds between two full listings."),
    cfg.FloatOpt("status_interval", default=5.0, min=0.5, help="Seconds between two SiteStatus messages."),
    cfg.FloatOpt("capacity_interval", default=60.0, min=5.0, help="Seconds between two readings of Placement."),
    cfg.FloatOpt("shutdown_grace", default=10.0, min=0.0, help="Seconds that running commands get on SIGTERM."),
]
IMAGES = [
    cfg.StrOpt(
        "spool_directory",
        help="Where images wait until all of them is there. Empty: spool-NAME in systemd's StateDirectory or, without "
        "it, beside the bundle.",
    ),
    cfg.IntOpt("parallel", default=2, min=1, max=16, help="Images carried at a time; each needs 2 MiB of memory."),
]
_GROUPS = {"site": SITE, "nats": NATS, "tracing": TRACING, "agent": AGENT, "images": IMAGES}
_LONGEST_LOOK_BACK = 60.0  # s


@dataclass(frozen=True, slots=True)
class Settings:
    """All the agent is told; times in s."""

    bundle: Bundle
    key: PrivateKey
    cloud: str
    request_timeout: float
    servers: list[str]
    tracing: bool
    otlp_endpoint: str
    slots: int
    shared: bool
    poll_fast: float
    poll_slow: float
    overlap: float
    resync_interval: float
    status_interval: float
    capacity_interval: float
    shutdown_grace: float
    spool_directory: Path
    parallel: int  # images carried at a time


def list_options() -> list[tuple[str, list[cfg.Opt]]]:
    """Return all options by group, for oslo-config-generator."""
    return list(_GROUPS.items())


def load(arguments: Sequence[str]) -> Settings:
    """Return the settings and set up logging; Misconfigured says which option to mend, and how."""
    conf = cfg.ConfigOpts()
    for group, options in _GROUPS.items():
        conf.register_opts(options, group=group)
    log.register_options(conf)
    logs.set_format(conf)
    try:
        conf(list(arguments), project="cascade", prog="cascade-agent", description=DESCRIPTION)
        log.setup(conf, "cascade-agent")
        return _settings(conf)
    except (cfg.Error, log.LogConfigError, OSError) as error:
        raise Misconfigured(f"configuration: {error}") from error


def _settings(conf: Any) -> Settings:
    bundle = _bundle(_required(conf.site.bundle, "[site] bundle", "the file `cascade site add` made"))
    agent = {option.dest: conf.agent[option.dest] for option in AGENT}
    if agent["poll_fast"] > agent["poll_slow"] or agent["overlap"] > _LONGEST_LOOK_BACK:
        raise Misconfigured("[agent] poll_fast must not exceed poll_slow, nor overlap a minute")
    return Settings(
        bundle=bundle,
        key=PrivateKey.parse(bundle.sealing_key, f"sealing_key of {conf.site.bundle}"),
        cloud=_required(conf.site.cloud, "[site] cloud", "an entry of clouds.yaml"),
        request_timeout=conf.site.request_timeout,
        servers=conf.nats.servers or bundle.servers,
        tracing=conf.tracing.enabled,
        otlp_endpoint=conf.tracing.otlp_endpoint,
        spool_directory=_spool(conf),
        parallel=conf.images.parallel,
        **agent,
    )


def _spool(conf: Any) -> Path:
    if conf.images.spool_directory:
        return Path(conf.images.spool_directory)
    state = os.environ.get("STATE_DIRECTORY")  # systemd.exec(5)
    return (Path(state) if state else Path(conf.site.bundle).parent) / f"spool-{Path(conf.site.bundle).stem}"


def _required(value: str | None, name: str, what: str) -> str:
    if not value:
        raise Misconfigured(f"{name} is not set: name {what}")
    return value


def _bundle(path: str) -> Bundle:
    try:
        bundle = codec.from_json(Path(path).read_bytes(), Bundle)
    except (OSError, Malformed) as error:
        raise Misconfigured(f"[site] bundle: cannot read {path}: {error}") from error
    if not bundle.servers:
        raise Misconfigured(f"[site] bundle: {path} names no NATS servers")
    return bundle
