"""Looks into the wheel and the source archive: what must be inside, what must not, how large."""

import sys
import tarfile
import zipfile
from collections import Counter
from pathlib import Path, PurePosixPath

LARGEST_WHEEL_MB = 12
SAMPLES = ("high_resolution", "low_magnification")
MUST = (
    "napari_tem_rf/__init__.py",
    "napari_tem_rf/icon.svg",
    "napari_tem_rf/napari.yaml",
    "napari_tem_rf/py.typed",
    "napari_tem_rf/sample_data/README.md",
)
MUST_NOT = ("tests/", "benchmarks/", "docs/", ".ci/", "packaging/")
SOURCES_MUST = ("CHANGELOG.md", "CITATION.cff", "LICENSE", "README.md", "pyproject.toml")


def check_wheel(path: Path) -> list[str]:
    """Print what a wheel holds; return what is wrong with it."""
    with zipfile.ZipFile(path) as archive:
        sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
        names = set(sizes)
        points = next(name for name in names if name.endswith("entry_points.txt"))
        declared = archive.read(points).decode()
    wrong = [f"{name} is missing" for name in MUST if name not in names]
    wrong += [f"{name} is too much" for name in names if name.startswith(MUST_NOT)]
    for sample in SAMPLES:
        for part in ("images", "labels", "strokes"):
            folder = f"napari_tem_rf/sample_data/{sample}/{part}/"
            if not any(name.startswith(folder) and name.endswith(".tif") for name in names):
                wrong.append(f"{folder} holds no image")
    if not any(name.startswith("napari_tem_rf/starts/") for name in names):
        wrong.append("the starting weights are missing")
    for wanted in ("[napari.manifest]", "napari-tem-rf = napari_tem_rf.cli:main"):
        if wanted not in declared:
            wrong.append(f"entry points lack {wanted}")
    megabytes = path.stat().st_size / 1e6
    if megabytes > LARGEST_WHEEL_MB:
        wrong.append(f"it has {megabytes:.1f} MB, at most {LARGEST_WHEEL_MB} are wanted")
    print(f"{path.name}: {megabytes:.1f} MB, {len(names)} files")
    parts: Counter[str] = Counter()
    for name, size in sizes.items():
        parts["/".join(PurePosixPath(name).parts[:2])] += size
    for part, size in parts.most_common(12):
        print(f"    {size / 1e6:6.2f} MB  {part}")
    return wrong


def check_sources(path: Path) -> list[str]:
    """Print the size of a source archive; return what is wrong with it."""
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    print(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB, {len(names)} files")
    wrong = [f"{name} is missing" for name in SOURCES_MUST if name not in names]
    if not any(name.startswith("tests/") for name in names):
        wrong.append("the tests are missing")
    return wrong


def main() -> None:
    """Check all that lies in a folder."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "dist")
    wheels, sources = sorted(folder.glob("*.whl")), sorted(folder.glob("*.tar.gz"))
    if len(wheels) != 1 or len(sources) != 1:
        sys.exit(
            f"{folder} holds {len(wheels)} wheels and {len(sources)} source archives: one each"
        )
    wrong = [f"{wheels[0].name}: {each}" for each in check_wheel(wheels[0])]
    wrong += [f"{sources[0].name}: {each}" for each in check_sources(sources[0])]
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
