"""`python -m benchmarks NAME`: run one benchmark of this folder."""

import importlib
import sys
from pathlib import Path

NAMES = sorted(path.stem for path in Path(__file__).parent.glob("[!_]*.py"))

if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in NAMES:
        sys.exit(f"usage: python -m benchmarks NAME, with NAME one of: {', '.join(NAMES)}")
    importlib.import_module(f"benchmarks.{sys.argv[1]}").main(sys.argv[2:])
