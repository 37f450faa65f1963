# The public names and where they are: what reads types sees them, and the package loads them by it.
from .adopting import (
    AdoptRequest as AdoptRequest,
    UntoldError as UntoldError,
    WeightsFound as WeightsFound,
    adopt_weights as adopt_weights,
    look_into_weights as look_into_weights,
)
from .fields import (
    map_effective_field as map_effective_field,
    measure_effective_field as measure_effective_field,
    measure_mean_effective_field as measure_mean_effective_field,
)
from .finishing import (
    finish_again as finish_again,
    suggest_from as suggest_from,
    suggest_from_run as suggest_from_run,
)
from .fitting import (
    FitRequest as FitRequest,
    NoLatticeError as NoLatticeError,
    fit_instead as fit_instead,
    fit_run as fit_run,
)
from .learning_on import (
    Judgement as Judgement,
    judge_live as judge_live,
    learn_on as learn_on,
)
from .live import (
    LiveAnswer as LiveAnswer,
    LiveRequest as LiveRequest,
    LiveStrokes as LiveStrokes,
    keep_live_image as keep_live_image,
    predict_live as predict_live,
)
from .predicting import (
    FrameSaid as FrameSaid,
    PredictionResult as PredictionResult,
    label_values as label_values,
    look_at_frame as look_at_frame,
    predict_steadily as predict_steadily,
    predict_with_run as predict_with_run,
    time_network as time_network,
)
from .request import (
    TrainRequest as TrainRequest,
    Watched as Watched,
    prepare as prepare,
)
from .sharing import (
    SHARED_AS as SHARED_AS,
    SharedAs as SharedAs,
    ShareRequest as ShareRequest,
    share_run as share_run,
)
from .training import (
    asdict_split as asdict_split,
    train_run as train_run,
)
