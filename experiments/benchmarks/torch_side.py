"""The same networks, losses and training step in PyTorch, to compare ours with.

A network is interpreted from its recorded graph, the one that ONNX files are written from, with our
variables under PaddleOCR's names: both implementations start from the same values.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from ml_collections import ConfigDict

from ppocr_jax.losses.pairs import weighted_pairs
from ppocr_jax.models.detector import Detector
from ppocr_jax.models.graph import in_order, record
from ppocr_jax.models.pixels import MEAN, STD
from ppocr_jax.weights.paddle import to_paddle

STATISTICS = ("._mean", "._variance")  # of batch norm: not trained by gradients
Maps = dict[str, torch.Tensor]


class TorchDetector:
    """One network, interpreted layer by layer.

    Args:
        detector: our network.
        variables: our values of its parameters and statistics.
        device: of PyTorch.
        memory_format: of the kernels.

    Attributes:
        trunk: layers of backbone and neck: (index, operation, name, options, indices of inputs).
        head: layers of one branch of the head; the other branch differs in the names only.
        tensors: by PaddleOCR's name.
    """

    def __init__(
        self,
        detector: Detector,
        variables: Mapping[str, Any],
        device: str,
        memory_format: torch.memory_format,
    ) -> None:
        layers = in_order(record(detector))
        place = {id(layer): index for index, layer in enumerate(layers)}
        # Plain tuples, which `torch.compile` can trace.
        rows = [
            (index, layer.op, layer.name, layer.options, [place[id(x)] for x in layer.inputs])
            for index, layer in enumerate(layers)
        ]
        first = next(i for i, row in enumerate(rows) if row[2].startswith("head."))
        self.trunk, self.head = rows[1:first], rows[first:]  # row 0 is the image
        self.tensors: dict[str, torch.Tensor] = {}
        for name, array in to_paddle(variables).items():
            tensor = torch.tensor(array, device=device)
            if tensor.ndim == 4:
                tensor = tensor.contiguous(memory_format=memory_format)
            self.tensors[name] = tensor.requires_grad_(not name.endswith(STATISTICS))

    def parameters(self) -> list[torch.Tensor]:
        """Tensors that gradients are computed for."""
        return [tensor for tensor in self.tensors.values() if tensor.requires_grad]

    def freeze(self) -> None:
        """Excludes all tensors from training."""
        for tensor in self.tensors.values():
            tensor.requires_grad_(False)

    def __call__(self, image: torch.Tensor, all_maps: bool = True) -> Maps:
        """Computes the maps of our network, each `[B, H, W]`, or only the shrink map.

        Args:
            image: normalised, `[B, 3, H, W]`.
            all_maps: whether also the threshold map and the binary map.
        """
        values = {0: image}
        for layer in self.trunk:
            values[layer[0]] = self._apply(layer, layer[2], values)
        shrink = self._branch("binarize", values)
        if not all_maps:
            return {"shrink": shrink}
        threshold = self._branch("thresh", values)
        binary = torch.sigmoid(50.0 * (shrink - threshold))  # k = 50, differentiable binarization
        return {"shrink": shrink, "threshold": threshold, "binary": binary}

    def _branch(self, branch: str, values: dict[int, torch.Tensor]) -> torch.Tensor:
        """Runs "binarize" or "thresh", the two branches of the head."""
        for layer in self.head:  # the second branch overwrites the values of the first
            name = layer[2].replace("head.binarize", f"head.{branch}")
            values[layer[0]] = self._apply(layer, name, values)
        return values[self.head[-1][0]][:, 0].float()

    def _apply(
        self, layer: tuple[Any, ...], name: str, values: dict[int, torch.Tensor]
    ) -> torch.Tensor:
        """Runs one layer with the weights called `name`."""
        _, op, _, options, inputs = layer
        x, *others = (values[index] for index in inputs)
        get = self.tensors.get
        match op:
            case "conv":
                groups = x.shape[1] if options["depthwise"] else 1
                weight, bias = get(f"{name}.weight"), get(f"{name}.bias")
                pad = options["size"] // 2
                return F.conv2d(x, weight, bias, options["stride"], pad, groups=groups)
            case "deconv":
                return F.conv_transpose2d(x, get(f"{name}.weight"), get(f"{name}.bias"), 2)
            case "norm":
                stored = get(f"{name}._mean"), get(f"{name}._variance")
                # PyTorch's momentum 0.1 is the new batch's share: Flax and PaddlePaddle call it
                # 0.9.
                return F.batch_norm(
                    x, *stored, get(f"{name}.weight"), get(f"{name}.bias"), True, 0.1, 1e-5
                )
            case "gate":  # PaddleOCR's hard sigmoid, of slope 0.2; F.hardsigmoid has 1/6
                return torch.clamp(0.2 * x + 0.5, 0.0, 1.0)
            case "mean":
                return x.mean((2, 3), keepdim=True)
            case "upsample":
                return F.interpolate(x, scale_factor=options["factor"], mode="nearest")
            case "max_pool":
                return F.max_pool2d(x, 3, 2, 1)
            case "mean_pool":
                return F.avg_pool2d(x, 2, 2)
            case "add":
                return x + others[0]
            case "multiply":
                return x * others[0]
            case "concat":
                return torch.cat([x, *others], 1)
        return {"relu": F.relu, "hard_swish": F.hardswish, "sigmoid": torch.sigmoid}[op](x)


def dice(pred: torch.Tensor, target: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Dice loss over the whole batch, of maps `[B, H, W]`."""
    union = (pred * mask).sum() + (target * mask).sum() + 1e-6
    return 1.0 - 2.0 * (pred * target * mask).sum() / union


