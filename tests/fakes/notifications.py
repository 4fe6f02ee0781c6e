"""Where notifications go: into what a story tells."""

from collections.abc import Callable

from bridge.edge.nova_notifications import Notification

Say = Callable[[str, str], None]


class FakeSender:
    """Tells the event type and the state of each; versioned ones only where there is no unversioned one."""

    def __init__(self, say: Say) -> None:
        self.unversioned = True
        self.versioned = True
        self.sent: list[Notification] = []
        self._say = say

    def offer(self, notification: Notification) -> None:
        """Tell of it."""
        self.sent.append(notification)
        payload = notification.payload
        if not notification.versioned:
            self._say("told", f"{payload['instance_id']} {notification.event_type}: {payload['state']}")
        elif "interface" in notification.event_type:
            data = payload["nova_object.data"]
            self._say("told", f"{data['uuid']} {notification.event_type}: {data['state']}")

    async def room(self) -> None:
        """There always is."""
