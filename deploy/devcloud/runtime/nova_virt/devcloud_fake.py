"""A hypervisor that only remembers: Nova's fake driver with the behaviour a client of a real site relies on.

Beyond the stock class: servers and power states survive a restart of nova-compute, pause and suspend change the power
state, snapshots are uploaded to Glance, the console says which server it is, and the size is configurable. Runs inside
nova-compute as nova.virt.devcloud_fake; its options are in the group [devcloud].
"""

import io
import json
import threading
import time
from pathlib import Path

import nova.conf
from nova.compute import power_state, task_states
from nova.image import glance
from nova.virt import fake
from oslo_config import cfg

CONF = nova.conf.CONF
CONF.register_opts(
    [
        cfg.IntOpt("vcpus", default=16),
        cfg.IntOpt("ram_mib", default=32768),
        cfg.IntOpt("disk_gib", default=200),
        cfg.StrOpt(
            "instances_file", default="$state_path/servers.json", help="Where the servers of this host are kept."
        ),
    ],
    group="devcloud",
)

SNAPSHOT_BYTES = 64 * 1024
"""Size of an uploaded snapshot."""


class SavedInstance(fake.FakeInstance):
    """A server whose power state is written to the table's file whenever it changes."""

    def __init__(self, name, state, uuid, table):
        self._table = table
        self._state = state
        self.name, self.uuid = name, uuid

    @property
    def state(self):
        return self._state

    @state.setter
    def state(self, value):
        self._state = value
        self._table.save()


class Servers(dict):
    """uuid -> SavedInstance, kept in a file. The stock driver's code uses it as the plain dict it expects."""

    def __init__(self, file):
        super().__init__()
        self._file, self._lock = Path(file), threading.Lock()
        if self._file.exists():
            for uuid, (name, state) in json.loads(self._file.read_text()).items():
                super().__setitem__(uuid, SavedInstance(name, state, uuid, self))

    def __setitem__(self, uuid, instance):
        super().__setitem__(uuid, SavedInstance(instance.name, instance.state, uuid, self))
        self.save()

    def __delitem__(self, uuid):
        super().__delitem__(uuid)
        self.save()

    def save(self):
        """Replaces the file; called from many threads."""
        with self._lock:
            content = {uuid: (instance.name, instance.state) for uuid, instance in list(self.items())}
            partial = self._file.with_suffix(".partial")
            partial.write_text(json.dumps(content))
            partial.replace(self._file)


# Before 2024 the stock class had no other base; its node is named after the host, and Placement's uuid is Nova's own.
BASE = getattr(fake, "FakeDriverWithoutFakeNodes", fake.FakeDriver)


class DevcloudDriver(BASE):
    """See the module. Positional arguments that Nova adds from release to release are taken as *args."""

    def __init__(self, virtapi, read_only=False):
        self.vcpus = CONF.devcloud.vcpus
        self.memory_mb = CONF.devcloud.ram_mib
        self.local_gb = CONF.devcloud.disk_gib
        super().__init__(virtapi, read_only)
        self.instances = Servers(CONF.devcloud.instances_file)
        self._started = time.time()

    def _set_state(self, instance, state):
        known = self.instances.get(instance.uuid)
        if known is None:
            raise fake.exception.InstanceNotFound(instance_id=instance.uuid)
        known.state = state

    def pause(self, instance):
        self._set_state(instance, power_state.PAUSED)

    def unpause(self, instance):
        self._set_state(instance, power_state.RUNNING)

    def suspend(self, context, instance):
        self._set_state(instance, power_state.SUSPENDED)

    def resume(self, context, instance, *args, **kwargs):
        self._set_state(instance, power_state.RUNNING)

    def resume_state_on_host_boot(self, context, instance, *args, **kwargs):
        self._set_state(instance, power_state.RUNNING)

    def rescue(self, context, instance, *args, **kwargs):
        self._set_state(instance, power_state.RUNNING)

    def soft_delete(self, instance):
        self._set_state(instance, power_state.SHUTDOWN)

    def restore(self, instance):
        self._set_state(instance, power_state.RUNNING)

    def detach_interface(self, context, instance, vif):
        """Tolerates an interface attached before nova-compute was restarted, which only Neutron remembers."""
        self._interfaces.pop(vif["id"], None)

    def unplug_vifs(self, instance, network_info):
        for vif in network_info or ():
            self._interfaces.pop(vif["id"], None)

    def destroy(self, context, instance, network_info, *args, **kwargs):
        super().destroy(context, instance, network_info, *args, **kwargs)
        self.unplug_vifs(instance, network_info)

    def snapshot(self, context, instance, image_id, update_task_state):
        """Uploads some bytes that begin with the server's uuid, through the same task states as libvirt's driver."""
        if instance.uuid not in self.instances:
            raise fake.exception.InstanceNotRunning(instance_id=instance.uuid)
        images = glance.API()
        update_task_state(task_state=task_states.IMAGE_PENDING_UPLOAD)
        known = images.get(context, image_id)
        metadata = {
            "name": known["name"],
            "disk_format": known.get("disk_format") or "raw",
            "container_format": known.get("container_format") or "bare",
            "properties": {**known.get("properties", {}), "image_location": "snapshot", "image_state": "available"},
        }
        update_task_state(task_state=task_states.IMAGE_UPLOADING, expected_state=task_states.IMAGE_PENDING_UPLOAD)
        content = f"devcloud snapshot of {instance.uuid}\n".encode().ljust(SNAPSHOT_BYTES, b"\0")
        images.update(context, image_id, metadata, io.BytesIO(content))

    def get_console_output(self, context, instance):
        return f"devcloud console of {instance.uuid}\n{instance.hostname} booted on {CONF.host}\nlogin: \n"

    def get_host_uptime(self):
        days, rest = divmod(int(time.time() - self._started), 86400)
        hours, seconds = divmod(rest, 3600)
        return f"up {days} days, {hours:2d}:{seconds // 60:02d},  0 users,  load average: 0.00, 0.00, 0.00"
