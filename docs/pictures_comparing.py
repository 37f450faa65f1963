"""Makes the pictures of comparing.md by driving the real program.

    python docs/pictures_comparing.py [--seconds 60] [--parameters 8000,32000] [--out docs/pictures]

Compares networks on the strokes of the high-resolution sample with the window's own buttons, looks
at them side by side and saves the whole window at each step. Needs a screen (`xvfb-run` will do).
"""

import argparse
from pathlib import Path

# sets the places of settings and runs before napari is imported
from driving import HOME, Window, let_settle, process_until
from pictures_window import NEW_IMAGE
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

DOCK_PX = 400


class CompareWindow(Window):
    """The program's window with the compare dock."""

    def __init__(self, out: Path, runs: Path) -> None:
        super().__init__(out, runs)
        self.dock.hide()
        self.dock, self.compare = self.viewer.window.add_plugin_dock_widget(
            "napari-tem-rf", "Compare"
        )
        self.viewer.window._qt_window.resizeDocks([self.dock], [DOCK_PX], Qt.Orientation.Horizontal)
        let_settle()

    def show(self, top: int) -> None:
        """Scroll the dock so that this line of it is the first."""
        let_settle(0.5)
        self.compare.verticalScrollBar().setValue(top)

    def top_of(self, widget) -> int:
        """Return where a part of the dock begins."""
        return widget.mapTo(self.compare.widget(), widget.rect().topLeft()).y() - 4


def picture_plan(window: CompareWindow, parameters: str, seconds: int) -> None:
    """Save the plan: rings in the chart, what is held out, how long it takes."""
    plan = window.compare.plan
    window.viewer.open_sample("napari-tem-rf", "gold_high_resolution")
    window.look_at("gold_hr_01")
    plan.fields.setText("5, 44, 120")
    plan.parameters.setText(parameters)
    plan.fields.editingFinished.emit()
    plan.seeds.setValue(2)
    plan.unit.setCurrentText("s")
    plan.length.setValue(seconds)
    process_until(window.compare.run.button.isEnabled)
    process_until(lambda: bool(plan.split.text()))
    window.save("compare_plan")


def run(window: CompareWindow) -> None:
    """Compare as the button does."""
    widget = window.compare
    QTest.mouseClick(widget.run.button, Qt.MouseButton.LeftButton)
    process_until(lambda: not widget.comparing.is_running, 3600)
    if widget.comparing.trouble or widget.comparing.comparison.failed:
        raise RuntimeError(widget.comparing.trouble or widget.comparing.comparison.failed)
    process_until(lambda: widget.comparing.report is not None)


def picture_result(window: CompareWindow) -> None:
    """Save findings, table and curve."""
    widget = window.compare
    dice = widget.table.rows.columns.index("dice")
    widget.table.sortByColumn(dice, Qt.SortOrder.DescendingOrder)
    window.show(window.top_of(widget.result_fold))
    window.save("compare_table")


def picture_side_by_side(window: CompareWindow) -> None:
    """Save an image that nothing was trained on, with the narrowest and the suggested network."""
    widget = window.compare
    window.look_at(NEW_IMAGE)
    results = [each for each in widget.comparing.comparison.results if not each.is_baseline]
    first = results[0].contestant.name
    suggested = widget.comparing.comparison.findings.suggestion
    others = [each.contestant.name for each in results if each.contestant.name != first]
    chosen = list(dict.fromkeys([first, suggested or others[0], others[-1]]))
    widget.table.tick(chosen)
    process_until(lambda: widget.view.view.is_shown and not widget.view.predictions.is_busy)
    window.show(window.top_of(widget.table))
    window.save("compare_side_by_side")
    widget.view.toggle()


def main() -> None:
    """Make all pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="of each training")
    parser.add_argument("--parameters", default="8000, 32000", help="complexities")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "pictures")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    window = CompareWindow(options.out, Path(HOME.name, "runs"))
    try:
        picture_plan(window, options.parameters, options.seconds)
        run(window)
        picture_result(window)
        picture_side_by_side(window)
    finally:
        window.session.close()
        window.viewer.close()
        HOME.cleanup()


if __name__ == "__main__":
    main()
