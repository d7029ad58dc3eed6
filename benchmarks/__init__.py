"""How fast this package is, against plain asyncio code that does the same work: ``python -m benchmarks``."""
