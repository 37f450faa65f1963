"""How many small changes of the code the unit tests notice: mutation testing, part by part.

mutmut changes one thing at a time (a number, a comparison, an argument) and runs the unit tests
that come by it. `networks/` is tried whole; of the larger parts a sample, drawn with a seed, so
that it grows without starting anew. Verdicts are kept in ``build/mutants``: stopped at any moment,
it goes on where it was; what changed in code is tried again, and so are survivors where a test
changed (``--again``).

Run by ``make mutants``, from the environment that it makes. Prints a table, with the interval in
which the share of all mutants lies (95 %, after Wilson), and with ``--show`` each survivor as a
diff; leaves with 1 where a part is below what is asked for.
"""

import argparse
import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PLACE = ROOT / "build" / "mutants"
PARTS = ("networks", "measuring", "micrographs")
SIZES = {"networks": None, "measuring": 150, "micrographs": 150}
ASKED = 0.80
MUTMUT = str(Path(sys.executable).with_name("mutmut"))
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}

COPIED = ("src", "tests", "sample_data", "benchmarks")

# what takes long beside tests that notice the same: a mutant would wait for it each time
TOO_LONG = (
    "tests/networks/test_receptive_field.py::test_every_phase_is_the_support_of_a_gradient",
    "tests/networks/test_catalog.py::test_nine_of_ten_wishes_are_met_within_a_tenth",
    "tests/networks/test_spec.py::test_multiply_adds_equal_torchs_count",
)

# what starts an interpreter elsewhere, which does not find what mutants report to
IN_ANOTHER_FOLDER = (
    "tests/micrographs/test_trial.py::test_the_helper_runs_nothing_of_the_current_folder",
)

# unit tests of a part that stand elsewhere, beside what the part is for
ELSEWHERE = {
    "networks": [
        f"tests/test_adopting.py::{test}"
        for test in (
            "test_names_do_not_matter",
            "test_levels_that_do_not_grow_are_told_apart_by_their_names",
            "test_another_network_is_refused_by_what_it_is",
            "test_random_networks_of_the_family_are_found",
        )
    ]
}

SECONDS_BESIDE = 20.0
"""What a test may take longer than it did, before the mutant counts as one that never ends."""

KILLED = {1, 3}
OUT_OF_TIME = {24, -24, 36, 152, 255, -9, -11}
NO_TESTS = {5, 33}


