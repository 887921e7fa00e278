"""What a shop on several machines stands on, for tests and benchmarks: the real programs.

PostgreSQL, Redis and nginx, each started on a port and in a folder of its own, to be stopped,
killed and frozen at will; and machines to run them on, in network namespaces, with lines between
them that can be cut. Nothing of it outlives the process that started it, not even when that
process is killed: see `tests.support.machines.guardian`. It knows no shop.
"""
