"""The master class: the scores of seven regressions at three levels, by its own program."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Run where it writes nothing: the table and the picture are those of a quiet machine.
PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
from master_class import LEVELS, problems, run_page
found = problems({level: run_page(page) for level, page in LEVELS.items()})
sys.exit("\\n".join(found) or 0)
"""


@pytest.mark.slow
def test_scores_are_as_expected_and_levels_agree(tmp_path):
    """Keys are fixed; how the tolerances were chosen stands in the program."""
    studies = ROOT / "benchmarks" / "studies"
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, str(studies)]
    environment = os.environ | {"MPLBACKEND": "Agg", "TQDM_DISABLE": "1"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
