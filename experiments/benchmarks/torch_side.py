"""The same networks, losses and update in PyTorch: what a step is measured against.

A network is interpreted from the recorded graph that ONNX files are written from, with the tensors
of our own variables under PaddleOCR's names: both sides start from the same numbers.
"""

import torch
import torch.nn.functional as F

from ppocr_jax.losses.pairs import weighted_pairs
from ppocr_jax.models.graph import in_order, record
from ppocr_jax.models.pixels import MEAN, STD
from ppocr_jax.weights.paddle import to_paddle

STATISTICS = ("._mean", "._variance")


class TorchDetector:
    """One network: `{name: tensor}` and the layers that use them."""

    def __init__(self, detector, variables, device, memory_format):
        layers = in_order(record(detector))
        place = {id(layer): index for index, layer in enumerate(layers)}
        # Plain tuples: `torch.compile` has to see through what it is given.
        layers = [
            (index, layer.op, layer.name, layer.options, [place[id(x)] for x in layer.inputs])
            for index, layer in enumerate(layers)
        ]
        first = next(i for i, layer in enumerate(layers) if layer[2].startswith("head."))
        self.trunk, self.head = layers[1:first], layers[first:]
        self.tensors = {}
        for name, array in to_paddle(variables).items():
            tensor = torch.tensor(array, device=device)
            if tensor.ndim == 4:
                tensor = tensor.contiguous(memory_format=memory_format)
            self.tensors[name] = tensor.requires_grad_(not name.endswith(STATISTICS))

    def parameters(self):
        return [tensor for tensor in self.tensors.values() if tensor.requires_grad]

    def freeze(self):
        for tensor in self.tensors.values():
            tensor.requires_grad_(False)

    def __call__(self, image, all_maps=True):
        """Our maps, or the shrink map alone, from normalised `[B, 3, H, W]`."""
        values = {0: image}
        for layer in self.trunk:
            values[layer[0]] = self._apply(layer, layer[2], values)
        shrink = self._branch("binarize", values)
        if not all_maps:
            return {"shrink": shrink}
        threshold = self._branch("thresh", values)
        binary = torch.sigmoid(50.0 * (shrink - threshold))
        return {"shrink": shrink, "threshold": threshold, "binary": binary}

    def _branch(self, branch, values):
        for layer in self.head:  # the second branch writes over what the first has left
            name = layer[2].replace("head.binarize", f"head.{branch}")
            values[layer[0]] = self._apply(layer, name, values)
        return values[self.head[-1][0]][:, 0].float()

    def _apply(self, layer, name, values):
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
                return F.batch_norm(
                    x, *stored, get(f"{name}.weight"), get(f"{name}.bias"), True, 0.1, 1e-5
                )
            case "gate":
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


def dice(pred, target, mask):
    union = (pred * mask).sum() + (target * mask).sum() + 1e-6
    return 1.0 - 2.0 * (pred * target * mask).sum() / union


def balanced(pred, target, mask):
    """The balanced dice for a mask of zeros and ones, where ranking changes nothing."""
    with torch.no_grad():
        positive = torch.floor((target * mask).sum())
        negative = torch.floor(((1.0 - target) * mask).sum())
        negative = torch.minimum(negative, torch.floor(positive * 3.0))
        factor = ((target * mask).sum() + negative) / (positive + negative + 1e-6)
    return dice(pred, target, mask) * factor


def label_loss(maps, batch):
    target, mask = batch["shrink_map"], batch["shrink_mask"]
    border = batch["threshold_mask"]
    off = ((maps["threshold"] - batch["threshold_map"]).abs() * border).sum()
    return (
        5.0 * balanced(maps["shrink"], target, mask)
        + 10.0 * off / (border.sum() + 1e-6)
        + dice(maps["binary"], target, mask)
    )


def mutual_loss(pred, other):
    e = 1e-5
    towards = other * torch.log((other + e) / (pred + e) + e)
    back = pred * torch.log((pred + e) / (other + e) + e)
    return (0.5 * (towards + back)).mean()


def teacher_loss(maps, shrink, mask):
    text = (shrink.detach() > 0.3).to(shrink.dtype)[:, None]
    target = F.max_pool2d(F.pad(text, (1, 0, 1, 0)), 2, 1)[:, 0]
    return 5.0 * balanced(maps["shrink"], target, mask) + dice(maps["binary"], target, mask)


class TorchStep:
    """One update of a config's networks; calling it gives the loss.

    Args:
        config: ours.
        models, variables: `{role: ...}`, ours.
        device: of PyTorch.
        channels_last: memory format of maps and kernels.
        compiled: whether `torch.compile` makes the forward and backward pass.
        dtype: of the activations; parameters stay float32.
    """

    def __init__(self, config, models, variables, device, channels_last=True, compiled=False,
                 dtype=torch.float32):  # fmt: skip
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
        self.optimizer = torch.optim.Adam(
            parameters, lr=1e-4, betas=(numbers.b1, numbers.b2), eps=numbers.eps,
            weight_decay=numbers.l2, fused=True,
        )  # fmt: skip
        self.loss = torch.compile(self.objective, fullgraph=True) if compiled else self.objective

    def put(self, batch):
        """A batch on the device, as it comes out of the pipeline."""
        batch = {name: torch.from_numpy(array).to(self.device) for name, array in batch.items()}
        batch["image"] = batch["image"].permute(0, 3, 1, 2)
        return batch

    def objective(self, batch):
        """`(what is differentiated, the sum of the losses)`."""
        loss, learns = self.config.loss, self.config.trainable
        shape = (1, 3, 1, 1)
        mean = torch.tensor(MEAN, device=self.device).reshape(shape)
        std = torch.tensor(STD, device=self.device).reshape(shape)
        image = ((batch["image"].float() / 255.0 - mean) / std).contiguous(memory_format=self.form)
        targets = {name: value.float() for name, value in batch.items() if name != "image"}
        maps = {}
        with torch.autocast(self.device, self.dtype, enabled=self.dtype != torch.float32):
            for role, network in self.networks.items():
                with torch.set_grad_enabled(role in learns):
                    maps[role] = network(image, all_maps=role in learns)
        total = sum(label_loss(maps[role], targets) for role in loss.labels)
        for one, other, weight in weighted_pairs(loss.mutual):
            total = total + weight * mutual_loss(maps[one]["shrink"], maps[other]["shrink"])
        for student, teacher, weight in weighted_pairs(loss.teacher):
            shrink, mask = maps[teacher]["shrink"], targets["shrink_mask"]
            total = total + weight * teacher_loss(maps[student], shrink, mask)
        factor = image.shape[0] if loss.total == "sum" else 1
        return total * factor, total

    def gradients(self, batch):
        """Fills the gradients; gives the loss."""
        self.optimizer.zero_grad(set_to_none=True)
        value, total = self.loss(batch)
        value.backward()
        return total.detach()

    def gradient_norm(self):
        squares = [p.grad.square().sum() for g in self.optimizer.param_groups for p in g["params"]
                   if p.grad is not None]  # fmt: skip
        return float(torch.stack(squares).sum().sqrt())

    def __call__(self, batch):
        total = self.gradients(batch)
        self.optimizer.step()
        return float(total)  # waits for the device
