"""Benchmarks of the shop, beside plainer servers that are run and measured in the same minute.

Figures of one machine say little elsewhere; their ratios say more. So nothing is compared with a
number from another day: what the shop is compared with runs beside it, loaded by the same client.
"""
