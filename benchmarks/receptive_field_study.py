"""The study of Sytwu, Groschner and Scott (2022), repeated on public and simulated images.

    python benchmarks/receptive_field_study.py                        # says what there is to do
    python benchmarks/receptive_field_study.py collect --out study --data ../shared/data \
        --simulated more [--published ../shared/data/published-networks] [--minutes 60]

``collect`` trains and scores, one piece after the other, and goes on where it was stopped. Each
piece is a file of its own in ``OUT/pieces``, whole or not there. ``published`` measures networks
that others trained (a folder of safetensors and ``networks.json``), without training. ``finish``
scores the masks of the key networks and the forests as the program finishes them, from the weights
that ``collect`` left in ``OUT``.

``page`` writes the tables of ``OUT`` to ``docs/study/tables`` and from them writes
``docs/receptive_field_study.md`` with its figures, and the table in the package that the program's
advice is read from. What those tables hold is not done again, unless ``--anew`` is given.

``--scheduler`` gives the pieces to a Dask cluster. Its scheduler and workers see the same folders
and have ``benchmarks`` on their ``PYTHONPATH``; ``--workers`` says how many pieces at once.

Real images come from ``--data`` (graphene-hrtem, nanoparticles-bf and dislocation-loops in it, each
with images and labels), those simulated from ``--simulated``. They are made in a quarter of an hour
of a core, with abTEM::

    python sample_data/simulate.py --out more --set high_resolution --count 64 --exposures 2 \
        --seed 7
    python sample_data/simulate.py --out more --set low_magnification --count 24 --exposures 2 \
        --seed 7
"""

import argparse
from pathlib import Path

from study.advice import as_json, study_table
from study.collecting import collect, waiting
from study.finishing import finish_all, to_finish
from study.page import write_page
from study.pieces import pieces
from study.published import START, adopted, measure
from study.sets import KINDS
from study.tables import done_in, finished_in, gather, merged, read_tables, write_tables
from study.working import CROP_PX, CROPS, Place

from napari_tem_rf.protocol import PRESETS
from napari_tem_rf.storage import write_text

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs" / "study"
TABLES = PICTURES / "tables"
PAGE = ROOT / "docs" / "receptive_field_study.md"
ADVICE = ROOT / "src" / "napari_tem_rf" / "measuring" / "study_findings.json"
GO_ON = (
    "python benchmarks/receptive_field_study.py collect --out study --data ../shared/data \\\n"
    "    --simulated more --published ../shared/data/published-networks"
)


def make_page(out: Path) -> None:
    """Put what is done into the tables beside the page, and write the page from them."""
    if out.is_dir():
        write_tables(merged(read_tables(TABLES), gather(out)), TABLES)
    found = read_tables(TABLES)
    write_page(found, PAGE, PICTURES, GO_ON)
    write_text(ADVICE, as_json(study_table(found)))
    print(f"{PAGE}\n{ADVICE}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "what",
        nargs="?",
        choices=("plan", "collect", "published", "finish", "page"),
        default="plan",
    )
    parser.add_argument("--out", type=Path, default=Path("study"), help="folder for everything")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--simulated", type=Path, default=ROOT / "simulated")
    parser.add_argument("--published", type=Path, help="folder of networks that others trained")
    parser.add_argument("--sets", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--preset", choices=sorted(PRESETS), default="default")
    parser.add_argument("--crop-px", type=int, default=CROP_PX, help="side of a crop")
    parser.add_argument("--crops", type=int, default=CROPS, help="crops of a step")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--minutes", type=float, default=1e9)
    parser.add_argument("--scheduler", help="address of a Dask cluster")
    parser.add_argument(
        "--workers", type=int, default=0, help="pieces at once, on the cluster or in processes here"
    )
    parser.add_argument("--anew", action="store_true", help="do what docs/study holds again, too")
    options = parser.parse_args()
    if options.what == "page":
        make_page(options.out)
        return
    out = options.out.absolute()
    networks = []
    if options.published and options.what != "plan":
        networks = adopted(options.published, out / "published")
    place = Place(
        out,
        options.data.absolute(),
        options.simulated.absolute(),
        published=START if networks else "",
        preset=options.preset,
        device=options.device,
        crop_px=options.crop_px,
        crops=options.crops,
    )
    wanted = list(pieces(tuple(options.sets)))
    known = None if options.anew else read_tables(TABLES)
    done = frozenset() if known is None else done_in(known)
    if options.what == "plan":
        left = waiting(wanted, place, done)
        print(f"{len(wanted)} pieces, {len(left)} of them can be done and are not")
        return
    if options.what == "published":
        if not networks:
            print("no published networks: give their folder by --published")
        for said in measure(networks, place, known):
            print(said, flush=True)
        return
    if options.what == "finish":
        known_masks = frozenset() if known is None else finished_in(known)
        for said in finish_all(to_finish(tuple(options.sets)), place, known_masks):
            print(said, flush=True)
        return
    collect(wanted, place, options.minutes, options.scheduler, options.workers, done)


if __name__ == "__main__":
    main()
