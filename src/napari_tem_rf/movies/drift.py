"""Drift of the stage through a series: how far each frame lies from the first.

Frames are compared by phase correlation not only with their neighbour but also with frames further
back. A chain of neighbours alone adds up its errors (a random walk); the network of comparisons is
solved by least squares, with comparisons that contradict the others weighed down, so that particles
that move by themselves or a frame out of focus do not pull the path along.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.describing import check_settings, told
from napari_tem_rf.movies.shifts import shift_between

__all__ = ["Drift", "DriftSettings", "measure_drift"]

Frames = Callable[[int], NDArray[Any]]
"""Gives the pixels of a frame, shape (row, column)."""

_LARGEST_SIDE = 1024
"""Larger frames are binned for the comparison, px."""

_SAMPLED_SIDE = 200
"""From so many rows and columns at least the spread of the grey levels is estimated."""

_CLIP = 3.0
"""Grey levels beyond this many standard deviations count as that many: strong particles that move
by themselves would outweigh the film, which does not."""


@dataclass(frozen=True, slots=True)
class DriftSettings:
    """How drift is measured.

    Attributes
    ----------
    reach : int
        Each frame is compared with those 1, 2, 4, ... frames before it, up to this many.
    smoothing_px : float
        Standard deviation of the Gaussian filter against noise, in px.
    steps : int
        Steps of a pixel that the comparison resolves.
    """

    reach: int = told(
        16,
        "compare with up to",
        "Each frame is compared with those 1, 2, 4, ... frames before it, up to this many; more "
        "hold the path together where noise is strong",
        unit="frames",
        least=1,
        most=64,
        option="--reach",
    )
    smoothing_px: float = told(
        1.0,
        "smooth by",
        "Standard deviation of the Gaussian filter against noise before frames are compared",
        unit="px",
        least=0.0,
        most=20.0,
        option="--smoothing",
    )
    steps: int = told(
        20,
        "steps of a pixel",
        "How finely a comparison resolves a pixel: 20 is 0.05 px",
        least=1,
        most=200,
        option="--steps",
    )

    def __post_init__(self) -> None:
        check_settings(self)

    @property
    def lags(self) -> tuple[int, ...]:
        """How many frames back the comparisons go."""
        return tuple(2**power for power in range(self.reach.bit_length()))


@dataclass(frozen=True, slots=True, eq=False)
class Drift:
    """The path of a series.

    Attributes
    ----------
    offsets_px : ndarray, shape (frame, 2)
        How far what is seen has moved since the first frame that counts, (row, column) in px.
        Frames that were left out have the path between their neighbours.
    left_out : dict of int to str
        Frames that could not be compared, and why.
    spread_px : float, optional
        Root mean square of what the comparisons contradict each other by, in px; None where there
        are not more of them than the path needs.
    pixel_size_nm : tuple of float, optional
        (row, column) size of a pixel.
    """

    offsets_px: NDArray[np.float64]
    left_out: dict[int, str] = field(default_factory=dict)
    spread_px: float | None = None
    pixel_size_nm: tuple[float, float] | None = None

    @property
    def frames(self) -> int:
        """Number of frames."""
        return len(self.offsets_px)

    @property
    def offsets_nm(self) -> NDArray[np.float64] | None:
        """The path in nm; None without a pixel size."""
        if self.pixel_size_nm is None:
            return None
        return self.offsets_px * np.asarray(self.pixel_size_nm)

    @property
    def sentence(self) -> str:
        """The path in words."""
        if self.frames < 2:
            return "Fewer than two frames: there is no drift to measure."
        scaled, unit = (
            (self.offsets_px, "px") if self.offsets_nm is None else (self.offsets_nm, "nm")
        )
        length = np.hypot(*np.diff(scaled, axis=0).T).sum()
        far = np.hypot(*(scaled - scaled[0]).T).max()
        words = (
            f"{self.frames} frames drift by up to {far:.3g} {unit} from the first, {length:.3g} "
            f"{unit} of way in all."
        )
        if self.spread_px is not None:
            words += f" Comparisons agree within {self.spread_px:.2g} px."
        if self.left_out:
            listed = ", ".join(str(frame) for frame in list(self.left_out)[:5])
            more = f" and {len(self.left_out) - 5} more" if len(self.left_out) > 5 else ""
            words += f" Left out: frame {listed}{more} ({next(iter(self.left_out.values()))})."
        return words

    def common_box(self, shape: tuple[int, int]) -> tuple[slice, slice]:
        """Return the part of the first frame that all frames show once they are moved back.

        Raises
        ------
        ValueError
            If no part is seen in all frames.
        """
        low = np.ceil(np.maximum(-self.offsets_px, 0).max(axis=0)).astype(int)
        high = np.asarray(shape) - np.ceil(np.maximum(self.offsets_px, 0).max(axis=0)).astype(int)
        if (high - low < 1).any():
            raise ValueError(
                f"the series drifts by {np.ptp(self.offsets_px, axis=0).max():.0f} px, and no part "
                f"of its {shape[0]} x {shape[1]} px is seen in all frames: cut it in time first"
            )
        return slice(low[0], high[0]), slice(low[1], high[1])


def measure_drift(
    frames: Frames,
    count: int,
    settings: DriftSettings | None = None,
    pixel_size_nm: tuple[float, float] | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> Generator[float, None, Drift]:
    """Measure the drift of a series; yields the fraction done.

    When stopped it returns the path of the frames until then.

    Frames are asked for once each and in order; as many are kept as the settings reach back.

    Parameters
    ----------
    frames : callable
        Gives the pixels of a frame; all of one shape (row, column).
    count : int
        Number of frames.
    settings : DriftSettings, optional
    pixel_size_nm : tuple of float, optional
        (row, column) size of a pixel.
    stopped : callable
        Asked between frames.
    """
    settings = settings or DriftSettings()
    kept: dict[int, NDArray[Any]] = {}
    left_out: dict[int, str] = {}
    comparisons: list[tuple[int, int, float, float]] = []
    prepare = _Preparing(settings.smoothing_px)
    good: list[int] = []
    done = 0
    for frame in range(count):
        if stopped():
            break
        try:
            kept[frame] = prepare(frames(frame))
        except ValueError as trouble:
            left_out[frame] = str(trouble)
        else:
            # counted in frames that could be compared, so that a gap breaks no chain
            for earlier in [good[-lag] for lag in settings.lags if lag <= len(good)]:
                moved = shift_between(kept[earlier], kept[frame], prepare.shape, settings.steps)
                comparisons.append((earlier, frame, *moved))
            good.append(frame)
        if len(good) > settings.lags[-1]:
            kept.pop(good[-settings.lags[-1] - 1], None)
        done = frame + 1
        yield done / count
    path, spread = _solve(good, comparisons)
    offsets = np.zeros((done, 2))
    if good:
        for axis in range(2):
            offsets[:, axis] = np.interp(np.arange(done), good, path[:, axis])
    if spread is not None:
        spread *= prepare.binning
    return Drift(offsets * prepare.binning, left_out, spread, pixel_size_nm)


class _Preparing:
    """Makes frames ready to be compared: binned, flat, clipped, faded out, transformed."""

    def __init__(self, smoothing_px: float) -> None:
        self.smoothing_px = smoothing_px
        self.binning = 1
        self.shape = (0, 0)
        """Of what is compared, once there was a frame."""
        self._whole: tuple[int, ...] = ()
        self._window: NDArray[np.float32] = np.zeros((0, 0), np.float32)

    def __call__(self, pixels: NDArray[Any]) -> NDArray[np.complex64]:
        """Return the Fourier transform of a frame, the half that says all of it.

        Raises
        ------
        ValueError
            With a few words on why the frame can't be compared.
        """
        from scipy import fft, ndimage
        from scipy.signal.windows import tukey

        values = np.asarray(pixels, np.float32)
        if not self._whole:
            self._whole = values.shape
            self.binning = -(-max(values.shape) // _LARGEST_SIDE)
            self.shape = (values.shape[0] // self.binning, values.shape[1] // self.binning)
            row, column = (tukey(side, 0.5).astype(np.float32) for side in self.shape)
            self._window = row[:, None] * column
        if values.shape != self._whole:
            raise ValueError(f"it is {values.shape} and the first is {self._whole} (row, column)")
        if not np.isfinite(values).all():
            raise ValueError("it has pixels without a value")
        step = self.binning
        if step > 1:
            rows, columns = (side // step * step for side in values.shape)
            blocks = values[:rows, :columns].reshape(rows // step, step, columns // step, step)
            values = blocks.mean(axis=(1, 3))
        # what is wider than a sixteenth of the frame is illumination
        flat = values - ndimage.uniform_filter(values, max(min(values.shape) // 8, 3))
        if self.smoothing_px:
            flat = ndimage.gaussian_filter(flat, self.smoothing_px / step)
        # every few pixels are enough for a median
        some = flat[tuple(slice(None, None, max(side // _SAMPLED_SIDE, 1)) for side in self.shape)]
        scale = 1.4826 * float(np.median(np.abs(some - np.median(some))))
        whole = float(flat.std())
        if scale < 0.05 * whole:  # a mask: most of it is of one value
            scale = whole
        if scale <= 1e-6 * max(1.0, float(np.abs(values).max())):
            raise ValueError("it is black or of one grey level")
        clipped = np.clip(flat / scale, -_CLIP, _CLIP)
        spectrum: NDArray[np.complex64] = fft.rfft2((clipped - clipped.mean()) * self._window)
        return spectrum


def _solve(
    good: list[int], comparisons: list[tuple[int, int, float, float]]
) -> tuple[NDArray[np.float64], float | None]:
    """Return the path of the frames that can be compared, from 0, and how far comparisons agree.

    Iteratively reweighted least squares; Tukey's biweight with c = 4.685.
    """
    from scipy import sparse
    from scipy.sparse.linalg import spsolve

    if len(good) < 2:
        return np.zeros((len(good), 2)), None
    place = {frame: number for number, frame in enumerate(good)}
    first = np.array([place[earlier] for earlier, *_ in comparisons])
    second = np.array([place[later] for _, later, *_ in comparisons])
    moved = np.array([(rows, columns) for *_, rows, columns in comparisons])
    number, lines = len(good), np.arange(len(comparisons))
    difference = sparse.csr_matrix(
        (
            np.repeat([1.0, -1.0], len(lines)),
            (np.tile(lines, 2), np.concatenate([second, first])),
        ),
        shape=(len(lines), number),
    )[:, 1:]  # the first frame is at 0
    # Least absolute deviations first, which have one minimum wherever they begin, then Tukey's
    # biweight, which leaves wild comparisons out; a frame that agrees with none keeps its place.
    weights = np.ones(len(lines))
    path = np.zeros((number, 2))
    for step in range(40):
        weighted = difference.T @ sparse.diags(weights)
        solved = spsolve((weighted @ difference).tocsc(), weighted @ moved).reshape(-1, 2)
        change = np.abs(solved - path[1:]).max()
        path[1:] = solved
        if step > 20 and change < 1e-4:
            break
        apart = np.hypot(*(difference @ solved - moved).T)
        if step < 20:
            weights = 1 / np.maximum(apart, 0.02)
        else:
            scale = max(1.4826 * float(np.median(apart)), 0.05)
            ratio = np.minimum(apart / (4.685 * scale), 1.0)
            weights = np.maximum((1 - ratio**2) ** 2, 1e-6)
    if len(comparisons) < number:
        return path, None
    apart = np.hypot(*(difference @ path[1:] - moved).T)
    return path, float(np.sqrt(np.average(apart**2, weights=weights)))
