"""LiveAvatar, FULL and LITE, on the simulator's port: see :class:`~.service.LiveAvatar`."""
