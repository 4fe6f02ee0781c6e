"""The few REST calls that fill a new cloud, with the standard library only."""

import http.client
import json
import urllib.parse
from dataclasses import dataclass
from typing import Any

from deploy.devcloud.cloud import Cloud
from deploy.devcloud.errors import DevcloudError

TIMEOUT = 60.0
"""Seconds for one call."""


@dataclass(frozen=True, slots=True)
class Session:
    """A logged-in user of one project of one cloud."""

    cloud: Cloud
    token: str
    project_id: str

    def call(self, method: str, service: str, path: str, body: Any = None, **headers: str) -> Any:
        """One JSON request; returns the answer's document. Raises with the answer's text if it is not 2xx."""
        data = None if body is None else json.dumps(body).encode()
        _, text = request(self.cloud, method, service, path, data, {"X-Auth-Token": self.token, **headers})
        return json.loads(text) if text.strip() else None

    def upload(self, path: str, content: bytes) -> None:
        """Sends an image's bytes to Glance."""
        headers = {"X-Auth-Token": self.token, "Content-Type": "application/octet-stream"}
        request(self.cloud, "PUT", "glance", path, content, headers)


def request(
    cloud: Cloud, method: str, service: str, path: str, data: bytes | None, headers: dict[str, str]
) -> tuple[dict[str, str], bytes]:
    """One HTTP request to an API service of the cloud: answer headers (small letters) and body."""
    address = urllib.parse.urlsplit(cloud.url(service))
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=TIMEOUT)
    try:
        connection.request(method, path, data, {"Content-Type": "application/json", **headers})
        answer = connection.getresponse()
        text = answer.read()
        answered = {name.lower(): value for name, value in answer.getheaders()}
    except OSError as error:
        raise DevcloudError(f"{cloud.name}'s {service} does not answer ({error}); see {cloud.log(service)}") from error
    finally:
        connection.close()
    if answer.status >= 300:
        reason = text.decode(errors="replace")[:300]
        raise DevcloudError(
            f"{method} {path} of {cloud.name}'s {service}: {answer.status} {reason}; see {cloud.log(service)}"
        )
    return answered, text


def log_in(cloud: Cloud, user: str, password: str, project: str) -> Session:
    """A project-scoped token; everything is in the domain Default."""
    domain = {"name": "Default"}
    body = {
        "auth": {
            "identity": {
                "methods": ["password"],
                "password": {"user": {"name": user, "password": password, "domain": domain}},
            },
            "scope": {"project": {"name": project, "domain": domain}},
        }
    }
    headers, text = request(cloud, "POST", "keystone", "/v3/auth/tokens", json.dumps(body).encode(), {})
    return Session(cloud, headers["x-subject-token"], json.loads(text)["token"]["project"]["id"])


def log_in_as_admin(cloud: Cloud) -> Session:
    """The user that `keystone-manage bootstrap` made."""
    return log_in(cloud, "admin", cloud.secrets["admin"], "admin")
