"""Options of the bridge and of the `cascade` command, one group per concern; checked before anything starts."""

import os
import socket
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from oslo_config import cfg, types
from oslo_log import log

from bridge.core import audit_period
from proto import logs
from proto.errors import Malformed, Misconfigured

# oslo.messaging imports eventlet, which we never use, and eventlet tells every user of it that it is deprecated.
# This module is the first that the programs import.
warnings.filterwarnings("ignore", message=r"\s*Eventlet is deprecated")

CONF = cfg.CONF

CASCADING = [
    cfg.StrOpt("cloud", help="clouds.yaml entry of a user with the roles admin and service in the cascading cloud."),
    cfg.StrOpt(
        "networks_in_several_sites",
        default="allow",
        choices=["allow", "refuse"],
        help="What becomes of a boot whose network is in use in another site: a network is a segment in each site.",
    ),
]
NATS = [
    cfg.ListOpt("servers", default=["nats://127.0.0.1:4222"], help="URLs of the NATS servers."),
    cfg.StrOpt("credentials_file", help=".creds file of the bridges' NATS user."),
    cfg.StrOpt("ca_file", help="PEM file of the authority that signed the NATS servers' certificates."),
    cfg.StrOpt("account_key_file", help="Seed of the NATS account; signs site credentials. Only `cascade` reads it."),
]
ETCD = [
    cfg.ListOpt("endpoints", default=["http://127.0.0.1:2379"], help="URLs of the etcd members."),
    cfg.StrOpt("ca_file", help="PEM file of the authority that signed the members' certificates."),
    cfg.StrOpt("cert_file", help="Client certificate, PEM."),
    cfg.StrOpt("key_file", help="Key of the client certificate, PEM."),
]
BRIDGE = [
    cfg.StrOpt("id", default=socket.gethostname(), help="Name of this bridge; unique among all bridges."),
    cfg.StrOpt(
        "spool_directory",
        help="Where snapshots wait on their way up. Empty: spool-ID in systemd's StateDirectory or, without it, beside "
        "the sealing key.",
    ),
    cfg.StrOpt("sealing_key_file", help="Private key of all bridges: opens secrets stored in INTAKE."),
    cfg.IntOpt("report_interval", default=10, min=1, help="Seconds between two heartbeats of a host."),
    cfg.IntOpt("shutdown_grace", default=10, min=0, help="Seconds that running work may take at SIGTERM."),
    cfg.IntOpt("collection_interval", default=300, min=1, help="Seconds between two collections of what a site keeps."),
    cfg.IntOpt("image_keep", default=7, min=0, help="Days that a copy of an image stays in a site without a server."),
    cfg.IntOpt(
        "reclaim_instance_interval",
        default=0,
        min=0,
        help="Seconds after which a soft-deleted instance is deleted; 0: never. As Nova's option of that name, which "
        "decides in the cascading nova-api whether a delete is a soft one.",
    ),
    cfg.IntOpt(
        "resize_confirm_window",
        default=0,
        min=0,
        help="Seconds after which a resize that its tenant neither confirmed nor reverted is confirmed; 0: never. As "
        "Nova's option of that name.",
    ),
]
TRACING = [
    cfg.BoolOpt("enabled", default=False, help="Send spans to an OpenTelemetry collector."),
    cfg.Opt(
        "otlp_endpoint",
        type=types.URI(schemes=["http", "https"]),
        default="http://127.0.0.1:4318",
        help="OTLP/HTTP endpoint.",
    ),
]
# As in nova.conf, so that an operator copies his sections; oslo.messaging has [oslo_messaging_notifications] itself.
DEFAULT = [
    cfg.BoolOpt(
        "instance_usage_audit",
        default=False,
        help="Tell once a period which instances existed in it (compute.instance.exists), as Nova's option.",
    ),
    cfg.StrOpt(
        "instance_usage_audit_period",
        default="month",
        help="hour, day, month or year, with @ and a number for a period that begins later, as Nova's option.",
    ),
]
NOTIFICATIONS = [
    cfg.StrOpt(
        "notification_format",
        default="unversioned",
        choices=["unversioned", "versioned", "both"],
        help="Which of Nova's notifications are sent in nova-compute's place, as Nova's option. None are unless "
        "[oslo_messaging_notifications] names a driver, as in nova.conf; its other options count too.",
    ),
    cfg.ListOpt(
        "versioned_notifications_topics",
        default=["versioned_notifications"],
        help="Topics of the versioned ones, as Nova's option.",
    ),
]
GROUPS: dict[str, list[Any]] = {
    "DEFAULT": DEFAULT,
    "cascading": CASCADING,
    "nats": NATS,
    "etcd": ETCD,
    "bridge": BRIDGE,
    "notifications": NOTIFICATIONS,
    "tracing": TRACING,
}


def list_options() -> list[tuple[str, list[Any]]]:
    """Entry point of oslo-config-generator."""
    return list(GROUPS.items())


def register() -> None:
    """Register every option on the global CONF, which oslo.messaging needs; may be repeated."""
    for group, options in GROUPS.items():
        CONF.register_opts(options, group=group)


def load(arguments: Sequence[str], program: str) -> Any:
    """Return the configuration of ``--config-file`` and the environment; Misconfigured names what is wrong."""
    log.register_options(CONF)
    register()
    log.set_defaults(
        default_log_levels=[
            *log.get_default_log_levels(),
            "oslo.messaging=WARNING",
            "oslo_messaging=WARNING",
            "amqp=WARNING",
            "nats=WARNING",
        ]
    )
    try:
        CONF(list(arguments), project="cascade", prog=program, default_config_files=[], default_config_dirs=[])
    except (cfg.ConfigFilesNotFoundError, cfg.ConfigFileParseError, cfg.ConfigFileValueError) as error:
        raise Misconfigured(str(error)) from error
    return CONF


def log_to_stderr(program: str) -> None:
    """Send the log to stderr in oslo.log's format."""
    CONF.set_default("use_stderr", True)
    logs.set_format(CONF)
    log.setup(CONF, program)
    sys.stdout.flush()


def validate(conf: Any) -> None:
    """Raise Misconfigured with the first setting that is missing, and how to mend it."""
    needed = {
        "[cascading] cloud": (conf.cascading.cloud, "the clouds.yaml entry of the cascading cloud's admin"),
        "[bridge] sealing_key_file": (conf.bridge.sealing_key_file, "the file with the bridges' private sealing key"),
    }
    for name, (value, meaning) in needed.items():
        if not value:
            raise Misconfigured(f"{name} is not set: name {meaning} in the file given with --config-file")
    try:
        audit_period.parse(conf.DEFAULT.instance_usage_audit_period)
    except Malformed as error:
        raise Misconfigured(f"[DEFAULT] instance_usage_audit_period: {error}") from error


def spool_directory(conf: Any) -> Path:
    """Return where this bridge keeps parts of files."""
    if conf.bridge.spool_directory:
        return Path(conf.bridge.spool_directory)
    state = os.environ.get("STATE_DIRECTORY")  # systemd.exec(5)
    return (Path(state) if state else Path(conf.bridge.sealing_key_file).parent) / f"spool-{conf.bridge.id}"


def read_secret_file(path: str | None, setting: str) -> str:
    """Return the text of a key or credentials file; Misconfigured names setting, file and reason."""
    if not path:
        raise Misconfigured(f"{setting} is not set")
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise Misconfigured(f"{setting}: cannot read {path}: {error.strerror}") from error
