"""How well found particles agree with the true ones: matched one to one, counted, sized.

A found and a true particle are the same where their intersection over union (IoU) is at least a
threshold; no particle is matched twice. From what is matched (TP), found and not matched (FP), and
missed (FN) follow

- F1 = 2 TP / (2 TP + FP + FN),
- AP = TP / (TP + FP + FN), the average precision of masks that come without confidences, as
  StarDist and Cellpose state it (Schmidt et al., MICCAI 2018, doi 10.1007/978-3-030-00934-2_30),
- panoptic quality = sum of the matched IoUs / (TP + FP / 2 + FN / 2), at a threshold of 0.5
  (Kirillov et al., CVPR 2019, doi 10.1109/CVPR.2019.00963).

Overlaps are counted once for all pixels and kept sparse: time goes with the number of pixels, not
with that of pairs of particles.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["ParticleScores", "score_particles"]

OBJECT_IOU, STRICT_IOU = 0.5, 0.75
"""Two particles are the same one if their intersection over union is at least this."""

_MOSTLY = 0.5


@dataclass(frozen=True, slots=True)
class ParticleScores:
    """How well the particles of one image agree.

    Attributes
    ----------
    object_f1, object_f1_75 : float, optional
        F1 of the particles at an IoU of 0.5 and 0.75, 0 to 1.
    ap_50, ap_75 : float, optional
        Average precision TP / (TP + FP + FN) at an IoU of 0.5 and 0.75, 0 to 1.
    panoptic_quality : float, optional
        F1 at an IoU of 0.5 times the mean IoU of what is matched, 0 to 1.
    count_error_percent : float, optional
        Particles found over true ones, less 1, in %: above 0 where there are too many.
    diameter_bias_percent : float, optional
        Mean diameter (of the circle of equal area) of the found particles over that of the true
        ones, less 1, in %: above 0 where they are too large.
    """

    object_f1: float | None = None
    object_f1_75: float | None = None
    ap_50: float | None = None
    ap_75: float | None = None
    panoptic_quality: float | None = None
    count_error_percent: float | None = None
    diameter_bias_percent: float | None = None


def score_particles(
    found: NDArray[np.integer[Any]],
    true: NDArray[np.integer[Any]],
    valid: NDArray[np.bool_] | None = None,
) -> tuple[ParticleScores, ParticleScores]:
    """Score found particles against the true ones of the same image.

    Parameters
    ----------
    found, true : ndarray of int, shape (row, column)
        0 = no particle, then 1, 2, ...
    valid : ndarray of bool, shape (row, column), optional
        The pixels that count, where not all do; particles have none outside of it.

    Returns
    -------
    all_particles : ParticleScores
        Without any particle on either side all agrees: 1; counts and sizes are None where there is
        no true particle.
    inner : ParticleScores
        Without those at the image's border, or at the edge of what counts. Left out are particles
        that touch it, and those that lie, by more than half, in one of the other side that does: a
        cut particle has neither its size nor a fair partner. All None where none is left.
    """
    both = _overlaps(found, true)
    inner = both.without(_touching(found, valid), _touching(true, valid))
    return _scores(both), _scores(inner) if inner.number else ParticleScores()


@dataclass(frozen=True, slots=True, eq=False)
class _Overlaps:
    """Sizes of all particles; the pairs that overlap: place in either list, pixels in common."""

    found_px: NDArray[np.int64]
    true_px: NDArray[np.int64]
    i: NDArray[np.intp]
    j: NDArray[np.intp]
    shared_px: NDArray[np.int64]

    @property
    def number(self) -> int:
        return len(self.found_px) + len(self.true_px)

    def without(self, found_cut: NDArray[np.bool_], true_cut: NDArray[np.bool_]) -> "_Overlaps":
        """Return the same without particles that are cut, or lie mostly in a cut one."""
        left_out = (
            found_cut | self._mostly_in(self.i, true_cut[self.j], self.found_px),
            true_cut | self._mostly_in(self.j, found_cut[self.i], self.true_px),
        )
        keep = ~left_out[0], ~left_out[1]
        pairs = keep[0][self.i] & keep[1][self.j]
        # the places of those that stay, in the shorter lists
        place = [np.cumsum(each) - 1 for each in keep]
        return _Overlaps(
            self.found_px[keep[0]],
            self.true_px[keep[1]],
            place[0][self.i[pairs]],
            place[1][self.j[pairs]],
            self.shared_px[pairs],
        )

    def _mostly_in(
        self, place: NDArray[np.intp], cut: NDArray[np.bool_], size: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        inside = np.bincount(place[cut], self.shared_px[cut], minlength=len(size))
        return inside > _MOSTLY * size

    def matched(self, iou: float) -> NDArray[np.float64]:
        """Return the IoU of each matched pair: as many pairs as can be, none matched twice."""
        from scipy import sparse

        union = self.found_px[self.i] + self.true_px[self.j] - self.shared_px
        same = self.shared_px >= iou * union
        i, j = self.i[same], self.j[same]
        # SciPy before 1.15 matches graphs of 32 bit alone
        graph = sparse.csr_array(
            (np.ones(len(i)), (i.astype(np.int32), j.astype(np.int32))),
            shape=(len(self.found_px), len(self.true_px)),
        )
        # above an IoU of 0.5 partners are unique, at exactly 0.5 one particle can have two
        partner = sparse.csgraph.maximum_bipartite_matching(graph, perm_type="column")
        return (self.shared_px / union)[same][partner[i] == j]


def _overlaps(found: NDArray[Any], true: NDArray[Any]) -> _Overlaps:
    from scipy import sparse

    found_px, true_px = (
        np.bincount(each.ravel(), minlength=1)[1:].astype(np.int64) for each in (found, true)
    )
    both = (found > 0) & (true > 0)
    i, j = found[both] - 1, true[both] - 1
    shared = sparse.coo_array(
        (np.ones(len(i), np.int32), (i, j)), shape=(len(found_px), len(true_px))
    ).tocsr()
    pairs = shared.tocoo()
    return _Overlaps(
        found_px,
        true_px,
        pairs.row.astype(np.intp),
        pairs.col.astype(np.intp),
        pairs.data.astype(np.int64),
    )


def _touching(particles: NDArray[Any], valid: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    """Return which particles touch the image's border, or a pixel that does not count."""
    from scipy import ndimage

    edge = [particles[0], particles[-1], particles[:, 0], particles[:, -1]]
    if valid is not None and not valid.all():
        edge.append(particles[ndimage.binary_dilation(~valid, np.ones((3, 3)))])
    there = np.zeros(int(particles.max(initial=0)) + 1, bool)
    there[np.concatenate(edge)] = True
    return there[1:]


def _scores(both: _Overlaps) -> ParticleScores:
    n_found, n_true = len(both.found_px), len(both.true_px)
    counted = n_found / n_true - 1 if n_true else None
    sized = None
    if n_found and n_true:
        # of the diameters only the square root of the area is left in the ratio
        sized = float(np.sqrt(both.found_px).mean() / np.sqrt(both.true_px).mean()) - 1
    if both.number == 0:
        return ParticleScores(1.0, 1.0, 1.0, 1.0, 1.0)
    loose, strict = both.matched(OBJECT_IOU), both.matched(STRICT_IOU)
    return ParticleScores(
        object_f1=2 * len(loose) / both.number,
        object_f1_75=2 * len(strict) / both.number,
        ap_50=len(loose) / (both.number - len(loose)),
        ap_75=len(strict) / (both.number - len(strict)),
        panoptic_quality=2 * float(loose.sum()) / both.number,
        count_error_percent=None if counted is None else 100 * counted,
        diameter_bias_percent=None if sized is None else 100 * sized,
    )
