"""``python -m ecrlab.cli``."""

import sys

from ecrlab.cli import main

sys.exit(main())
