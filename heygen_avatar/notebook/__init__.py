"""The avatar in a notebook: live in a cell, or as a still picture where the front end shows no widgets.

Needs the extra ``notebook``. Everything is sent from threads of this package, so that it plays on while a cell blocks;
nothing here runs on the media loop, and no secret and no picture ever lies in a widget's state, which notebooks save.
"""

from .showing import show

__all__ = ["show"]
