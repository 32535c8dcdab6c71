"""The part of a recipe that belongs to its task: which pictures, which objective.

This module needs neither torch nor numpy.
"""

from dataclasses import dataclass
from typing import Literal

from tamperscope.train.tables import require

Contrastive = Literal["info_nce_pp", "soft_contrastive", "none"]
Balance = Literal["none", "batch", "picture"]
Task = Literal["focal", "dolos", "fakelocator", "face-parser"]
TABLES: dict[str, str] = {
    "focal": "loss",
    "dolos": "dolos",
    "fakelocator": "fakelocator",
    "face-parser": "parsing",
}
"""Task -> the table of a recipe with its settings."""

Setup = Literal["A", "B", "C"]
Pooling = Literal["expand", "max", "top", "avg"]
MapLoss = Literal["ce", "bce", "l1", "l2", "dice", "focal"]
Variant = Literal["both", "whole", "region"]
Augment = Literal["real", "both", "none"]
Fakeness = Literal["gray-of-difference", "difference-of-gray", "mean-difference"]
FakenessLoss = Literal["l1", "l2", "dice", "focal"]
Resample = Literal["auto", "lanczos", "bilinear"]

VALIDATION_NUMBERS: dict[str, tuple[str, ...]] = {
    "focal": (
        "loss",
        "contrastive",
        "bce",
        "dice",
        "image",
        "separability",
        "evidence_auc",
        "evidence_f1",
        "evidence_iou",
        "false_alarm",
    ),
    "dolos": ("loss", "label", "map", "iou", "pixel_auc", "ap", "false_alarm"),
    "fakelocator": ("loss", "label", "map", "coss", "psnr", "ssim", "mae", "accuracy", "ap"),
    "face-parser": ("loss", "ce", "dice", "mean_iou", "iou", "pixel_accuracy"),
}
MINIMISED = (
    "loss",
    "contrastive",
    "bce",
    "ce",
    "dice",
    "image",
    "label",
    "map",
    "mae",
    "false_alarm",
)


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """Weighted sum of a contrastive term and two evidence terms; a weight of 0 turns one off.

    Attributes:
        contrastive: which contrastive loss; labels are cells whose mask area mean is above 0.5.
        contrastive_weight: its weight.
        temperature: of the contrastive loss.
        variant, metric, max_samples, symmetric: options of ``info_nce_pp``.
        rho, iters: options of ``soft_contrastive``.
        bce_weight: weight of the binary cross-entropy of the evidence logits. Its target is the
            area mean of the mask over the cell.
        balance: ``none`` plain mean over cells; ``batch`` and ``picture`` give the forged cells
            the share ``forged_share`` of the loss and the pristine ones the rest, within the batch
            or each picture.
        forged_share: see ``balance``, in (0, 1).
        dice_weight: weight of the soft Dice loss, over pictures that have a forged cell.
        image_weight: weight of the binary cross-entropy of the picture's label, forged or not, on
            the mean evidence of its ``image_top`` highest cells: what keeps untouched pictures
            clean everywhere.
        image_top: share of the cells, in (0, 1].
        ignore_mixed: leave out cells with 0.1 < area mean < 0.9 from every term.
    """

    contrastive: Contrastive = "info_nce_pp"
    contrastive_weight: float = 1.0
    temperature: float = 0.1
    variant: Literal["released", "paper"] = "released"
    metric: Literal["cosine", "euclidean"] = "cosine"
    max_samples: int = 1000
    symmetric: bool = False
    rho: float = 2.0
    iters: int = 1
    bce_weight: float = 1.0
    balance: Balance = "batch"
    forged_share: float = 0.5
    dice_weight: float = 0.0
    image_weight: float = 0.0
    image_top: float = 0.02
    ignore_mixed: bool = True

    def __post_init__(self) -> None:
        require(0 < self.image_top <= 1, "loss.image_top", self.image_top, "in (0, 1]")
        require(self.temperature > 0, "loss.temperature", self.temperature, "above 0")
        require(0 < self.forged_share < 1, "loss.forged_share", self.forged_share, "in (0, 1)")
        for name in ("contrastive_weight", "bce_weight", "dice_weight", "image_weight"):
            require(getattr(self, name) >= 0, f"loss.{name}", getattr(self, name), "at least 0")


