"""Glance: a tiny image made, filled, hashed and read in parts."""

import hashlib
import io
from typing import Any

from proto.errors import CascadeError
from site_agent.core import rights
from site_agent.core.answers import Answer, checked
from site_agent.core.rights import PROBE, Finding, Verdict, works
from site_agent.edge.cloud import Cloud, Service

FORBIDDEN = 403
USUAL = "sha512"  # Glance's default
CONTENT = PROBE.encode()
PART = (8, 5)  # offset and length of what is read again


async def images(cloud: Cloud) -> list[Finding]:
    """Whether images can be carried down, recognised by their hash, and carried up."""
    await _sweep(cloud)
    body = {"name": PROBE, "disk_format": "raw", "container_format": "bare", "visibility": "private"}
    answer = await _glance(cloud, "POST", "/images", body)
    if answer.status == FORBIDDEN:
        return [rights.lacking("images", rights.IMAGES, ["add_image"], answer.message)]
    image_id = str(checked(answer)["id"])
    try:
        return await _filled(cloud, image_id)
    finally:
        await _sweep(cloud)


async def _filled(cloud: Cloud, image_id: str) -> list[Finding]:
    answer = await cloud.upload(f"/images/{image_id}/file", io.BytesIO(CONTENT))
    if answer.status == FORBIDDEN:
        return [rights.lacking("images", rights.IMAGES, ["upload_image"], answer.message)]
    checked(answer)
    found = checked(await _glance(cloud, "GET", f"/images/{image_id}"))
    return [_hashed(found), await _read_again(cloud, image_id)]


def _hashed(found: dict[str, Any]) -> Finding:
    algorithm = found.get("os_hash_algo") or ""
    if not algorithm:
        text = "Glance keeps no hash: images of the site itself cannot be matched by content, each is carried once"
        return Finding("images", Verdict.DEGRADED, text, "Glance of Rocky or newer")
    if hashlib.new(algorithm, CONTENT).hexdigest() != found.get("os_hash_value"):
        text = f"the {algorithm} of what was uploaded is not what Glance says"
        return Finding("images", Verdict.REFUSED, text, "look at Glance's store")
    if algorithm != USUAL:
        text = f"Glance hashes by {algorithm}: where the cascading one does not, each image is carried once"
        return Finding("images", Verdict.DEGRADED, text, f"[DEFAULT] hashing_algorithm = {USUAL} in glance-api.conf")
    return works("images", f"uploaded, {algorithm} is right")


async def _read_again(cloud: Cloud, image_id: str) -> Finding:
    ability, lost = "images upwards", "snapshots cannot be carried up"
    offset, length = PART
    try:
        answer = await cloud.download(f"/images/{image_id}/file", offset, length)
    except CascadeError as error:
        return Finding(ability, Verdict.DEGRADED, f"{error}: {lost}", "let Range requests through to Glance")
    if answer.status == FORBIDDEN:
        mend = "allow the agent's role in glance's policy.yaml: download_image"
        return Finding(ability, Verdict.DEGRADED, f"{answer.message}: {lost}", mend)
    if bytes(checked(answer)) != CONTENT[offset : offset + length]:
        return Finding(ability, Verdict.DEGRADED, f"a part read back is not what was sent: {lost}", "look at Glance")
    return works(ability, "read in parts")


async def _sweep(cloud: Cloud) -> None:
    """Delete what checks made, this one or a killed one."""
    query = {"name": PROBE, "owner": cloud.project_id}
    answer = await cloud.request(Service.IMAGE, "GET", "/images", params=query)
    for found in checked(answer)["images"]:
        checked(await _glance(cloud, "DELETE", f"/images/{found['id']}"))


async def _glance(cloud: Cloud, method: str, path: str, body: Any = None) -> Answer:
    return await cloud.request(Service.IMAGE, method, path, json=body)
