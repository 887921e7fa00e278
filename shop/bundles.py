"""What is new of some topics, as each tab gets it: all of its own at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from shop.framing import Joined, Message


class Bundle:
    """What a tab is sent at once: the newest messages of some of its topics."""

    __slots__ = ("message", "messages")

    def __init__(self, messages: Mapping[str, Message]) -> None:
        #: by topic, in the order in which they are sent
        self.messages = messages
        values = messages.values()
        #: all of them as one
        self.message = Joined(values) if len(values) > 1 else next(iter(values))


#: Makes the present message of a topic; None: there is nothing new.
Render = Callable[[str], Message | None]


class News:
    """Some topics and what is new of them, as bundles for tabs."""

    def __init__(
        self, topics: Iterable[str], render: Render, members: Mapping[str, tuple[str, ...]]
    ) -> None:
        """Take what is new.

        Args:
            members: of topics that stand for others. What is new of one of those is news to the
                group's watchers, unless the group has news of its own, which is all of it.
        """
        new = dict.fromkeys(topics)
        #: what there is to say to the watchers of a topic
        self._parts: dict[str, tuple[str, ...]] = {topic: (topic,) for topic in new}
        for group, of_it in members.items():
            parts = tuple(topic for topic in of_it if topic in new)
            if parts and group not in new:
                self._parts[group] = parts
        self._render = render
        self._messages: dict[str, Message | None] = {}
        self._bundles: dict[tuple[str, ...], Bundle | None] = {}

    @property
    def topics(self) -> list[str]:
        """The topics whose watchers are to hear something."""
        return list(self._parts)

    def for_tab(self, watched: tuple[str, ...], topic: str) -> Bundle | None:
        """Return what a tab that watches these is to get, when it is the first's turn."""
        topics = tuple(filter(self._parts.__contains__, watched))
        if not topics or topics[0] != topic:
            return None
        if topics not in self._bundles:
            self._bundles[topics] = self._bundle(topics)
        return self._bundles[topics]

    def forget(self) -> None:
        """Forget what was made."""
        self._messages.clear()
        self._bundles.clear()

    def _bundle(self, topics: tuple[str, ...]) -> Bundle | None:
        messages = {}
        for topic in [part for name in topics for part in self._parts[name]]:
            if topic not in self._messages:
                self._messages[topic] = self._render(topic)
            message = self._messages[topic]
            if message is not None:
                messages[topic] = message
        return Bundle(messages) if messages else None
