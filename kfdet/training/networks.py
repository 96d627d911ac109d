"""Networks under the names users know, as Model Garden experiments fitted to a dataset."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from official.core import config_definitions as cfg
from official.modeling import optimization
from official.vision.configs import backbones, common, decoders, maskrcnn, retinanet

from kfdet.errors import InputError
from kfdet.parameters import Freeze
from kfdet.training.anchors import AnchorGrid

# Trained for minutes instead of days, batch statistics must follow within tens of steps.
_NORM_MOMENTUM = 0.9
_MAX_DETECTIONS = 100
# Of people who overlap on data/pets, .5 takes some for one: AP .431 against .441, AP50 the same.
_NMS_IOU = 0.6


@dataclass(frozen=True)
class Network:
    """One entry of the list of networks.

    Args:
        backbone: Makes Model Garden's backbone configuration for pyramid levels min..max.
        activation: Activation function of the whole network.
        filters: Width of the feature pyramid and the heads.
        separable: Depthwise separable convolutions in pyramid and heads.
        two_stage: Faster R-CNN instead of RetinaNet.
        identity_decoder: The backbone is a feature pyramid already.
        head_convs: Convolutions before the outputs of a RetinaNet's head.
        levels: First and last pyramid level.
        max_pixels_cpu: Largest input area that a CPU trains in reasonable time.
        max_pixels_gpu: Largest input area on a GPU.
        learning_rate: Peak learning rate at batch 8.
        batch_size_cpu: Images per step on a CPU.
        batch_size_gpu: Images per step on each GPU.
    """

    backbone: Callable[[int, int], backbones.Backbone]
    activation: str
    filters: int
    separable: bool
    two_stage: bool = False
    identity_decoder: bool = False
    head_convs: int = 2
    levels: tuple[int, int] = (3, 5)
    max_pixels_cpu: int = 288 * 384
    max_pixels_gpu: int = 640 * 640
    learning_rate: float = 3e-3
    batch_size_cpu: int = 8
    batch_size_gpu: int = 32


def _mobilenet(model_id: str) -> Callable[[int, int], backbones.Backbone]:
    return lambda low, high: backbones.Backbone(
        type="mobilenet", mobilenet=backbones.MobileNet(model_id=model_id)
    )


def _resnet(depth: int) -> Callable[[int, int], backbones.Backbone]:
    return lambda low, high: backbones.Backbone(
        type="resnet", resnet=backbones.ResNet(model_id=depth)
    )


def _spinenet_mobile(low: int, high: int) -> backbones.Backbone:
    return backbones.Backbone(
        type="spinenet_mobile",
        spinenet_mobile=backbones.SpineNetMobile(
            model_id="49", min_level=low, max_level=high, stochastic_depth_drop_rate=0.0
        ),
    )


NETWORKS: dict[str, Network] = {
    "ssd_mobilenet_v2_fpnlite": Network(_mobilenet("MobileNetV2"), "relu6", 64, True),
    "ssd_mobilenet_v3_small_fpnlite": Network(
        _mobilenet("MobileNetV3Small"), "hard_swish", 48, True, learning_rate=8e-3
    ),
    "ssd_resnet50_fpn": Network(
        _resnet(50),
        "relu",
        256,
        False,
        head_convs=4,
        levels=(3, 7),
        learning_rate=1e-3,
        batch_size_gpu=16,
    ),
    "spinenet49_mobile": Network(
        *(_spinenet_mobile, "swish", 48, True),
        identity_decoder=True,
        head_convs=4,
        levels=(3, 7),
    ),
    "faster_rcnn_resnet50": Network(
        _resnet(50),
        "relu",
        256,
        False,
        two_stage=True,
        levels=(2, 6),
        learning_rate=1e-3,
        batch_size_cpu=2,
        batch_size_gpu=8,
    ),
    "faster_rcnn_resnet101": Network(
        _resnet(101),
        "relu",
        256,
        False,
        two_stage=True,
        levels=(2, 6),
        learning_rate=1e-3,
        batch_size_cpu=2,
        batch_size_gpu=8,
    ),
}


def network(name: str) -> Network:
    """The network of that name.

    Raises:
        InputError: There is none; the message lists all names.
    """
    if name not in NETWORKS:
        raise InputError(
            f'unknown network "{name}".', hint=f"Choose one of: {', '.join(NETWORKS)}."
        )
    return NETWORKS[name]


def frozen_parts(entry: Network, freeze: Freeze) -> tuple[str, ...]:
    """Names of the parts of a network that `TrainingSettings.freeze` keeps as they are."""
    parts = {"none": (), "backbone": ("backbone",), "decoder": ("backbone", "decoder")}[freeze]
    return tuple(part for part in parts if part == "backbone" or not entry.identity_decoder)


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train.

    Args:
        steps: Training steps.
        batch_size: Images per step, over all devices.
        learning_rate: Peak learning rate.
        interval: Steps between validations, and between checkpoints.
    """

    steps: int
    batch_size: int
    learning_rate: float
    interval: int


