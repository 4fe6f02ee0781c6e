"""docker-compose.yml, units, examples and the collector's configuration hold together; no container engine needed."""

import configparser
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from oslo_config import cfg

from bridge import settings as bridge_settings
from bridge.edge import clouds_yaml
from site_agent import settings as agent_settings

REPOSITORY = Path(__file__).resolve().parents[2]
DEPLOY = REPOSITORY / "deploy"
COMPOSE = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
COLLECTOR = yaml.safe_load((DEPLOY / "observability" / "otel-collector.yaml").read_text())
SCRIPTS = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["scripts"]
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
OPTIONS = {"bridge": bridge_settings.list_options(), "agent": agent_settings.list_options()}
ELSEWHERE = {"DEFAULT", "oslo_messaging_rabbit"}  # registered by oslo.messaging


def resolved(text: str) -> str:
    """Return a value with ``${NAME:-default}`` replaced by its default."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


def mounts(service: dict[str, Any]) -> list[tuple[str, str]]:
    """Return (source, target) of each volume of a service."""
    parts = [resolved(volume).split(":") for volume in service.get("volumes", [])]
    return [(part[0], part[1]) for part in parts]


def test_all_parts_are_there() -> None:
    wanted = {"nats", "etcd", "rabbitmq", "otel-collector", "jaeger", "bridge", "agent-paris"}
    assert wanted <= set(SERVICES)


@pytest.mark.parametrize("name", SERVICES)
def test_every_file_a_service_names_exists(name: str) -> None:
    service = SERVICES[name]
    build = service.get("build")
    if build:
        assert (REPOSITORY / build["context"] / build["dockerfile"]).is_file()
    for source, _target in mounts(service):
        if source.startswith("."):
            assert (REPOSITORY / source).is_file(), source
        else:
            assert source in COMPOSE["volumes"]


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_service_refers_to_is_defined(name: str) -> None:
    service = SERVICES[name]
    assert set(service.get("depends_on", {})) <= set(SERVICES)
    assert set(service.get("networks", [])) <= set(COMPOSE["networks"])
    for other, how in service.get("depends_on", {}).items():
        assert how["condition"] != "service_healthy" or "healthcheck" in SERVICES[other]


@pytest.mark.parametrize("name", SERVICES)
def test_images_have_short_names_and_foreign_ones_a_version(name: str) -> None:
    image = SERVICES[name]["image"]
    repository, _, tag = image.partition(":")
    assert "." not in repository.split("/")[0], "a registry host"
    assert SERVICES[name].get("build") or (tag and tag != "latest")


def test_targets_are_stages_of_the_dockerfile_and_copied_files_exist() -> None:
    text = (DEPLOY / "docker" / "Dockerfile").read_text()
    stages = set(re.findall(r"^FROM \S+ AS (\S+)$", text, re.MULTILINE))
    assert {service["build"]["target"] for service in SERVICES.values() if "build" in service} <= stages
    copied = {name for line in re.findall(r"^COPY (?!--)(.+) \S+$", text, re.MULTILINE) for name in line.split()}
    assert all((REPOSITORY / name).exists() for name in copied)
    ignored = (DEPLOY / "docker" / "Dockerfile.dockerignore").read_text().splitlines()
    assert {line[1:] for line in ignored if line.startswith("!")} == copied


def test_the_dockerfile_takes_a_version_of_every_dependency_from_the_lock() -> None:
    expression = re.search(r"sed -nE '(s/.+/p)' requirements", (DEPLOY / "docker" / "Dockerfile").read_text())
    assert expression is not None
    pattern = expression[1].split("/")[1]
    lock = (REPOSITORY / "requirements.lock").read_text()
    pinned = {match[1].lower() for match in re.finditer(pattern, lock, re.MULTILINE)}
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    names = {re.split(r"[\[<>=~!]", text)[0].lower().replace(".", "-") for text in project["dependencies"]}
    assert names <= pinned


def test_the_agent_reaches_nothing_of_the_top() -> None:
    agent = SERVICES["agent-paris"]
    assert agent["networks"] == ["link"]
    assert {name for name, service in SERVICES.items() if "link" in service.get("networks", [])} == {
        "nats",
        "otel-collector",
        "agent-paris",
    }
    assert "keys" not in {source for source, _target in mounts(agent)}


@pytest.mark.parametrize(
    ("service", "program"), [("bridge", "bridge"), ("cascade", "bridge"), ("agent-paris", "agent")]
)
def test_paths_in_a_services_configuration_are_mounted(service: str, program: str) -> None:
    targets = {target: source for source, target in mounts(SERVICES[service])}
    command = [*SERVICES[service].get("entrypoint", []), *SERVICES[service]["command"]]
    mounted = command[command.index("--config-file") + 1]
    parser = parsed(REPOSITORY / targets[mounted])
    paths = [value for group in parser.values() for value in group.values() if value.startswith("/")]
    assert paths
    for path in paths:
        assert any(path.startswith(f"{target}/") for target in targets), path
    assert command[0] in SCRIPTS
    assert program in mounted


def test_addresses_in_the_configurations_are_services() -> None:
    for file in (DEPLOY / "docker").glob("*.conf"):
        for host in re.findall(r"\w+://(?:[^@/\s]+@)?([\w-]+)", file.read_text()):
            assert host in SERVICES, (file.name, host)
    assert (
        resolved(SERVICES["bridge"]["environment"]["OS_DEFAULT__TRANSPORT_URL"]).split("@")[1].startswith("rabbitmq:")
    )
    assert COLLECTOR["exporters"]["otlp"]["endpoint"].partition(":")[0] in SERVICES


def test_the_collectors_pipeline_uses_only_what_is_configured() -> None:
    for pipeline in COLLECTOR["service"]["pipelines"].values():
        for kind in ("receivers", "processors", "exporters"):
            assert set(pipeline[kind]) <= set(COLLECTOR[kind])


def parsed(file: Path) -> dict[str, dict[str, str]]:
    """Return group -> option -> value of a file, by oslo.config's rules."""
    parser = configparser.ConfigParser(interpolation=None, default_section="none")
    parser.read_string(file.read_text())
    return {section: dict(parser[section]) for section in parser.sections()}