@dataclass(frozen=True, slots=True)
class Part:
    """A package of the program, and the folder in which its mutants are tried."""

    name: str

    @property
    def place(self) -> Path:
        """The folder in which mutmut works."""
        return PLACE / self.name

    def prepare(self) -> None:
        """Lay out what mutmut wants: sources, this part's tests, settings."""
        self.place.mkdir(parents=True, exist_ok=True)
        # files of microscopes lie beside the repository, where they are
        for source in (*(ROOT / name for name in COPIED), ROOT.parent / "shared"):
            link = self.place / source.name
            if source.exists() and not link.is_symlink():
                link.symlink_to(source)
        pytest_options = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]
        settings = {
            "source_paths": ["src"],
            "only_mutate": [f"src/napari_tem_rf/{self.name}/*"],
            "also_copy": ["sample_data", "benchmarks"],
            "pytest_add_cli_args": [
                "-p",
                "no:cacheprovider",
                *(f"--deselect={test}" for test in (*TOO_LONG, *IN_ANOTHER_FOLDER)),
            ],
            "pytest_add_cli_args_test_selection": [
                f"tests/{self.name}",
                *ELSEWHERE.get(self.name, []),
            ],
            "timeout_constant": SECONDS_BESIDE,
            "use_git_change_detection": False,
            # a test that was changed is in `--again`; data are not
            "on_dependency_change": "ignore",
            "process_isolation": "forkserver",
        }
        lines = ["[tool.pytest.ini_options]"]
        # JSON's texts, lists and booleans are TOML's
        lines += [f"{key} = {json.dumps(value)}" for key, value in options(pytest_options)]
        lines += ["", "[tool.mutmut]"]
        lines += [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
        (self.place / "pyproject.toml").write_text("\n".join(lines) + "\n")

    def mutmut(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run mutmut in the folder."""
        return subprocess.run(
            [MUTMUT, *arguments], cwd=self.place, env=ENVIRONMENT, capture_output=True, text=True
        )

    def try_until(self, end: float, children: int, names: list[str]) -> str:
        """Let mutmut try mutants until the time is over; return what it said."""
        log = self.place / "log.txt"
        with log.open("w") as said:
            process = subprocess.Popen(
                [MUTMUT, "run", "--max-children", str(children), *names],
                cwd=self.place,
                env=ENVIRONMENT,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                process.wait(max(0.0, end - time.monotonic()))
            except (subprocess.TimeoutExpired, KeyboardInterrupt):
                # its workers are of its group; verdicts are on disk as they come
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        return log.read_text(errors="replace")

    def verdicts(self) -> dict[str, int | None]:
        """Return the exit code of the tests for each mutant; None: not tried."""
        found: dict[str, int | None] = {}
        for path in sorted(self.place.glob("mutants/src/napari_tem_rf/**/*.py.meta")):
            found |= json.loads(path.read_text())["exit_code_by_key"]
        return found

    def drawn(self, size: int | None, seed: int) -> list[str]:
        """Return the mutants to try: the first of them in an order that the seed gives."""
        names = sorted(self.verdicts())
        random.Random(seed).shuffle(names)
        return names[: size or SIZES[self.name]]


def options(pytest_options: dict[str, dict[str, object]]) -> list[tuple[str, object]]:
    """Return pytest's settings without the folder of tests."""
    return [
        (key, value) for key, value in pytest_options["ini_options"].items() if key != "testpaths"
    ]


def attempt(
    part: Part, size: int | None, seed: int, end: float, children: int, again: bool
) -> None:
    """Try the mutants of a part until ``end``."""
    part.prepare()
    made = part.place / "made"
    if not made.exists():
        # stopped while they were made, files are not whole
        shutil.rmtree(part.place / "mutants", ignore_errors=True)
        # makes the mutants, learns which tests come by which function, and finds no such mutant
        begun = part.mutmut("run", "--max-children", str(children), "none of them")
        if not part.verdicts():
            raise SystemExit(f"{part.name}: mutmut made no mutants\n{begun.stdout}{begun.stderr}")
        made.touch()
    verdicts = part.verdicts()
    waiting = [
        name
        for name in part.drawn(size, seed)
        if verdicts[name] is None or (again and verdicts[name] not in KILLED)
    ]
    if waiting:
        said = part.try_until(end, children, waiting)
        verdicts = part.verdicts()
        if all(verdicts.get(name) is None for name in waiting) and time.monotonic() < end:
            raise SystemExit(f"{part.name}: nothing was tried\n{said[-3000:]}")


def main() -> int:
    """Try mutants, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument(
        "--sample", type=int, help="of each part; without, networks whole and 150 of the others"
    )
    parser.add_argument("--seed", type=int, default=752)
    parser.add_argument(
        "--seconds", type=float, default=3600.0, help="then stop; go on another time"
    )
    parser.add_argument("--children", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--again", action="store_true", help="try the survivors again")
    parser.add_argument("--show", action="store_true", help="print the survivors")
    options = parser.parse_args()
    end = time.monotonic() + options.seconds
    rows, below = [], False
    for place, name in enumerate(options.parts):
        part = Part(name)
        begun = time.monotonic()
        # what one part leaves of its time is for those after it
        share_of_time = begun + (end - begun) / (len(options.parts) - place)
        attempt(part, options.sample, options.seed, share_of_time, options.children, options.again)
        verdicts = part.verdicts()
        names = [
            key for key in part.drawn(options.sample, options.seed) if verdicts[key] is not None
        ]
        count = Counter(kind(verdicts[key]) for key in names)
        killed = count["killed"] + count["out of time"]
        below |= killed < ASKED * len(names)
        rows.append((name, len(verdicts), len(names), count, *interval(killed, len(names))))
        if options.show:
            for key in names:
                if kind(verdicts[key]) not in ("killed", "out of time"):
                    print(f"\n{kind(verdicts[key])}: {key}")
                    print(part.mutmut("show", key).stdout)
    print(
        f"{'part':<12}{'mutants':>9}{'tried':>7}{'killed':>8}{'no end':>8}{'survived':>10}"
        f"{'no test':>9}{'killed, %':>11}{'95 % interval':>15}"
    )
    for name, all_, number, count, low, share, high in rows:
        print(
            f"{name:<12}{all_:>9,}{number:>7,}{count['killed']:>8}{count['out of time']:>8}"
            f"{count['survived']:>10}{count['no test']:>9}{100 * share:>11.1f}"
            f"{f'{100 * low:.1f} to {100 * high:.1f}':>15}"
        )
    return int(below)


def interval(killed: int, tried: int) -> tuple[float, float, float]:
    """Return the share that was killed between the ends of its 95 % interval (Wilson 1927)."""
    if not tried:
        return 0.0, 0.0, 1.0
    share, z = killed / tried, 1.96
    middle = (share + z**2 / (2 * tried)) / (1 + z**2 / tried)
    half = z / (1 + z**2 / tried) * math.sqrt(share * (1 - share) / tried + (z / tried / 2) ** 2)
    return middle - half, share, middle + half


def kind(code: int | None) -> str:
    """Return what an exit code of the tests says of a mutant."""
    if code in KILLED:
        return "killed"
    if code in OUT_OF_TIME:
        return "out of time"
    return "no test" if code in NO_TESTS else "survived"


if __name__ == "__main__":
    sys.exit(main())
