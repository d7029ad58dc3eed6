"""What the simulator's HTTP looks like, for machines: an OpenAPI document (``document.py``) from tables of calls."""
