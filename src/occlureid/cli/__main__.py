"""``python -m occlureid.cli``, which torchrun calls."""

import sys

from occlureid.cli import main

sys.exit(main())
