"""Which changes of the code the unit tests notice: mutation testing, part by part.

mutmut makes the mutants, each with one thing changed (a number, a comparison, an argument), and
finds out which unit tests come by which function. They are tried here: copies of a process that
has imported the tests, one a mutant. Of each part a sample is tried, in an order that a seed and
the mutants' names give: a larger sample holds the smaller one, and code that changes elsewhere
leaves it as it is.

Verdicts are kept in ``build/mutants``, one line each as they come: stopped at any moment, it goes
on where it was. A verdict holds until the code of its function changes; survivors are tried once
more with ``--again``, after tests were written.

Run by ``make mutants``, from the environment that it makes. Prints a table, with the interval in
which the share of all mutants lies (95 %, after Wilson), and with ``--show`` each survivor as a
diff; leaves with 1 where a part is below what is asked for.
"""

import argparse
import gc
import hashlib
import json
import math
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PLACE = ROOT / "build" / "mutants"
PARTS = ("networks", "measuring", "micrographs")
SIZE = 150
ASKED = 0.80
MUTMUT = str(Path(sys.executable).with_name("mutmut"))

COPIED = ("src", "tests", "sample_data", "benchmarks")

PLUGINS = ("-p", "no:cacheprovider", "-p", "pytest_timeout")

# what takes long beside tests that notice the same: a mutant would wait for it each time
TOO_LONG = (
    "tests/networks/test_receptive_field.py::test_every_phase_is_the_support_of_a_gradient",
    "tests/networks/test_catalog.py::test_nine_of_ten_wishes_are_met_within_a_tenth",
    "tests/networks/test_spec.py::test_multiply_adds_equal_torchs_count",
)

