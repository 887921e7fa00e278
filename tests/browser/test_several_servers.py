"""The second acceptance scenario for real: two servers, a third machine for the commands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Playwright

from tests.browser.conftest import CHROMIUM, SWITCHES, Complaints
from tests.browser.test_scenarios import play_the_drop
from tests.support.cluster import Cluster
from tests.support.machines.nginx import Nginx
from tests.support.running import eventually

#: One address for both servers, which take turns: a tab's page, stream and clicks are served by
#: whichever it is.
FRONT = """
upstream shop { zone shop 64k; @upstreams@ }
server {
    listen @host@:@port@;
    location / {
        proxy_pass http://shop;
        proxy_http_version 1.1;
        proxy_set_header Host $http_host;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection $http_connection;
        proxy_buffering off;
        proxy_read_timeout 8s;
    }
}
"""


@pytest.fixture(scope="module")
def chromium(playwright: Playwright) -> Iterator[Browser]:
    """All of Chromium, as shoppers have it: most tests do without what is around a page."""
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)
    yield browser
    browser.close()


class Behind:
    """Several servers as one shop."""

    def __init__(self, cluster: Cluster, front: Nginx) -> None:
        self._cluster = cluster
        self.url = front.url

    def start(self) -> None:
        self._cluster.start()

    def stop(self) -> int:
        return max(server.stop() for server in self._cluster.servers)

    def stock(self) -> dict[int, dict[str, Any]]:
        return self._cluster.operator.stock()

    def orders(self) -> list[dict[str, Any]]:
        return self._cluster.operator.orders()

    def sku(self, item_id: int) -> str:
        return self._cluster.operator.sku(item_id)


def test_the_drop_on_two_servers_with_commands_from_a_third_machine(
    open_cluster: Callable[..., Cluster],
    open_window: Callable[..., BrowserContext],
    complaints: Complaints,
) -> None:
    cluster = open_cluster(stage="stocked", apart=True)
    # Both are away at once for a while: none is to be left out when it is back.
    servers = cluster.upstreams.replace(";", " max_fails=0;")
    front = cluster.put_in_front(FRONT, upstreams=servers)
    play_the_drop(Behind(cluster, front), cluster.operator.flask, open_window, complaints)
    for server in cluster.servers:
        served = [line for line in server.output if "POST" in line]
        assert served, "each has had its share"
    eventually(lambda: all(server.stop() == 0 for server in cluster.servers))
