"""Names of the requests between a bridge and an agent that are answered at once and belong to no Nova operation."""

from enum import StrEnum


class QueryName(StrEnum):
    """The verb of a Query or Ask; those of Nova's reading CALLs are rows of proto.operations."""

    CENSUS = "census"  # what the site holds
    NETWORK_SYNC = "network_sync"  # make networks, groups and ports equal
    NETWORK_DROP = "network_drop"  # delete what no server needs
    NAMES_SYNC = "names_sync"  # call servers as their tenants do
    FLAVOR_ENSURE = "flavor_ensure"  # make a flavor ahead
    FLAVOR_SYNC = "flavor_sync"  # to the bridge that owns the site: push flavors now
    HOLDINGS = "holdings"  # what the agent made of flavors, images, keypairs, groups
    DROP = "drop"  # delete some of these
    IMAGES = "images"  # the transfers of images
    IMAGE_CHUNK = "image_chunk"  # a part of an image; asked by the agent for one on its way down
    SNAPSHOT_IMAGE = "snapshot_image"  # the image the site took for one above
    SNAPSHOT_DISCARD = "snapshot_discard"  # delete it
