"""Reads conda's recipe as rattler-build does, and prints what it asks for.

Nothing is fetched: whether the channel has those versions shows where the recipe is built.
"""

import sys
from pathlib import Path

from rattler_build import RattlerBuildError, Stage0Recipe, VariantConfig

RECIPE = Path(__file__).with_name("recipe.yaml")


def main() -> None:
    """Render the recipe."""
    try:
        rendered = Stage0Recipe.from_file(RECIPE).render(VariantConfig())
    except RattlerBuildError as error:
        sys.exit(f"{RECIPE.name}: {error}")
    if len(rendered) != 1:
        sys.exit(f"{RECIPE.name} makes {len(rendered)} packages: one is wanted for all systems")
    recipe = rendered[0].recipe
    asked = recipe.to_dict()["requirements"]
    print(f"{recipe.package.name} {recipe.package.version}, {recipe.build.noarch}")
    for part in ("host", "run"):
        print(f"    {part}: {', '.join(str(each) for each in asked[part])}")


if __name__ == "__main__":
    main()
