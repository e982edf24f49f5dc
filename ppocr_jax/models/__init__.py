"""Networks: images -> maps."""

from ppocr_jax.choices import Choices

BACKBONES = Choices(__name__, MobileNetV3="backbones.MobileNetV3", ResNetVD="backbones.ResNetVD")
NECKS = Choices(__name__, RSEFPN="necks.RSEFPN", LKPAN="necks.LKPAN", DBFPN="necks.DBFPN")
HEADS = Choices(__name__, DBHead="heads.DBHead")
DTYPES = ("float32", "bfloat16", "float64")
