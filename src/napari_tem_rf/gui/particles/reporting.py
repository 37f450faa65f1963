"""The report on the particles: gathered in a thread, drawn by a worker, written in a thread."""

from collections.abc import Callable
from pathlib import Path

from napari.layers import Labels
from qtpy.QtWidgets import QWidget

from napari_tem_rf.gui.layers.layers import frame_labels, frame_pixels, source_of
from napari_tem_rf.gui.particles import layers as particle_layers
from napari_tem_rf.gui.particles.particles import Particles
from napari_tem_rf.gui.session.background import run_in_thread
from napari_tem_rf.measuring.populations import PopulationSettings
from napari_tem_rf.particle_report import (
    ReportRequest,
    Source,
    command_for,
    example_of,
    rendered_in_worker,
    spread_places,
    write_particle_report,
)
from napari_tem_rf.provenance import known_hash

Answer = Callable[[bool, str], None]


class ReportWriter:
    """Writes reports on the particles of a dock, one at a time.

    Parameters
    ----------
    particles : Particles
    owner : QWidget
        The dock; once it is gone, nobody is answered.
    """

    def __init__(self, particles: Particles, owner: QWidget) -> None:
        self.particles = particles
        self.is_busy = False
        self._owner = owner

    def write(
        self, path: Path, settings: PopulationSettings, overwrite: bool, answer: Answer
    ) -> None:
        """Write a report; ``answer`` is told whether it went well, and a sentence."""
        layer = self.particles.layer
        if layer is None or self.is_busy:
            return
        self.is_busy = True
        gather = self._gathering(layer, path, settings)

        def over(well: bool, words: str) -> None:
            self.is_busy = False
            answer(well, words)

        def failed(trouble: str) -> None:
            over(False, trouble)

        def written(_nothing: object) -> None:
            over(True, f"Written: {path}")

        def drawn(page: bytes) -> None:
            run_in_thread(
                lambda _stopped, _say: write_particle_report(path, page, overwrite),
                written,
                failed,
                owner=self._owner,
            )

        def gathered(request: ReportRequest) -> None:
            self.particles.session.submit(
                rendered_in_worker,
                request,
                path.suffix,
                name=f"report on {layer.name}",
                on_done=drawn,
                on_failed=failed,
            )

        run_in_thread(lambda _stopped, _say: gather(), gathered, failed, owner=self._owner)

    def _gathering(
        self, layer: Labels, path: Path, settings: PopulationSettings
    ) -> Callable[[], ReportRequest]:
        """Return what gathers a request in a thread; the window's own state is read at once."""
        particles = self.particles
        mask, origin, frames = particles.mask, particles.origin, particles.surveyed()
        lattice = particles.lattice
        image = None if mask is None else particle_layers.image_under(particles.session, mask)
        shown = [place for place, frame in enumerate(frames) if len(frame.table)]
        shown = [shown[place] for place in spread_places(len(shown))] if shown else []
        mask_file = None if mask is None else source_of(mask)
        command, note = command_for(
            path,
            settings,
            origin.finding,
            mask=mask_file,
            run=origin.run,
            image=origin.source,
            by_hand=origin.by_hand,
            lattice=lattice,
        )

        def gather() -> ReportRequest:
            examples = []
            for place in shown:
                at = frames[place].frame
                title = origin.image if at is None else f"{origin.image}, frame {at}"
                pixels = None if image is None else frame_pixels(image, at or 0)
                size = frames[place].pixel_size_nm
                examples.append(example_of(title, pixels, frame_labels(layer, at or 0), size))
            source = origin.source
            return ReportRequest(
                title=f"Particles of {origin.image}",
                frames=frames,
                examples=tuple(examples),
                sources=(
                    Source(
                        image=origin.image,
                        mask=origin.mask if mask_file is None else str(mask_file),
                        mask_sha256=None if mask_file is None else known_hash(mask_file),
                        source=None if source is None else str(source),
                        source_sha256=None if source is None else known_hash(source),
                        run=None if origin.run is None else str(origin.run),
                        pixel_size_nm=origin.pixel_size_nm,
                        by_hand=origin.by_hand,
                    ),
                ),
                finding=origin.finding,
                settings=settings,
                command=command,
                command_note=note,
            )

        return gather