def experiment(
    entry: Network, grid: AnchorGrid, class_count: int, schedule: Schedule, mixed_precision: bool
) -> cfg.ExperimentConfig:
    """Model Garden's experiment configuration for one network on one dataset.

    Args:
        entry: The network.
        grid: Anchors and input size.
        class_count: Classes without the background.
        schedule: Steps, batch and learning rate.
        mixed_precision: float16 with loss scaling, for GPUs.
    """
    model = _faster_rcnn(entry, grid) if entry.two_stage else _retinanet(entry, grid)
    model.num_classes = class_count + 1
    model.input_size = [grid.height, grid.width, 3]
    model.min_level, model.max_level = grid.min_level, grid.max_level
    model.anchor.num_scales = grid.num_scales
    model.anchor.aspect_ratios = list(grid.aspect_ratios)
    model.anchor.anchor_size = grid.anchor_size
    model.norm_activation = common.NormActivation(
        activation=entry.activation,
        norm_momentum=_NORM_MOMENTUM,
        norm_epsilon=1e-3,
        use_sync_bn=False,
    )
    model.backbone = entry.backbone(grid.min_level, grid.max_level)
    model.decoder = (
        decoders.Decoder(type="identity", identity=decoders.Identity())
        if entry.identity_decoder
        else decoders.Decoder(
            type="fpn",
            fpn=decoders.FPN(num_filters=entry.filters, use_separable_conv=entry.separable),
        )
    )
    task = (
        maskrcnn.MaskRCNNTask(model=model)
        if entry.two_stage
        else retinanet.RetinaNetTask(model=model, losses=retinanet.Losses(l2_weight_decay=1e-5))
    )
    task.init_checkpoint = None
    task.train_data.global_batch_size = schedule.batch_size
    return cfg.ExperimentConfig(
        task=task,
        trainer=_trainer(schedule),
        runtime=cfg.RuntimeConfig(
            mixed_precision_dtype="float16" if mixed_precision else "float32",
            loss_scale="dynamic" if mixed_precision else None,
        ),
    )


def _retinanet(entry: Network, grid: AnchorGrid) -> retinanet.RetinaNet:
    return retinanet.RetinaNet(
        head=retinanet.RetinaNetHead(
            num_convs=entry.head_convs,
            num_filters=entry.filters,
            use_separable_conv=entry.separable,
        ),
        detection_generator=retinanet.DetectionGenerator(
            pre_nms_top_k=500,
            pre_nms_score_threshold=0.02,
            nms_iou_threshold=_NMS_IOU,
            max_num_detections=_MAX_DETECTIONS,
        ),
    )


def _faster_rcnn(entry: Network, grid: AnchorGrid) -> maskrcnn.MaskRCNN:
    return maskrcnn.MaskRCNN(
        include_mask=False,
        mask_head=None,
        mask_sampler=None,
        mask_roi_aligner=None,
        rpn_head=maskrcnn.RPNHead(num_filters=entry.filters),
        detection_head=maskrcnn.DetectionHead(num_filters=entry.filters),
        detection_generator=maskrcnn.DetectionGenerator(
            pre_nms_top_k=500, pre_nms_score_threshold=0.02, max_num_detections=_MAX_DETECTIONS
        ),
    )


def _trainer(schedule: Schedule) -> cfg.TrainerConfig:
    return cfg.TrainerConfig(
        train_steps=schedule.steps,
        validation_interval=schedule.interval,
        checkpoint_interval=schedule.interval,
        steps_per_loop=min(schedule.interval, 10),
        summary_interval=min(schedule.interval, 10),
        max_to_keep=2,
        best_checkpoint_eval_metric="AP",
        optimizer_config=optimization.OptimizationConfig(
            {
                "optimizer": {"type": "adam", "adam": {"global_clipnorm": 10.0}},
                "ema": {"average_decay": 0.99, "dynamic_decay": True},
                "learning_rate": {
                    "type": "cosine",
                    "cosine": {
                        "initial_learning_rate": schedule.learning_rate,
                        "decay_steps": schedule.steps,
                        "alpha": 0.02,
                    },
                },
                "warmup": {
                    "type": "linear",
                    "linear": {"warmup_steps": max(1, min(50, schedule.steps // 5))},
                },
            }
        ),
    )
