"""The detectors' networks. A new backbone, neck or head takes one file and one entry here.

A backbone returns feature maps `[C2, C3, C4, C5]` at strides 4, 8, 16 and 32, a neck fuses them
into one at stride 4, and a head predicts the maps. Each is a linen module called as `(x, train)`.
The config keys beside its `name` are its attributes; it also needs an attribute `dtype`, the dtype
of its activations.
"""

from ppocr_jax.choices import Choices

BACKBONES = Choices(
    __name__,
    MobileNetV3="mobilenet_v3.MobileNetV3",
    ResNetVD="resnet_vd.ResNetVD",
)
NECKS = Choices(__name__, RSEFPN="rse_fpn.RSEFPN", LKPAN="lk_pan.LKPAN", DBFPN="db_fpn.DBFPN")
HEADS = Choices(__name__, DBHead="db_head.DBHead")
DTYPES = ("float32", "bfloat16", "float64")  # of activations; float64 needs `jax_enable_x64`
PRECISIONS = {"float32": "highest", "tf32": "high"}  # of float32 products: our name -> JAX's
