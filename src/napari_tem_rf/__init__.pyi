# The public names and where they are: what reads types sees them, and the package loads them by it.
from .measuring.finishing import Finishing as Finishing
from .measuring.scores import (
    score_image as score_image,
    score_images as score_images,
)
from .micrographs.cleaning import Cleaning as Cleaning
from .micrographs.micrograph import Micrograph as Micrograph
from .micrographs.reading import (
    read_labels as read_labels,
    read_micrographs as read_micrographs,
)
from .micrographs.writing import write_labels as write_labels
from .networks.catalog import nearest_networks as nearest_networks
from .networks.receptive_field import receptive_field as receptive_field
from .networks.spec import NetworkSpec as NetworkSpec
from .protocol import TrainingPlan as TrainingPlan
from .runs import read_run as read_run
from .workflow import (
    adopt as adopt,
    effective_field as effective_field,
    predict as predict,
    predict_movie as predict_movie,
    share as share,
    train as train,
)
