"""`python -m wmlib`: the same as the command `wmlib`."""

import sys

from wmlib.cli import main

sys.exit(main())