def balanced(pred: torch.Tensor, target: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Balanced dice loss for a binary mask, where the choice of negatives changes nothing."""
    with torch.no_grad():
        positive = torch.floor((target * mask).sum())
        negative = torch.floor(((1.0 - target) * mask).sum())
        negative = torch.minimum(negative, torch.floor(positive * 3.0))
        factor = ((target * mask).sum() + negative) / (positive + negative + 1e-6)
    return dice(pred, target, mask) * factor


def label_loss(maps: Maps, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """DB loss of one network on the labels: shrink map, threshold map and binary map."""
    target, mask = batch["shrink_map"], batch["shrink_mask"]
    border = batch["threshold_mask"]
    off = ((maps["threshold"] - batch["threshold_map"]).abs() * border).sum()
    return (
        5.0 * balanced(maps["shrink"], target, mask)
        + 10.0 * off / (border.sum() + 1e-6)
        + dice(maps["binary"], target, mask)
    )


def mutual_loss(pred: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """DML loss: the mean of both KL divergences between two shrink maps."""
    e = 1e-5  # keeps logarithms finite
    towards = other * torch.log((other + e) / (pred + e) + e)
    back = pred * torch.log((pred + e) / (other + e) + e)
    return (0.5 * (towards + back)).mean()


def teacher_loss(maps: Maps, shrink: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """CML loss: dice with the teacher's map, binarized and dilated by a 2x2 window."""
    text = (shrink.detach() > 0.3).to(shrink.dtype)[:, None]
    target = F.max_pool2d(F.pad(text, (1, 0, 1, 0)), 2, 1)[:, 0]
    return 5.0 * balanced(maps["shrink"], target, mask) + dice(maps["binary"], target, mask)


class TorchStep:
    """A training step of a config's networks; a call makes one step and returns the loss.

    Args:
        config: a whole config.
        models, variables: our networks and initial values, by role.
        device: of PyTorch.
        channels_last: whether maps and kernels lie channels last in memory.
        compiled: whether `torch.compile` compiles the forward and backward pass.
        dtype: of the activations; parameters stay float32.
    """

    def __init__(
        self,
        config: ConfigDict,
        models: Mapping[str, Detector],
        variables: Mapping[str, Any],
        device: str,
        channels_last: bool = True,
        compiled: bool = False,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        form = torch.channels_last if channels_last else torch.contiguous_format
        self.config, self.device, self.form, self.dtype = config, device, form, dtype
        self.networks = {
            role: TorchDetector(model, variables[role], device, form)
            for role, model in models.items()
        }
        for role, network in self.networks.items():
            if role not in config.trainable:
                network.freeze()
        parameters = [p for r in config.trainable for p in self.networks[r].parameters()]
        numbers = config.optimizer
        # `weight_decay` of torch's Adam joins the gradient, like our coupled `l2`.
        self.optimizer = torch.optim.Adam(
            parameters, lr=1e-4, betas=(numbers.b1, numbers.b2), eps=numbers.eps,
            weight_decay=numbers.l2, fused=True,
        )  # fmt: skip
        self.loss = torch.compile(self.objective, fullgraph=True) if compiled else self.objective

    def put(self, batch: Mapping[str, np.ndarray]) -> dict[str, torch.Tensor]:
        """Copies a batch of the data pipeline to the device; images become `[B, 3, H, W]`."""
        tensors = {name: torch.from_numpy(array).to(self.device) for name, array in batch.items()}
        tensors["image"] = tensors["image"].permute(0, 3, 1, 2)
        return tensors

    def objective(self, batch: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns `(the objective, which is differentiated, the sum of the losses)`."""
        # Input and targets.
        loss, learns = self.config.loss, self.config.trainable
        shape = (1, 3, 1, 1)
        mean = torch.tensor(MEAN, device=self.device).reshape(shape)
        std = torch.tensor(STD, device=self.device).reshape(shape)
        image = ((batch["image"].float() / 255.0 - mean) / std).contiguous(memory_format=self.form)
        targets = {name: value.float() for name, value in batch.items() if name != "image"}
        # Maps of every network: a frozen one computes its shrink map only, without gradients.
        maps = {}
        with torch.autocast(self.device, self.dtype, enabled=self.dtype != torch.float32):
            for role, network in self.networks.items():
                with torch.set_grad_enabled(role in learns):
                    maps[role] = network(image, all_maps=role in learns)
        # Losses: labels, peers, teacher.
        total: Any = sum(label_loss(maps[role], targets) for role in loss.labels)
        for one, other, weight in weighted_pairs(loss.mutual):
            total = total + weight * mutual_loss(maps[one]["shrink"], maps[other]["shrink"])
        for student, teacher, weight in weighted_pairs(loss.teacher):
            shrink, mask = maps[teacher]["shrink"], targets["shrink_mask"]
            total = total + weight * teacher_loss(maps[student], shrink, mask)
        factor = image.shape[0] if loss.total == "sum" else 1
        return total * factor, total

    def gradients(self, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Computes the gradients and returns the loss."""
        self.optimizer.zero_grad(set_to_none=True)
        value, total = self.loss(batch)
        value.backward()
        return total.detach()

    def gradient_norm(self) -> float:
        """Returns the norm of all gradients together."""
        squares = [p.grad.square().sum() for g in self.optimizer.param_groups for p in g["params"]
                   if p.grad is not None]  # fmt: skip
        return float(torch.stack(squares).sum().sqrt())

    def __call__(self, batch: Mapping[str, torch.Tensor]) -> float:
        total = self.gradients(batch)
        self.optimizer.step()
        return float(total)  # waits for the device
