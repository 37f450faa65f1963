"""The table of tracks: a row a particle through time."""

from napari_tem_rf.gui.particles.table import ParticleTable
from napari_tem_rf.movies import Tracks, track_table

__all__ = ["TrackTable"]

_TITLES = {
    "track": ("Track", "The number of the track"),
    "first_frame": ("First\nframe", "The first frame in which it is seen, from 0"),
    "last_frame": ("Last\nframe", "The last frame in which it is seen"),
    "begins": ("Begins", "How it begins: in the first frame, over the border, by a merger ..."),
    "ends": ("Ends", "How it ends: in the last frame, over the border, merged, vanished ..."),
    "mean_diameter": ("Mean\ndiameter", "Mean of its equivalent diameters"),
    "growth_nm_per_s": ("Growth\n(nm/s)", "Slope of a line through its diameters"),
    "growth_px_per_s": ("Growth\n(px/s)", "Slope of a line through its diameters"),
    "growth_nm_per_frame": ("Growth\n(nm/fr.)", "Slope of a line through its diameters"),
    "growth_px_per_frame": ("Growth\n(px/fr.)", "Slope of a line through its diameters"),
    "displacement": ("Moved", "From its first place to its last, the drift taken off"),
    "speed_nm_per_s": ("Speed\n(nm/s)", "Length of its way over the time"),
    "speed_px_per_s": ("Speed\n(px/s)", "Length of its way over the time"),
    "speed_nm_per_frame": ("Speed\n(nm/fr.)", "Length of its way over the frames"),
    "speed_px_per_frame": ("Speed\n(px/fr.)", "Length of its way over the frames"),
    "parents": ("Merged\nfrom", "The tracks that merged into it"),
    "split_from": ("Split\nfrom", "The track that it came off"),
    "frames": ("Seen\nin", "In how many frames it is seen"),
}


class TrackTable(ParticleTable):
    """Shows tracks; emits ``chosen`` with those that the user selects."""

    def __init__(self) -> None:
        super().__init__(_TITLES)
        self._of: Tracks | None = None

    def show_tracks(self, tracks: Tracks | None) -> None:
        """Show other tracks; those that are still there stay selected."""
        if tracks is self._of:
            return
        self._of = tracks
        if tracks is None:
            return
        table = track_table(tracks)
        order = [name for name in _order(tracks) if name in table]
        self.show_table(table[order])


def _order(tracks: Tracks) -> list[str]:
    unit, per = tracks.unit, "frame" if tracks.time_step_s is None else "s"
    return [
        *("track", "first_frame", "last_frame", "begins", "ends"),
        *(f"mean_diameter_{unit}", f"displacement_{unit}"),
        *(f"growth_{unit}_per_{per}", f"speed_{unit}_per_{per}"),
        *("parents", "split_from", "frames"),
    ]
