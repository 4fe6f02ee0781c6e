"""A ChangeSpec and the ids it has in the site become the body of a server action."""

from typing import Any

from proto.specs import ChangeSpec, ServerSecrets
from site_agent.core.boot import hostname_taken, personality, speaks

_KEY_NAME = (2, 54)
_USER_DATA = (2, 57)


def rebuild_body(
    change: ChangeSpec, secrets: ServerSecrets, image: str, keypair: str | None, microversion: str
) -> dict[str, Any]:
    """Return the action ``rebuild``: key and user data are said also where there are none, else old ones would stay.

    ``microversion``: `boot.spoken`. With files (personality) user data stay as they are, above too.
    """
    body: dict[str, Any] = {
        "imageRef": image,
        "name": change.name,
        "description": change.description,
        "metadata": dict(change.metadata),
        "preserve_ephemeral": change.preserve_ephemeral,
    }
    if secrets.admin_password:
        body["adminPass"] = secrets.admin_password
    if speaks(microversion, _KEY_NAME):
        body["key_name"] = keypair
    if speaks(microversion, _USER_DATA):
        body["user_data"] = secrets.user_data
    if files := personality(secrets):
        body["personality"] = files
    if hostname := hostname_taken(change.hostname, microversion):
        body["hostname"] = hostname
    return {"rebuild": body}


def rescue_body(secrets: ServerSecrets, image: str | None) -> dict[str, Any]:
    """Return the action ``rescue``; without an image the site takes the one the server was made of."""
    fields = {"adminPass": secrets.admin_password, "rescue_image_ref": image}
    return {"rescue": {key: value for key, value in fields.items() if value}}
