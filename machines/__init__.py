"""What a shop on several machines stands on, for tests and benchmarks: the real programs.

PostgreSQL, Redis and nginx, each started on a port and in a folder of its own, to be stopped,
killed and frozen at will; and machines to run them on, in network namespaces, with lines between
them that can be cut. Nothing of it outlives the process that started it, not even when that
process is killed: see `machines.guardian`. It knows no shop.
"""

from machines.network import HERE, Machine, Network, NoNetwork
from machines.nginx import Nginx
from machines.postgresql import PostgreSQL
from machines.redis import Redis
from machines.service import NotThere, Service, free_port

__all__ = [
    "HERE",
    "Machine",
    "Network",
    "Nginx",
    "NoNetwork",
    "NotThere",
    "PostgreSQL",
    "Redis",
    "Service",
    "free_port",
]
