"""A synchronous SDK for HeyGen's real-time avatars."""

from .version import __version__ as __version__
