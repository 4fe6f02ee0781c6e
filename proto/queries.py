"""Names of the requests between a bridge and an agent that are answered at once and belong to no Nova operation."""

from enum import StrEnum


class QueryName(StrEnum):
    """The verb of a Query or Ask; those of Nova's reading CALLs are rows of proto.operations."""

    EPOCH = "epoch"  # to the bridge: which life of the site it is; asked by the agent
    CENSUS = "census"  # what the site holds, by pages
    CENSUS_DIGEST = "census_digest"  # list it, and tell digests of the listing
    CENSUS_PARTS = "census_parts"  # parts of that listing
    CENSUS_LOOK = "census_look"  # some instances, looked at by themselves
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
    SERVER_STOP = "server_stop"  # power off one tagged server
    SERVER_RETURN = "server_return"  # take our tags off it
    SERVER_PURGE = "server_purge"  # delete it
    # to the bridge that owns the site
    DEAD_REPLAY = "dead_replay"  # carry out a dead letter after all
    HEAL = "heal"  # a round now
    HEAL_APPROVE = "heal_approve"  # and do what the brake held back
    QUARANTINE_ADOPT = "quarantine_adopt"  # it is the instance's server again
    QUARANTINE_RETURN = "quarantine_return"  # it is its site's own now
    QUARANTINE_PURGE = "quarantine_purge"  # it goes


# Every agent of a site must hear these, the first answer counts: the newest names of a server, so that a slow agent
# does not bring former ones back; the flavors whose room it counts; what goes on with a look that one of them began.
FOR_ALL_AGENTS = frozenset(
    {QueryName.NAMES_SYNC, QueryName.FLAVOR_ENSURE, QueryName.CENSUS_DIGEST, QueryName.CENSUS_PARTS}
)
