"""The study of Sytwu, Groschner and Scott (2022), repeated on public and simulated images.

    python benchmarks/receptive_field_study.py                        # says what there is to do
    python benchmarks/receptive_field_study.py collect --out study --data ../shared/data \
        --simulated more [--published ../shared/data/published-networks] [--minutes 60]

``collect`` trains and scores, one piece after the other, and goes on where it was stopped. Each
piece is a file of its own in ``OUT/pieces``, whole or not there.

Real images come from ``--data`` (graphene-hrtem, nanoparticles-bf and dislocation-loops in it, each
with images and labels), simulated ones from ``--simulated``, where ``sample_data/simulate.py``
made them::

    python sample_data/simulate.py --out more --set high_resolution --count 64 --exposures 2 --seed 7
    python sample_data/simulate.py --out more --set low_magnification --count 24 --exposures 2 --seed 7
"""

import argparse
from pathlib import Path

from study.collecting import collect, waiting
from study.pieces import pieces
from study.sets import KINDS
from study.working import Place

from napari_tem_rf.protocol import PRESETS

ROOT = Path(__file__).parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="?", choices=("plan", "collect"), default="plan")
    parser.add_argument("--out", type=Path, default=Path("study"), help="folder for everything")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--simulated", type=Path, default=ROOT / "simulated")
    parser.add_argument("--published", type=Path, help="folder of networks that others trained")
    parser.add_argument("--sets", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--preset", choices=sorted(PRESETS), default="default")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--minutes", type=float, default=1e9)
    parser.add_argument("--scheduler", help="address of a Dask cluster")
    parser.add_argument("--workers", type=int, default=0, help="local processes")
    options = parser.parse_args()
    place = Place(
        options.out.absolute(),
        options.data.absolute(),
        options.simulated.absolute(),
        preset=options.preset,
        device=options.device,
    )
    wanted = list(pieces(tuple(options.sets)))
    if options.what == "plan":
        left = waiting(wanted, place)
        print(f"{len(wanted)} pieces, {len(left)} of them can be done and are not")
        return
    collect(wanted, place, options.minutes, options.scheduler, options.workers)


if __name__ == "__main__":
    main()
