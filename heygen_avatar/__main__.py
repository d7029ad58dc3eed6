"""``python -m heygen_avatar``: the same as the command ``heygen-avatar``."""

import sys

from heygen_avatar.cli import main

sys.exit(main())
