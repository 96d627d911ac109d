"""Weights that others have published, by the network of kfdet that can start from them.

Without TensorFlow, so that a command can tell at once what there is for a network.

Sources: the URLs and the MD5 digest are those of tf_keras.applications (a test compares them);
the archives are those of Model Garden's official/vision/MODEL_GARDEN.md, which gives no digests.
"""

from __future__ import annotations

from dataclasses import dataclass

from kfdet.errors import InputError
from kfdet.training.fitting import AnchorShapes

_KERAS = "https://storage.googleapis.com/tensorflow/keras-applications"
_GARDEN = "https://storage.googleapis.com/tf_model_garden/vision"


@dataclass(frozen=True)
class Published:
    """One file of published weights.

    Args:
        url: Where it was published.
        digest: SHA-256 or MD5 of the file in hexadecimal; "" where its publisher gives none.
        anchors: Anchors of a detector.
    """

    url: str
    digest: str = ""
    anchors: AnchorShapes | None = None

    @property
    def file(self) -> str:
        """Name of the file in a cache or a mirror."""
        return self.url.rpartition("/")[2]


_RESNET50 = Published(f"{_GARDEN}/resnet/resnet-50-i224.tar.gz")
_COCO_RATIOS = (0.5, 1.0, 2.0)

PUBLISHED: dict[str, dict[str, Published]] = {
    "imagenet": {
        "ssd_mobilenet_v2_fpnlite": Published(
            f"{_KERAS}/mobilenet_v2/"
            "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"
        ),
        "ssd_mobilenet_v3_small_fpnlite": Published(
            f"{_KERAS}/mobilenet_v3/weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5",
            "d3e8ec802a04aa4fc771ee12a9a9b836",
        ),
        "ssd_resnet50_fpn": _RESNET50,
        "faster_rcnn_resnet50": _RESNET50,
        "faster_rcnn_resnet101": Published(f"{_GARDEN}/resnet/resnet-101-i224.tar.gz"),
    },
    "coco": {
        "ssd_resnet50_fpn": Published(
            f"{_GARDEN}/retinanet/retinanet-resnet50fpn.tar.gz",
            anchors=AnchorShapes(3, _COCO_RATIOS, 4.0),
        ),
        "spinenet49_mobile": Published(
            f"{_GARDEN}/retinanet/spinenet49mobile.tar.gz",
            anchors=AnchorShapes(3, _COCO_RATIOS, 3.0),
        ),
    },
}
"""By what the weights were trained on: a backbone on ImageNet, or a whole detector on COCO."""


def published(collection: str, network: str) -> Published:
    """The weights of a collection, one of PUBLISHED, for a network.

    Raises:
        InputError: There are none; the message names what there is.
    """
    networks = PUBLISHED[collection]
    if network not in networks:
        others = [name for name, members in PUBLISHED.items() if network in members]
        alternative = f" {network} can start from {' or '.join(others)}." if others else ""
        raise InputError(
            f"there are no published {collection} weights for {network}.",
            hint=f"They exist for {', '.join(networks)}.{alternative}",
        )
    return networks[network]


_COCO_NAMES = """\
person bicycle car motorcycle airplane bus train truck boat traffic_light fire_hydrant - stop_sign
parking_meter bench bird cat dog horse sheep cow elephant bear zebra giraffe - backpack umbrella - -
handbag tie suitcase frisbee skis snowboard sports_ball kite baseball_bat baseball_glove skateboard
surfboard tennis_racket bottle - wine_glass cup fork knife spoon bowl banana apple sandwich orange
broccoli carrot hot_dog pizza donut cake chair couch potted_plant bed - dining_table - - toilet -
tv laptop mouse remote keyboard cell_phone microwave oven toaster sink refrigerator - book clock
vase scissors teddy_bear hair_drier toothbrush"""

COCO_LABELS = {
    number: name.replace("_", " ")
    for number, name in enumerate(_COCO_NAMES.split(), start=1)
    if name != "-"
}
"""COCO's label names by its category ids, which leave gaps; Model Garden's models use these ids."""