@dataclass(frozen=True, kw_only=True)
class DolosConfig:
    """Data and objective of the task ``dolos``; its networks are those of ``model.config``.

    Attributes:
        setup: the paper's: ``A`` real against wholly regenerated pictures and ``B`` real against
            partly regenerated ones, both from image labels; ``C`` partly regenerated ones with
            masks.
        faces: name of the face set below the data folder.
        generators: names of the generators' folders; ``["all"]`` takes every one that is there.
        leave_out: generators to leave out of those.
        extra_whole: further folders of wholly generated pictures for set-up A, relative to the data
            folder or absolute; 70 % of each train and 10 % validate, by a hash of the file name.
        extra_real: further folders of real pictures, likewise.
        reals: share of real pictures among those of set-up C, with empty masks; 0 as in the paper.
        balanced_labels: A and B: as many real pictures as fake ones in every batch; otherwise each
            kind comes as often as it is in the set.
        limit: most pictures of each kind and split; 0 for all.
        size: side in pixels a picture is resized to; 0 for the network's own.
        resample: of that resizing; ``auto`` is the paper's for each network.
        crop: side of a random crop from training pictures, as a share of the picture's; ``size``
            shrinks with it. The networks are convolutional: they learn from a part, and from more
            pictures in the same time.
        flip: mirror half of the training pictures (the paper: from labels only).
        jpeg: share of training and validation pictures compressed once more, real ones and fake
            ones alike, lest the network tells file histories apart instead of generators.
        jpeg_quality: from and to; qualities between are equally likely.
        rescale: share of training pictures that are resized.
        rescale_range: from and to, as a share of the side.
        blur: share of training pictures that are blurred.
        blur_sigma: from and to, in pixels.
        pooling: how Patches learn from labels, see ``tamperscope.losses.dolos.weak_map_loss``.
        map_loss: loss between map and mask in set-up C.
        balanced_map: C with cross-entropy: fake and real cells weigh the same over a batch.
        rho_class, rho_localize: weights of the label and of the map term. From labels, Grad-CAM has
            a label term, Patches a map term, Attention both (``rho_localize`` is its lambda).
        cache: keep decoded pictures in memory.
    """

    setup: Setup = "C"
    faces: str = "celebahq"
    generators: tuple[str, ...] = ("all",)
    leave_out: tuple[str, ...] = ()
    extra_whole: tuple[str, ...] = ()
    extra_real: tuple[str, ...] = ()
    reals: float = 0.0
    balanced_labels: bool = True
    limit: int = 0
    size: int = 0
    resample: Resample = "auto"
    crop: float = 1.0
    flip: bool = False
    jpeg: float = 0.0
    jpeg_quality: tuple[int, int] = (60, 98)
    rescale: float = 0.0
    rescale_range: tuple[float, float] = (0.75, 1.33)
    blur: float = 0.0
    blur_sigma: tuple[float, float] = (0.3, 1.2)
    pooling: Pooling = "expand"
    map_loss: MapLoss = "ce"
    balanced_map: bool = False
    rho_class: float = 0.0
    rho_localize: float = 1.0
    cache: bool = True

    def __post_init__(self) -> None:
        require(0 <= self.reals < 1, "dolos.reals", self.reals, "in [0, 1)")
        require(0 < self.crop <= 1, "dolos.crop", self.crop, "in (0, 1]")
        for name in ("jpeg", "rescale", "blur"):
            value = getattr(self, name)
            require(0 <= value <= 1, f"dolos.{name}", value, "in [0, 1]")
        for name in ("limit", "size", "rho_class", "rho_localize"):
            value = getattr(self, name)
            require(value >= 0, f"dolos.{name}", value, "at least 0")
        low, high = self.jpeg_quality
        require(
            1 <= low <= high <= 100, "dolos.jpeg_quality", self.jpeg_quality, "in 1 to 100, rising"
        )
        for name in ("rescale_range", "blur_sigma"):
            low_share, high_share = getattr(self, name)
            require(
                0 < low_share <= high_share,
                f"dolos.{name}",
                (low_share, high_share),
                "above 0, rising",
            )
        require(bool(self.generators), "dolos.generators", self.generators, "at least one name")


