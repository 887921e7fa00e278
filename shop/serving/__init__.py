"""The server: sockets, processes, requests as bytes, static files."""
