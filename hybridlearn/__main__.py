"""``python -m hybridlearn`` is the command ``hybridlearn``."""

import sys

from hybridlearn.cli import main

if __name__ == "__main__":
    sys.exit(main())