@dataclass(frozen=True, kw_only=True)
class FakeLocatorConfig:
    """Data and objective of the task ``fakelocator``; its network is that of ``model.config``.

    Attributes:
        faces: name of the face set below the data folder.
        generators: names of the generators' folders; ``["all"]`` takes every one that is there.
        leave_out: generators to leave out of those.
        variant: fakes that are regenerated as a ``whole``, in a ``region``, or ``both``.
        regions: of the fakes regenerated in a region only those changed in nothing but these parts
            of the face, such as ``["hair", "skin"]``; empty for all.
        synthetic: further folders of wholly synthetic faces, made from no picture and so fake
            everywhere, relative to the data folder or absolute. 70 % of each train and 10 %
            validate, by a hash of the file name.
        extra_real: further folders of real pictures, likewise.
        reals: share of real pictures, whose map is zero.
        limit: most pictures of each kind and split; 0 for all.
        fakeness: how a fake and its real picture become a map, see
            ``tamperscope.data.fakeness.fakeness_map``.
        size: side in pixels a picture is resized to; 0 for the network's own.
        crop: side of a random crop from training pictures, as a share of the picture's. A crop of a
            fake holds at least one changed pixel.
        flip: mirror half of the training pictures.
        augment: which training pictures are degraded: ``real`` ones only, which is the paper's
            partial augmentation, ``both`` real and fake ones, or ``none``.
        augment_share: share of those pictures that are degraded, each by one of the following.
        jpeg_quality: from and to, of compression.
        blur_sigma: from and to in pixels, of Gaussian blur.
        noise_sigma: from and to in grey levels, of Gaussian noise.
        rescale_range: from and to, the share of the side a picture is shrunk to and enlarged from.
        labels: folder of labelled faces whose names are those of the data folder's; where the
            network uses attention, it comes from these labels.
        parser: name or file of the face parser that labels faces without labels; empty for none.
        attention_dropout: share of training pictures whose attention is one everywhere, as it is
            for a picture without a known face.
        map_loss: loss between the map and the fakeness.
        map_scale: both are multiplied by this in ``l1`` and ``l2``: the grey differences of good
            fakes are a few hundredths.
        changed_share: share of the map loss that the changed pixels of a batch carry in ``l1`` and
            ``l2``, whatever their number; 0 weighs all pixels alike.
        rho_class, rho_localize: weights of the label and of the map term.
        cache: keep decoded pictures in memory.
    """

    faces: str = "celebahq"
    generators: tuple[str, ...] = ("all",)
    leave_out: tuple[str, ...] = ()
    variant: Variant = "both"
    regions: tuple[str, ...] = ()
    synthetic: tuple[str, ...] = ()
    extra_real: tuple[str, ...] = ()
    reals: float = 0.5
    limit: int = 0
    fakeness: Fakeness = "gray-of-difference"
    size: int = 0
    crop: float = 1.0
    flip: bool = True
    augment: Augment = "real"
    augment_share: float = 0.5
    jpeg_quality: tuple[int, int] = (30, 95)
    blur_sigma: tuple[float, float] = (0.3, 2.0)
    noise_sigma: tuple[float, float] = (1.0, 10.0)
    rescale_range: tuple[float, float] = (0.3, 0.9)
    labels: str = ""
    parser: str = ""
    attention_dropout: float = 0.1
    map_loss: FakenessLoss = "l1"
    map_scale: float = 10.0
    changed_share: float = 0.0
    rho_class: float = 1.0
    rho_localize: float = 1.0
    cache: bool = True

    def __post_init__(self) -> None:
        require(
            bool(self.generators), "fakelocator.generators", self.generators, "at least one name"
        )
        for name in ("reals", "changed_share"):
            value = getattr(self, name)
            require(0 <= value < 1, f"fakelocator.{name}", value, "in [0, 1)")
        for name in ("augment_share", "attention_dropout"):
            value = getattr(self, name)
            require(0 <= value <= 1, f"fakelocator.{name}", value, "in [0, 1]")
        for name in ("limit", "size", "rho_class", "rho_localize"):
            value = getattr(self, name)
            require(value >= 0, f"fakelocator.{name}", value, "at least 0")
        require(0 < self.crop <= 1, "fakelocator.crop", self.crop, "in (0, 1]")
        require(self.map_scale > 0, "fakelocator.map_scale", self.map_scale, "above 0")
        weighted = bool(self.rho_class or self.rho_localize)
        require(weighted, "fakelocator.rho_class or rho_localize", 0, "above 0")
        low, high = self.jpeg_quality
        rising = 1 <= low <= high <= 100
        require(rising, "fakelocator.jpeg_quality", self.jpeg_quality, "in 1 to 100, rising")
        for name in ("blur_sigma", "noise_sigma", "rescale_range"):
            least, most = getattr(self, name)
            require(0 < least <= most, f"fakelocator.{name}", (least, most), "above 0, rising")
        largest = self.rescale_range[1]
        require(largest <= 1, "fakelocator.rescale_range", self.rescale_range, "at most 1")