# what starts an interpreter elsewhere, which does not find what mutants report to
IN_ANOTHER_FOLDER = (
    "tests/micrographs/test_trial.py::test_the_command_runs_nothing_of_the_current_folder",
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
TIMES_AS_LONG = 10.0
"""What tests may take of the processor, before a mutant counts as one that never ends: so many
times what they took, and these seconds."""

KILLED = {1, 3}
OUT_OF_TIME = {-signal.SIGXCPU, -signal.SIGKILL, -signal.SIGSEGV}
NO_TESTS = {5, 33}


@dataclass(frozen=True, slots=True)
class Mutant:
    """A change of the code to try, and the tests that come by it, likely ones first."""

    name: str
    function: str
    tests: tuple[str, ...]
    processor_s: float


@dataclass(frozen=True, slots=True)
class Part:
    """A package of the program, and the folder in which its mutants are tried."""

    name: str

    @property
    def place(self) -> Path:
        """The folder in which mutmut works."""
        return PLACE / self.name

    @property
    def mutants(self) -> Path:
        """The folder with the changed code and the tests."""
        return self.place / "mutants"

    @property
    def environment(self) -> dict[str, str]:
        """What processes are told, those too that tests start: where the changed code is."""
        # processes that tests start would compile it all again
        kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        return {
            **kept,
            "PYTHONPATH": str(self.mutants / "src"),
            "MUTANT_UNDER_TEST": "",
            "OMP_NUM_THREADS": "1",
            # to look for plugins takes longer than most tests
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        }

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
                *PLUGINS,
                *(f"--deselect={test}" for test in (*TOO_LONG, *IN_ANOTHER_FOLDER)),
            ],
            "pytest_add_cli_args_test_selection": [
                f"tests/{self.name}",
                *ELSEWHERE.get(self.name, []),
            ],
            # says which test fails, where one does
            "debug": True,
            "use_git_change_detection": False,
            "on_dependency_change": "ignore",
            "process_isolation": "forkserver",
        }
        lines = ["[tool.pytest.ini_options]"]
        # JSON's texts, lists and booleans are TOML's
        lines += [f"{key} = {json.dumps(value)}" for key, value in options(pytest_options)]
        lines += ["", "[tool.mutmut]"]
        lines += [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
        (self.place / "pyproject.toml").write_text("\n".join(lines) + "\n")

    def make(self) -> None:
        """Make the mutants of code that changed, and find out where tests that changed come by."""
        self.prepare()
        known = self.place / "made.json"
        before = json.loads(known.read_text()) if known.exists() else {}
        now = {
            path.relative_to(ROOT).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for folder in ("src", "tests")
            for path in sorted((ROOT / folder).rglob("*.py"))
        }
        now["settings"] = (self.place / "pyproject.toml").read_text()
        if now == before:
            return
        if not before:
            # stopped while they were made, files are not whole
            shutil.rmtree(self.mutants, ignore_errors=True)
        # tests that are not there any more would be run
        shutil.rmtree(self.mutants / "tests", ignore_errors=True)
        self._forget({name for name in before if now.get(name) != before[name]})
        # Python looks once whether a folder of its path is there
        (self.mutants / "src").mkdir(parents=True, exist_ok=True)
        known.unlink(missing_ok=True)
        # there is no such mutant: mutmut prepares, and tries nothing
        said = self.mutmut("run", "--max-children", "1", "none of them")
        if "nothing matches" not in said.stderr:
            # made they are, and whole
            known.write_text(json.dumps(before or {"settings": ""}))
            raise SystemExit(
                f"{self.name}: mutmut made no mutants, or a test fails where nothing is changed\n"
                f"{said.stdout[-6000:]}\n{said.stderr[-3000:]}"
            )
        known.write_text(json.dumps(now))

    def _forget(self, files: set[str]) -> None:
        """Let mutmut take the tests of these files for new ones."""
        path = self.mutants / "mutmut-stats.json"
        if not path.exists() or not files:
            return
        said = json.loads(path.read_text())
        said["duration_by_test"] = {
            test: seconds
            for test, seconds in said["duration_by_test"].items()
            if file_of(test) not in files
        }
        said["tests_by_mangled_function_name"] = {
            function: [test for test in tests if file_of(test) not in files]
            for function, tests in said["tests_by_mangled_function_name"].items()
        }
        path.write_text(json.dumps(said))

    def mutmut(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run mutmut in the folder."""
        return subprocess.run(
            [MUTMUT, *arguments],
            cwd=self.place,
            env=self.environment,
            capture_output=True,
            text=True,
            errors="replace",
        )

    def hashes(self) -> dict[str, str]:
        """Return for each mutant that there is what its function's code is told by."""
        found: dict[str, str] = {}
        for path in sorted(self.mutants.glob("src/napari_tem_rf/**/*.py.meta")):
            said = json.loads(path.read_text())
            for mutant in said["exit_code_by_key"]:
                function = mutant.partition("__mutmut_")[0].rpartition(".")[2]
                found[mutant] = said["hash_by_function_name"].get(function, "")
        return found

    def verdicts(self) -> dict[str, int | None]:
        """Return the exit code of the tests for each mutant; None: not tried as it is now."""
        found: dict[str, int | None] = dict.fromkeys(hashes := self.hashes())
        for verdict in said_in(self.place / "verdicts.jsonl"):
            if hashes.get(verdict["mutant"]) == verdict["function"]:
                found[verdict["mutant"]] = verdict["code"]
        return found

    def drawn(self, size: int, seed: int) -> list[str]:
        """Return the mutants to try: the first of them in an order that the seed gives."""

        def place(name: str) -> bytes:
            return hashlib.sha256(f"{seed} {name}".encode()).digest()

        return sorted(self.hashes(), key=place)[:size]

    def to_try(self, names: Iterable[str]) -> list[Mutant]:
        """Return mutants with the tests that come by them."""
        said = json.loads((self.mutants / "mutmut-stats.json").read_text())
        seconds, hashes = said["duration_by_test"], self.hashes()
        tests = said["tests_by_mangled_function_name"]
        return [
            Mutant(
                name,
                hashes[name],
                tuple(in_order(name, tests.get(name.partition("__mutmut_")[0], []), seconds)),
                SECONDS_BESIDE
                + TIMES_AS_LONG
                * sum(seconds[test] for test in tests.get(name.partition("__mutmut_")[0], [])),
            )
            for name in names
        ]

    def try_until(self, end: float, children: int, mutants: list[Mutant]) -> None:
        """Try mutants until the time is over; verdicts are on disk as they come."""
        asked = {
            "mutants": [asdict(mutant) for mutant in mutants],
            "children": children,
            "seconds": end - time.monotonic(),
            "verdicts": str(self.place / "verdicts.jsonl"),
        }
        with (self.place / "log.txt").open("w") as log:
            subprocess.run(
                [sys.executable, str(Path(__file__).resolve()), "serve"],
                cwd=self.mutants,
                env=self.environment,
                input=json.dumps(asked),
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )


def options(pytest_options: dict[str, dict[str, object]]) -> list[tuple[str, object]]:
    """Return pytest's settings without the folder of tests."""
    return [
        (key, value) for key, value in pytest_options["ini_options"].items() if key != "testpaths"
    ]


def file_of(test: str) -> str:
    """Return the file of a test, from the root."""
    return test.partition("::")[0]


def in_order(mutant: str, tests: Iterable[str], seconds: dict[str, float]) -> list[str]:
    """Return tests file by file: those of the mutant's own module first, then by what they take.

    In a file they stay in their order, so that what they share is set up once.
    """
    module = mutant.partition(".x")[0].rpartition(".")[2]
    place = {test: number for number, test in enumerate(seconds)}
    whole: defaultdict[str, float] = defaultdict(float)
    for test in tests:
        whole[file_of(test)] += seconds[test]

    def key(test: str) -> tuple[bool, float, str, int]:
        file = file_of(test)
        return Path(file).stem != f"test_{module}", whole[file], file, place[test]

    return sorted(tests, key=key)


def said_in(path: Path) -> list[dict[str, object]]:
    """Return the verdicts of a file, whose last line may be half written."""
    if not path.exists():
        return []
    found = []
    for line in path.read_text().splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def serve() -> None:
    """Try the mutants that are asked for on the standard input, in the folder of the tests."""
    import pytest

    asked = json.load(sys.stdin)
    end = time.monotonic() + asked["seconds"]
    options = ["--rootdir=.", "-q", "--tb=short", *PLUGINS]
    files = sorted({file_of(test) for mutant in asked["mutants"] for test in mutant["tests"]})
    # what the tests import is there in each copy of this process
    pytest.main([*options, "-qq", "--collect-only", *files])
    gc.collect()
    gc.freeze()
    waiting = [Mutant(**mutant) for mutant in asked["mutants"]]
    running: dict[int, Mutant] = {}
    with Path(asked["verdicts"]).open("a") as verdicts:

        def say(mutant: Mutant, code: int) -> None:
            said = {"mutant": mutant.name, "function": mutant.function, "code": code}
            # a line that was cut off ends here
            verdicts.write("\n" + json.dumps(said))
            verdicts.flush()

        while (waiting or running) and time.monotonic() < end:
            while waiting and len(running) < asked["children"]:
                mutant = waiting.pop(0)
                if mutant.tests:
                    running[started(mutant, options)] = mutant
                else:
                    say(mutant, min(NO_TESTS))
            for process in list(running):
                ended, status = os.waitpid(process, os.WNOHANG)
                if ended:
                    say(running.pop(process), os.waitstatus_to_exitcode(status))
                    # what its tests had started
                    end_all(process)
            time.sleep(0.02)
    for process in running:
        end_all(process)


def started(mutant: Mutant, options: list[str]) -> int:
    """Return the process that runs the tests of a mutant, with all that they start its group."""
    sys.stdout.flush()
    process = os.fork()
    if process:
        return process
    import pytest

    os.setsid()
    soft = math.ceil(mutant.processor_s)
    resource.setrlimit(resource.RLIMIT_CPU, (soft, soft + 5))
    os.environ["MUTANT_UNDER_TEST"] = mutant.name
    print(f"\n== {mutant.name}")
    code = 3
    try:
        code = int(pytest.main([*options, "-x", *mutant.tests]))
        sys.stdout.flush()
    finally:
        os._exit(code)


def end_all(group: int) -> None:
    """End a group of processes, where it is still there."""
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


def attempt(part: Part, size: int, seed: int, end: float, children: int, again: bool) -> None:
    """Try the mutants of a part until ``end``."""
    verdicts = part.verdicts()
    waiting = [
        name
        for name in part.drawn(size, seed)
        if verdicts[name] is None or (again and kind(verdicts[name]) not in ("killed", "no end"))
    ]
    if waiting:
        part.try_until(end, children, part.to_try(waiting))
        verdicts = part.verdicts()
        if all(verdicts[name] is None for name in waiting) and time.monotonic() < end:
            said = (part.place / "log.txt").read_text(errors="replace")
            raise SystemExit(f"{part.name}: nothing was tried\n{said[-3000:]}")


def main() -> int:
    """Try mutants, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--sample", type=int, default=SIZE, help="of each part")
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
        part.make()
        attempt(part, options.sample, options.seed, share_of_time, options.children, options.again)
        verdicts = part.verdicts()
        names = [
            key for key in part.drawn(options.sample, options.seed) if verdicts[key] is not None
        ]
        count = Counter(kind(verdicts[key]) for key in names)
        killed = count["killed"] + count["no end"]
        below |= killed < ASKED * len(names)
        rows.append((name, len(verdicts), len(names), count, *interval(killed, len(names))))
        if options.show:
            for key in names:
                if kind(verdicts[key]) not in ("killed", "no end"):
                    print(f"\n{kind(verdicts[key])}: {key}")
                    print(part.mutmut("show", key).stdout)
    print(
        f"{'part':<12}{'mutants':>9}{'tried':>7}{'killed':>8}{'no end':>8}{'survived':>10}"
        f"{'no test':>9}{'killed, %':>11}{'95 % interval':>15}"
    )
    for name, all_, number, count, low, share, high in rows:
        print(
            f"{name:<12}{all_:>9,}{number:>7,}{count['killed']:>8}{count['no end']:>8}"
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
        return "no end"
    return "no test" if code in NO_TESTS else "survived"


if __name__ == "__main__":
    sys.exit(serve() if sys.argv[1:] == ["serve"] else main())
