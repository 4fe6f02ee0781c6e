"""Brings clouds up, stops, restarts and removes them."""

import dataclasses
import shutil
from functools import partial

from deploy.devcloud import (
    cloud,
    config_apis,
    config_cinder,
    config_nova,
    contents,
    database,
    identity,
    infra,
    parallel,
    plugins,
    process,
    published,
    rabbitmq,
    schemas,
    servers,
    services,
)
from deploy.devcloud.cloud import Cloud, Options
from deploy.devcloud.config import Site
from deploy.devcloud.errors import DevcloudError
from deploy.devcloud.paths import Layout
from deploy.devcloud.progress import step
from deploy.devcloud.releases import named
from deploy.devcloud.rest import log_in_as_admin

MAPPED_TIMEOUT = 90.0
"""Seconds until Nova has mapped the compute hosts to their cell and Placement knows them."""


def site_of(layout: Layout, name: str) -> Site:
    """A cloud that exists, with the servers it stands on; raises with the names that do exist."""
    found, shared = cloud.load(name, layout), infra.load(layout)
    if found is None or shared is None:
        known = ", ".join(one.name for one in cloud.load_all(layout)) or "none"
        raise DevcloudError(f"there is no cloud {name!r} (there is: {known}); `up {name}` makes it")
    return Site(found, shared, layout)


def up(layout: Layout, name: str, options: Options) -> None:
    """Makes a cloud, or starts one that was stopped; harmless for one that is up.

    A cloud whose first `up` did not come to its end is made anew. The options of an existing cloud are its own.
    """
    shared = infra.load_or_create(layout)
    servers.ensure_running(shared)
    plugins.write(layout)
    known = cloud.load(name, layout)
    if known and known.ready:
        with step(f"{name} is up"):
            start(Site(known, shared, layout))
        return
    if known:
        print(f"{name} was left half made: making it anew", flush=True)
        down(Site(known, shared, layout))
    schemas.ensure_cache(layout, shared, named(options.release))
    taken = {port for one in cloud.load_all(layout) for port in one.ports.values()} | set(shared.ports.values())
    site = Site(cloud.create(name, options, layout, taken), shared, layout)
    published.save(site)
    with step(f"{name} is up"):
        make(site)


def make(site: Site) -> None:
    """Everything between a name and a cloud that is ready."""
    one = site.cloud
    with step(f"{one.name}: schemas, vhost, keys"):
        write_configuration(site)
        add_vhost = partial(rabbitmq.add_vhost, site.infra, one.name, one.secrets["rabbit"])
        parallel.run([partial(schemas.create, site), add_vhost])
    with step(f"{one.name}: API services"):
        start_first = partial(services.start, site, services.first(site))
        parallel.run([partial(identity.bootstrap, site), start_first])
    with step(f"{one.name}: users and catalogue"):
        admin = log_in_as_admin(one)
        identity.fill(admin)
    parallel.run([partial(contents.fill, admin), partial(start_rest, site)])
    ready = dataclasses.replace(site, cloud=dataclasses.replace(one, ready=True))
    published.save(ready)
    published.write_clouds_yaml(site.layout)


def write_configuration(site: Site) -> None:
    """Writes every file below etc; the same each time but for Keystone's keys, which are kept."""
    config_apis.write_all(site)
    config_nova.write_all(site)
    config_cinder.write_all(site)
    for name in ("nova", "neutron"):
        site.cloud.data(name).mkdir(parents=True, exist_ok=True)


def start(site: Site) -> None:
    """Starts what does not run of a cloud that was made before."""
    write_configuration(site)
    services.start(site, services.first(site))
    start_rest(site)
    published.save(site)
    published.write_clouds_yaml(site.layout)


def start_rest(site: Site) -> None:
    """Starts what needs Keystone's users, and waits until the computes are usable."""
    name, hosts = site.cloud.name, site.cloud.hosts
    with step(f"{name}: conductor and scheduler"):
        services.start(site, services.second(site))
    if hosts:
        with step(f"{name}: {len(hosts)} compute(s), mapped to the cell"):
            services.start(site, services.third(site))
            if not process.wait_until(lambda: mapped(site), MAPPED_TIMEOUT):
                logs = ", ".join(str(site.cloud.log(host)) for host in hosts)
                raise DevcloudError(f"{name}'s computes are not in Nova after {MAPPED_TIMEOUT:.0f} s; see {logs}")


def mapped(site: Site) -> bool:
    """Whether every compute is mapped to the cell and has an inventory in Placement."""
    one = site.cloud
    sql = (
        f"SELECT (SELECT COUNT(*) FROM {one.schema('nova_api')}.host_mappings), "
        f"(SELECT COUNT(DISTINCT resource_provider_id) FROM {one.schema('placement')}.inventories)"
    )
    counts = database.execute(site.infra, sql)[0]
    return all(int(count) >= len(one.hosts) for count in counts)


def stop(site: Site) -> None:
    """Ends all services of a cloud and keeps its data; the computes first, while they can still say good-bye."""
    process.stop([site.cloud.pid_file(host) for host in site.cloud.hosts], services.STOP_GRACE)
    kill(site.cloud)


def kill(one: Cloud) -> None:
    """Ends every process of a cloud at once, whatever service its pid file names."""
    process.stop(sorted((one.home / "pids").glob("*.pid")), services.STOP_GRACE)


def down(site: Site) -> None:
    """Ends a cloud and removes everything of it. May be repeated."""
    one = site.cloud
    kill(one)
    if process.find(site.infra.pid_file(infra.MARIADB)):
        database.drop_schemas(site.infra, schemas.schema_names(one), one.name)
    if process.find(site.infra.pid_file(infra.RABBITMQ)):
        rabbitmq.delete_vhost(site.infra, one.name)
    shutil.rmtree(one.home, ignore_errors=True)
    published.write_clouds_yaml(site.layout)


def down_all(layout: Layout) -> None:
    """Ends everything that was ever started here, and removes all data but the cache and the environment."""
    for one in cloud.load_all(layout):
        with step(f"{one.name} stopped"):
            kill(one)
    shared = infra.load(layout)
    if shared:
        with step("mariadb and rabbitmq stopped"):
            servers.stop(shared)
    for directory in (layout.clouds, layout.infra):
        shutil.rmtree(directory, ignore_errors=True)
    published.write_clouds_yaml(layout)


def chosen(site: Site, name: str) -> services.Service:
    """One service of a cloud by name; raises with the names that do exist."""
    found = {service.name: service for service in services.everything(site)}
    if name not in found:
        raise DevcloudError(f"{site.cloud.name} has no service {name!r}; it has: {', '.join(found)}")
    return found[name]


def stop_service(site: Site, name: str) -> None:
    """Ends one service and keeps the rest."""
    process.stop([site.cloud.pid_file(chosen(site, name).name)], services.STOP_GRACE)


def start_service(site: Site, name: str) -> None:
    """Starts one service if it does not run."""
    services.start(site, [chosen(site, name)])
