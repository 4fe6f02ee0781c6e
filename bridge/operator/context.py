"""What commands work with: settings, and connections that are opened when first asked for, as imports cost time."""

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from proto.errors import Misconfigured

if TYPE_CHECKING:
    from bridge.edge.cloud_session import CloudSession
    from bridge.edge.etcd_store import EtcdStore
    from proto.jetstream import JetStream


class Context:
    """The outside of one run of the command; closes on exit what it opened."""

    def __init__(self, config_files: list[str]) -> None:
        self._config_files = config_files
        self._conf: Any = None
        self._store: EtcdStore | None = None
        self._road: JetStream | None = None
        self._cloud: CloudSession | None = None
        self._closing = AsyncExitStack()

    async def __aenter__(self) -> "Context":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._closing.aclose()

    @property
    def conf(self) -> Any:
        """The bridge's settings; Misconfigured if they cannot be read."""
        if self._conf is None:
            from bridge import settings

            arguments = [part for file in self._config_files for part in ("--config-file", file)]
            self._conf = settings.load(arguments, "cascade")
        return self._conf

    def secret(self, path: str | None, setting: str) -> str:
        """Return the content of a key file that a setting names."""
        from bridge import settings

        return settings.read_secret_file(path, setting)

    async def store(self) -> "EtcdStore":
        """Return etcd."""
        if self._store is None:
            from bridge.edge.etcd_store import EtcdStore

            conf = self.conf.etcd
            self._store = await EtcdStore.connect(conf.endpoints, conf.ca_file, conf.cert_file, conf.key_file)
            self._closing.push_async_callback(self._store.close)
        return self._store

    async def road(self) -> "JetStream":
        """Return NATS, with the bridges' credentials."""
        if self._road is None:
            from proto.jetstream import JetStream

            conf = self.conf.nats
            creds = self.secret(conf.credentials_file, "[nats] credentials_file") if conf.credentials_file else None
            self._road = await JetStream.connect(conf.servers, "cascade", credentials=creds, ca_file=conf.ca_file)
            self._closing.push_async_callback(self._road.close)
        return self._road

    async def cloud(self) -> "CloudSession":
        """Return the cascading cloud's APIs."""
        if self._cloud is None:
            from bridge.edge.cloud_session import CloudSession

            name = self.conf.cascading.cloud
            if not name:
                raise Misconfigured("[cascading] cloud is not set: name the clouds.yaml entry of the cascading cloud")
            self._cloud = CloudSession.from_clouds_yaml(name)
            self._closing.callback(self._cloud.close)
        return self._cloud