CONFIGURATIONS = [
    (DEPLOY / "docker" / "bridge.conf", "bridge"),
    (DEPLOY / "docker" / "agent-paris.conf", "agent"),
    (DEPLOY / "examples" / "bridge.conf", "bridge"),
    (DEPLOY / "examples" / "agent.conf", "agent"),
]


@pytest.mark.parametrize(("file", "program"), CONFIGURATIONS, ids=lambda value: getattr(value, "name", value))
def test_every_option_of_a_configuration_exists_and_parses(file: Path, program: str) -> None:
    known = {group: {option.dest for option in options} for group, options in OPTIONS[program]}
    # what is commented out must be right too
    text = re.sub(r"^#(?=\w+ = )", "", file.read_text(), flags=re.MULTILINE)
    for group, options in parsed(file).items():
        assert group in ELSEWHERE or set(options) <= known[group], group
    section = ""
    for line in text.splitlines():
        section = line.strip("[]") if line.startswith("[") else section
        option = re.match(r"(\w+) = ", line)
        assert option is None or section in ELSEWHERE or option[1] in known[section], line
    conf = cfg.ConfigOpts()
    for group, registered in OPTIONS[program]:
        conf.register_opts(registered, group=group)
    conf(["--config-file", str(file)], project="cascade", default_config_files=[], default_config_dirs=[])
    for group, registered in OPTIONS[program]:
        for option in registered:
            _ = conf[group][option.dest]


@pytest.mark.parametrize(("file", "cloud"), [("clouds-top.yaml", "top"), ("clouds-site.yaml", "site")])
def test_example_clouds_are_complete(file: str, cloud: str) -> None:
    entry = clouds_yaml.entry(cloud, {"OS_CLIENT_CONFIG_FILE": str(DEPLOY / "examples" / file)})
    assert {"auth_url", "username", "password", "project_name"} <= set(entry["auth"])


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_units_start_programs_that_exist_and_tell_when_they_are_ready(unit: Path) -> None:
    parser = configparser.ConfigParser(interpolation=None, strict=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(unit.read_text())
    program, option, configuration = parser["Service"]["ExecStart"].split()
    assert Path(program).name in SCRIPTS
    assert option == "--config-file"
    assert configuration.startswith("/etc/cascade/")
    assert parser["Service"]["Type"] == "notify"
    assert parser["Install"]["WantedBy"] == "multi-user.target"


def test_both_programs_have_a_unit() -> None:
    assert [unit.name for unit in UNITS] == ["cascade-agent@.service", "cascade-bridge.service"]
