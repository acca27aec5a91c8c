"""The same laboratory as the sandboxes' own tests have, on every backend."""

import importlib.util
import sys
from pathlib import Path

SANDBOX = Path(__file__).parents[1] / "sandbox"
sys.path.insert(0, str(SANDBOX))
_spec = importlib.util.spec_from_file_location("sandbox_conftest", SANDBOX / "conftest.py")
assert _spec
assert _spec.loader
_fixtures = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_fixtures)

prepared, lab = _fixtures.prepared, _fixtures.lab
