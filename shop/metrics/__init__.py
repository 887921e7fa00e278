"""What an operator's Prometheus reads of this shop: counts, times, and what is open right now.

One process counts in its memory (`counters`). Of several that serve one address, any may be
asked: so they count into files of one folder (`folder`), which are read as one (`files`).
prometheus-client looks for that folder when it is imported: this package imports nothing.
"""
