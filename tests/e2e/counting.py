"""What is left in the road between bridge and sites."""

from deploy.demo.stack import Stack
from proto import streams, subjects
from proto.jetstream import JetStream


async def messages(stack: Stack, site: str) -> int:
    """Return how many messages of a site are in any stream but DEAD."""
    credentials = stack.middle.nats.files.bridge_credentials.read_text()
    road = await JetStream.connect([stack.middle.nats.url], "e2e", credentials=credentials)
    try:
        found = [await road.count(stream.name, f"{subjects.PREFIX}.*.*.{site}.>") for stream in streams.of_site(site)]
        return sum(found)
    finally:
        await road.close()
