"""The two clouds the suite runs against: the cascading one of the demo, and a plain one to compare with."""

from dataclasses import dataclass

from deploy.demo import steps
from deploy.demo.stack import SITES, TOP, Stack
from tests.e2e.clouds import User
from tests.tempest import configuration, contents, install
from tests.tempest.shards import Place

PLAIN = "plain"


@dataclass(frozen=True, slots=True)
class Target:
    """A cloud by its name in clouds.yaml. ``plain``: a Nova with computes of its own, and with Cinder."""

    cloud: str

    @property
    def plain(self) -> bool:
        """Whether it is the one to compare with."""
        return self.cloud == PLAIN


CASCADE, BASELINE = Target(TOP), Target(PLAIN)


def bring_up(stack: Stack, target: Target) -> None:
    """Make the cloud, or start what of it does not run. A demo that is there keeps its availability zones."""
    if target.plain:
        stack.devcloud("up", PLAIN, "--computes", "2", "--cinder")
        return
    stack.devcloud("up", TOP, "--role", "cascading")
    stack.devcloud("up", *SITES)
    steps.serve(stack, _zone(stack))


def _zone(stack: Stack) -> str:
    """Return how the demo has its sites in zones; a demo that is made now gets both in one."""
    if not stack.bridge_conf.exists():
        return steps.SHARED
    stack.middle.up()
    zones = {zone for row in stack.sites().values() for zone in row["availability_zones"]}
    return steps.SHARED if zones <= {steps.SHARED} else "each"


def prepare(stack: Stack, target: Target, directory: str = "") -> Place:
    """Install Tempest, make what it needs in the cloud, write its options. May be repeated.

    ``directory``: where the run is recorded, below ``tempest`` of the state directory; as the cloud is called if empty.
    """
    place = Place(stack.state / "tempest" / (directory or target.cloud), install.ensure(stack.state))
    admin = User(stack, target.cloud)
    made = contents.ensure(admin, volumes=target.plain)
    extensions = [str(one["alias"]) for one in admin.get("network", "/extensions")["extensions"]]
    login = configuration.login_of(stack.clouds_yaml, target.cloud)
    chosen = configuration.options(login, made, extensions, plain=target.plain, state=place.directory)
    configuration.write(place.configuration, chosen)
    return place
