"""`python -m homie_core.cli`: the same as `homie`."""

import sys

from homie_core.cli.main import main

sys.exit(main())
