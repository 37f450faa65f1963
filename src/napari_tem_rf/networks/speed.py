"""What a prediction costs on a machine."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Speed:
    """Time and memory of a network's prediction, as measured on one machine.

    Attributes
    ----------
    seconds_per_megapixel : float
        Time for an image of 1000 x 1000 px, the context that tiles read twice included.
    tile_mib : float
        Memory of one tile's feature maps in MiB; it does not grow with the image.
    device : str
        Where it was measured: "cpu", "cuda" or "mps".
    """

    seconds_per_megapixel: float
    tile_mib: float
    device: str

    @property
    def sentence(self) -> str:
        """Time and memory in words: "0.52 s per megapixel and 89 MiB on this machine's CPU"."""
        where = {"cpu": "CPU", "cuda": "GPU", "mps": "GPU"}.get(self.device, self.device)
        time = f"{self.seconds_per_megapixel:.2g}"
        if self.seconds_per_megapixel >= 10:
            time = f"{self.seconds_per_megapixel:.0f}"
        memory = (
            f"{self.tile_mib:.0f} MiB"
            if self.tile_mib < 1000
            else f"{self.tile_mib / 1024:.1f} GiB"
        )
        return f"{time} s per megapixel and {memory} on this machine's {where}"