@dataclass(frozen=True, kw_only=True)
class ParsingConfig:
    """Data and objective of the task ``face-parser``.

    The faces are split by their names, 70 % to train on, 10 % to validate, 20 % untouched.

    Attributes:
        size: side in pixels of the pictures that are learned from.
        val_size: side of the validation pictures; 0 for ``size``.
        stored: side in pixels faces are kept at in memory, before any change.
        numbering: of the label maps on disk, a name of ``tamperscope.face_parsing.parts``.
        limit: most faces of each split; 0 for all.
        flip: share of pictures mirrored, with left and right parts renamed.
        rotation: largest turn to either side, in degrees; smaller ones are as likely.
        zoom: smallest and largest magnification; above 1 the face is cropped, below it has room
            around it, of one random colour and labelled as background.
        shift: largest shift along either axis, as a share of the side.
        tone: strength of changes of gamma, contrast, brightness, saturation and white balance.
        grey: share of pictures without colour.
        soften: share of pictures shrunk and enlarged again, or blurred.
        jpeg: share of pictures compressed once more.
        jpeg_quality: from and to; qualities between are equally likely.
        balance: weight of a class in the cross-entropy is its frequency to the power of minus this;
            0 treats all pixels alike, 1 all classes.
        dice_weight: weight of the soft Dice loss over the classes present, beside the
            cross-entropy.
    """

    size: int = 160
    val_size: int = 0
    stored: int = 256
    numbering: str = "celebamask"
    limit: int = 0
    flip: float = 0.5
    rotation: float = 25.0
    zoom: tuple[float, float] = (0.65, 1.8)
    shift: float = 0.15
    tone: float = 0.3
    grey: float = 0.05
    soften: float = 0.2
    jpeg: float = 0.2
    jpeg_quality: tuple[int, int] = (40, 95)
    balance: float = 0.3
    dice_weight: float = 0.5

    def __post_init__(self) -> None:
        for name in ("flip", "tone", "grey", "soften", "jpeg", "balance"):
            value = getattr(self, name)
            require(0 <= value <= 1, f"parsing.{name}", value, "in [0, 1]")
        require(0 <= self.rotation <= 180, "parsing.rotation", self.rotation, "in [0, 180]")
        require(0 <= self.shift < 1, "parsing.shift", self.shift, "in [0, 1)")
        for name in ("val_size", "limit", "dice_weight"):
            value = getattr(self, name)
            require(value >= 0, f"parsing.{name}", value, "at least 0")
        for name in ("size", "stored"):
            value = getattr(self, name)
            require(value >= 16, f"parsing.{name}", value, "at least 16")
        low, high = self.zoom
        require(0 < low <= high, "parsing.zoom", self.zoom, "above 0, rising")
        worst, best = self.jpeg_quality
        require(
            1 <= worst <= best <= 100,
            "parsing.jpeg_quality",
            self.jpeg_quality,
            "in 1 to 100, rising",
        )
