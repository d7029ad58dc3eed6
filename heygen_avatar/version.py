"""The package's version; setup.cfg and the User-Agent header read it from here."""

__version__ = "0.1.0"
