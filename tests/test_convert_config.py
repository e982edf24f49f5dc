"""PaddleOCR's YAML becomes a config: the published files, every key, every mistake."""

import re
import subprocess
import sys

import paddle_files
import pytest
import tiny

from configs import parts
from ppocr_jax import cli, config, convert_config
from ppocr_jax.data.splits import read_validation
from ppocr_jax.data.training_split import Training
from ppocr_jax.errors import UserError
from ppocr_jax.paddle_config.conversion import convert as convert_file
from ppocr_jax.paddle_config.conversion import write
from ppocr_jax.paddle_config.ledger import value_at
from ppocr_jax.paddle_config.networks import weights_path
from ppocr_jax.paddle_config.yaml_file import override, read_yaml

ICDAR = "./train_data/icdar2015/text_localization/"
COMMON = {"data.root": ICDAR, "data.workers": 4}
DIFFERENCES = {  # file: keys in which it is not our config of the same recipe
    "dml": COMMON,
    "cml": COMMON,
    "mobile": COMMON | {"init_from.student": "MobileNetV3_large_x0_5_pretrained"},
    "server": COMMON | {"init_from.teacher": "ResNet50_vd_ssld_pretrained"},
}
ALWAYS_DROPPED = {"Global.save_epoch_step", "Global.log_smooth_window"}
DROPPED = {
    "dml": {"Global.eval_batch_step[0]", "Global.pretrained_model"},
    "cml": set(),
    "mobile": set(),
    "server": set(),
}


@pytest.fixture
def convert(tmp_path):
    """Converts a published file, or a text, with `-o` items: the conversion."""

    def run(name, *overrides, cards=1):
        text = paddle_files.FILES[name]() if name in paddle_files.FILES else name
        path = tmp_path / "theirs.yml"
        path.write_text(text, encoding="utf-8")
        return convert_file(path, overrides, cards)[0]

    return run


def scalars(tree, path=""):
    """Dotted paths of every single value, by a walk of its own."""
    if isinstance(tree, dict) and tree:
        return [p for key in tree for p in scalars(tree[key], f"{path}.{key}" if path else key)]
    if isinstance(tree, list) and tree:
        return [p for i, item in enumerate(tree) for p in scalars(item, f"{path}[{i}]")]
    return [path]


def holders(conversion, scalar):
    """The listed leaves that a single value belongs to, over all three lists."""
    lists = (conversion.carried, conversion.meaningless, conversion.dropped)
    listed = [path for ended in lists for path in ended]
    return [path for path in listed if scalar == path or scalar.startswith(f"{path}[")]


@pytest.mark.parametrize("name", DIFFERENCES)
def test_published_files_become_our_configs(convert, name, tmp_path):
    conversion = convert(name)
    ours = tiny.load_config(tiny.ROOT / "configs" / f"ppocrv3_det_{name}.py")
    flat = [config.flatten(config.plain(c)) for c in (ours, conversion.config)]
    assert {k: v for k, v in flat[1].items() if v != flat[0].get(k)} == DIFFERENCES[name]
    assert flat[0].keys() == flat[1].keys()
    assert set(conversion.dropped) == ALWAYS_DROPPED | DROPPED[name]
    assert not conversion.left

    output = tmp_path / "elsewhere" / "mine.py"
    convert_config.save(write(conversion, "runs/x", output), output, conversion.config)
    written = tiny.load_config(output)
    config.check(written)
    assert config.flatten(config.plain(written)) == flat[1]
    for command in (
        ["check", "--line-length=100", "--select=E4,E7,E9,F,I,B,UP"],
        ["format", "--check", "--line-length=100"],
    ):
        ruff = [sys.executable, "-m", "ruff", *command, "--isolated", str(output)]
        done = subprocess.run(ruff, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", DIFFERENCES)
def test_no_leaf_is_lost(convert, name, tmp_path):
    odd = ("Global.seed=7", "Global.who=knows", "Train.loader.extra=[1,[2,3],{a: null}]", "Odd=1",
           "Eval.dataset.transforms=[{Blur: {k: 3}}, {DecodeImage: null}, {DecodeImage: null}]",
           "PostProcess={thresh: 0.2}")  # fmt: skip
    conversion = convert(name, *odd)
    paths = scalars(conversion.tree)
    assert len(paths) > 80
    assert [path for path in paths if len(holders(conversion, path)) != 1] == []
    for path in ("Global.who", "Train.loader.extra[2].a", "Odd"):
        assert path in conversion.dropped
    assert conversion.dropped["Eval.dataset.transforms[0].Blur.k"][0] == 3
    assert all(text for ended in (conversion.carried, conversion.meaningless, conversion.dropped)
               for _, text in ended.values())  # fmt: skip


VALUES = [  # file, what it says, key of ours, value
    ("mobile", "Global.epoch_num=20", "epochs", 20),
    ("mobile", "Global.seed=7", "seed", 7),
    ("mobile", "Global.print_batch_step=3", "log.every_steps", 3),
    ("mobile", "Global.eval_batch_step=150", "eval.every_steps", 150),
    ("mobile", "Global.eval_batch_step=[0, 150]", "save.every_steps", 150),
    ("mobile", "Global.eval_batch_step=[0, 90000]", "save.every_steps", 2000),
    ("mobile", "Global.eval_batch_epoch=2", "eval.every_epochs", 2),
    ("mobile", "Optimizer.lr.learning_rate=1e-4", "learning_rate", 1e-4),
    ("mobile", "Optimizer.lr.warmup_epoch=5", "warmup_epochs", 5.0),
    ("mobile", "Optimizer.lr={name: Cosine, learning_rate: 0.1}", "warmup_epochs", 0.0),
    ("mobile", "Optimizer.beta1=0.8", "optimizer.b1", 0.8),
    ("mobile", "Optimizer.regularizer.factor=1.0e-3", "optimizer.l2", 1e-3),
    ("mobile", "Optimizer.regularizer=null", "optimizer.l2", 0.0),
    ("mobile", "Optimizer={weight_decay: 0.1, regularizer: null}", "optimizer.l2", 0.1),
    ("mobile", "Optimizer.regularizer.name=L1", "optimizer.l2", 0.0),
    ("mobile", "PostProcess={thresh: 0.2}", "postprocess.thresh", 0.2),
    ("mobile", "PostProcess.box_thresh=0.5", "postprocess.box_thresh", 0.5),
    ("mobile", "PostProcess.box_thresh=null", "postprocess.box_thresh", 0.7),
    ("cml", "PostProcess.box_thresh=null", "postprocess.box_thresh", 0.6),
    ("mobile", "PostProcess.unclip_ratio=null", "postprocess.unclip_ratio", 2.0),
    ("mobile", "PostProcess.max_candidates=50", "postprocess.max_candidates", 50),
    ("mobile", "PostProcess.use_dilation=True", "postprocess.use_dilation", True),
    ("mobile", "PostProcess.score_mode=slow", "postprocess.score_mode", "slow"),
    ("mobile", "PostProcess.box_type=poly", "postprocess.box_type", "poly"),
    ("mobile", "Train.loader.drop_last=true", "data.last_batch", "drop"),
    ("mobile", "Train.loader.num_workers=0", "data.workers", 0),
    ("mobile", "Train.dataset.ratio_list=0.5", "data.ratios", (0.5,)),
    ("mobile", "Train.dataset.label_file_list=[a.txt, /b.txt]", "data.train", "a.txt,/b.txt"),
    ("mobile", "Eval.dataset.label_file_list=x/v.txt", "data.val", "x/v.txt"),
    ("mobile", "Train.dataset.data_dir=/data", "data.root", "/data"),
    ("mobile", "Loss.alpha=3", "loss.alpha", 3.0),
    ("mobile", "Loss.beta=4", "loss.beta", 4.0),
    ("mobile", "Loss.ohem_ratio=2", "loss.negative_ratio", 2.0),
    ("mobile", "Loss.balance_loss=False", "loss.balance", False),
    ("mobile", "Loss.main_loss_type=BCELoss", "loss.main", "bce"),
    ("mobile", "Loss.main_loss_type=MaskL1Loss", "loss.main", "mask_l1"),
    ("mobile", "Global.use_amp=True", "dtype", "float32"),
    ("mobile", "Global.amp_dtype=bfloat16", "dtype", "float32"),
    ("mobile", "Architecture.Backbone.scale=0.35", "roles.student.backbone.scale", 0.35),
    ("mobile", "Architecture.Backbone.disable_se=false",
     "roles.student.backbone.squeeze_excite", True),
    ("mobile", "Architecture.Backbone={name: MobileNetV3}",
     "roles.student.backbone.squeeze_excite", True),
    ("mobile", "Architecture.Neck={name: DBFPN, out_channels: 64}",
     "roles.student.neck.name", "DBFPN"),
    ("mobile", "Architecture.Neck.shortcut=False", "roles.student.neck.shortcut", False),
    ("server", "Architecture.Backbone.layers=101", "roles.teacher.backbone.depths", (3, 4, 23, 3)),
    ("server", "Architecture.Backbone.name=ResNet", "roles.teacher.backbone.name", "ResNetVD"),
    ("server", "Architecture.Neck.mode=lite", "roles.teacher.neck.mode", "lite"),
    ("server", "Architecture.Head.kernel_list=[5, 2, 2]", "roles.teacher.head.kernels", (5, 2, 2)),
    ("server", "Architecture.Head.k=40", "roles.teacher.head.k", 40.0),
    ("cml", "Architecture.Models.Student.pretrained=./a", "init_from.student", "./a.pdparams"),
    ("cml", "Architecture.Models.Teacher.pretrained=t.pdparams", "init_from.teacher",
     "t.pdparams"),
    ("cml", "Global.pretrained_model=./distill/best_accuracy", "init_from.all",
     "./distill/best_accuracy.pdparams"),
    ("cml", "Metric.key=Student2", "best.role", "student2"),
    ("cml", "Architecture.Models.Student2.freeze_params=True", "trainable", ("student",)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "item", "key", "value"), VALUES)
def test_values_are_carried(convert, name, item, key, value):
    found = value_at(convert(name, item).config, key)
    assert found == value and type(found) is type(value)


TRANSFORMS = [  # in the published text, in the place of it, key of ours, value
    ("{p: 0.5}", "{p: 0.1}", "data.augment.flip", 0.1),
    ("rotate: [-10, 10]", "rotate: [-45, 45]", "data.augment.rotate", (-45.0, 45.0)),
    ("rotate: [-10, 10]", "shear: [-4, 4]", "data.augment.rotate", (0.0, 0.0)),
    ("size: [0.5, 3]", "size: [1, 2]", "data.augment.scale", (1.0, 2.0)),
    ("size: [0.5, 3]", "size: [640, 960]", "data.augment.scale", (0.5, 3.0)),
    ("            - {type: Fliplr, args: {p: 0.5}}\n", "", "data.augment.flip", 0.0),
    ("IaaAugment:", "Unknown:", "data.augment.scale", (1.0, 1.0)),
    ("size: [960, 960]", "size: [640, 640]", "crop", 640),
    ("size: [960, 960]", "size: [640, 480]", "crop", 960),
    ("size: [960, 960]", "size: [500, 500]", "crop", 960),
    ("size: [960, 960], ", "", "crop", 640),
    ("max_tries: 50, ", "", "data.augment.crop_tries", 10),
    ("min_text_size: 8", "min_text_size: 4", "data.targets.min_text_size", 4),
    ("thresh_min: 0.3", "thresh_min: 0.2", "data.targets.thresh_min", 0.2),
    ("thresh_max: 0.7", "thresh_max: 0.8", "data.targets.thresh_max", 0.8),
    ("shrink_ratio: 0.4", "shrink_ratio: 0.5", "data.targets.shrink_ratio", 0.5),
    ("- DetLabelEncode:\n", "- DetLabelEncode:\n      - CopyPaste: {objects_paste_ratio: 0.4}\n",
     "data.augment.paste_ratio", 0.4),
    ("DetResizeForTest: null", "DetResizeForTest: {limit_side_len: 960, limit_type: max}",
     "eval.limit_type", "max"),
    ("DetResizeForTest: null", "DetResizeForTest: {limit_side_len: 640}", "eval.limit_side", 640),
    ("DetResizeForTest: null", "DetResizeForTest: {resize_long: 1000}",
     "eval.limit_type", "resize_long"),
    ("DetResizeForTest: null", "DetResizeForTest: {image_shape: [736, 1280]}",
     "eval.limit_side", 736),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "key", "value"), TRANSFORMS)
def test_transforms_are_carried(convert, old, new, key, value):
    text = paddle_files.mobile()
    assert old in text
    conversion = convert(text.replace(old, new))
    assert value_at(conversion.config, key) == value
    for path in scalars(conversion.tree):
        assert len(holders(conversion, path)) == 1, path


NOT_CARRIED = [  # file, what it says, the leaf, part of the reason
    ("mobile", "Global.checkpoints=./out/latest", "Global.checkpoints",
     "cannot go on here.*--config.init_from.student=./out/latest.pdparams"),
    ("mobile", "Global.eval_batch_step=[100, 50]", "Global.eval_batch_step[0]", "from the first"),
    ("mobile", "Global.cal_metric_during_train=True", "Global.cal_metric_during_train", "not sco"),
    ("mobile", "Global.use_amp=True", "Global.use_amp", "float16 overflows"),
    ("mobile", "Global.epoch_num=many", "Global.epoch_num", "a number; epochs stays 500"),
    ("mobile", "Global.epoch_num=0", "Global.epoch_num", "at least 1; epochs stays 500"),
    ("mobile", "Global.epoch_num=1.5", "Global.epoch_num", "whole number"),
    ("mobile", "Global.epoch_num=true", "Global.epoch_num", "a number"),
    ("mobile", "Global.limit_side_len=960", "Global.limit_side_len", "DetResizeForTest"),
    ("mobile", "Optimizer.name=Momentum", "Optimizer.name", "Adam"),
    ("mobile", "Optimizer.lr.name=Step", "Optimizer.lr.name", "half cosine"),
    ("mobile", "Optimizer.lr.gamma=0.1", "Optimizer.lr.gamma", "no counterpart"),
    ("mobile", "Optimizer.regularizer.name=L1", "Optimizer.regularizer.factor", "L2 is the only"),
    ("mobile", "Optimizer.clip_norm=5", "Optimizer.clip_norm", "not clipped"),
    ("mobile", "PostProcess.box_type=circle", "PostProcess.box_type", "quad or poly"),
    ("mobile", "PostProcess.use_dilation=maybe", "PostProcess.use_dilation", "true or false"),
    ("mobile", "Loss.main_loss_type=Euclidean", "Loss.main_loss_type", "DiceLoss, BCELoss"),
    ("mobile", "Loss.main_loss_type=[DiceLoss]", "Loss.main_loss_type", "should be DiceLoss"),
    ("mobile", "Loss.eps=0.1", "Loss.eps", "is 1e-6"),
    ("mobile", "Metric.main_indicator=recall", "Metric.main_indicator", "hmean"),
    ("cml", "Metric.key=Teacher", "Metric.key", "best.role=student"),
    ("mobile", "Train.dataset.name=LMDBDataSet", "Train.dataset.name", "a line per image"),
    ("mobile", "Train.dataset.label_file_list=[]", "Train.dataset.label_file_list", "label files"),
    ("mobile", "Train.dataset.label_file_list='a,b'", "Train.dataset.label_file_list", "comma"),
    ("mobile", "Train.loader.shuffle=False", "Train.loader.shuffle", "random order"),
    ("mobile", "Eval.dataset.data_dir=/other", "Eval.dataset.data_dir", "both splits"),
    ("mobile", "Eval.dataset.ratio_list=[0.5]", "Eval.dataset.ratio_list", "every image"),
    ("mobile", "Architecture.return_all_feats=True", "Architecture.return_all_feats", "only their"),
    ("mobile", "Global.save_model_dir=x", "Global.save_epoch_step", "none per epoch"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "item", "leaf", "reason"), NOT_CARRIED)
def test_what_is_not_carried_says_why(convert, name, item, leaf, reason):
    conversion = convert(name, item)
    assert leaf in conversion.dropped
    assert re.search(reason, conversion.dropped[leaf][1])


def test_losses_of_several_networks(convert):
    text = paddle_files.cml().replace('["Student2", "Teacher"]', '["Student2", "Tutor"]')
    tutor = "    Tutor:\n      freeze_params: True\n" + paddle_files._under(6, paddle_files.LARGE)
    text = text.replace("    Teacher:\n", tutor + "    Teacher:\n")
    plain = 'maps_name: "thrink_maps"\n      weight: 1.0'
    text = text.replace(plain, 'maps_name: "thrink_maps"\n      act: softmax\n      weight: 0.5')
    text = text.replace("alpha: 5", "alpha: 4")
    third = "{Backbone: {name: MobileNetV3}, Neck: {name: RSEFPN, out_channels: 48}"
    conversion = convert(text, f"Architecture.Models.Third={third}, Head: {{name: DBHead}}}}")
    c = conversion.config
    assert set(c.roles) == {"student", "student2", "tutor", "teacher", "third"}
    assert c.trainable == ("student", "student2", "third")
    assert c.loss.mutual == (("student", "student2", 0.5),) and c.loss.mutual_act == "softmax"
    assert c.loss.teacher == (("student", "teacher"), ("student2", "tutor"))
    assert c.loss.labels == ("student", "student2") and c.loss.total == "sum"
    assert c.loss.alpha == 4.0
    notes = "\n".join(conversion.notes)
    assert "alpha=4.0 counts" in notes and "mutual_act=none" in notes
    assert c.roles.third.neck.channels == 48

    text = paddle_files.cml()
    first = text.index("alpha: 5")
    terms = convert(text[:first] + "alpha: 2" + text[first + 8 :])
    assert terms.config.loss.alpha == 5.0  # the labels' term comes first
    leaf = "Loss.loss_config_list[0].DistillationDilaDBLoss.alpha"
    assert terms.dropped[leaf] == (2, "all terms share loss.alpha, which is 5.0")
    other = convert(text.replace("DistillationDilaDBLoss", "DistillationDistanceLoss"))
    assert other.config.loss.teacher == () and len(other.lost) == 8 and len(other.dropped) == 2
    assert other.config.loss.mutual == (("student", "student2"),)
    weighed = convert(text.replace("DistillationDBLoss:\n      weight: 1.0",
                                   "DistillationDBLoss:\n      weight: 2.0"))  # fmt: skip
    assert "Loss.loss_config_list[2].DistillationDBLoss.weight" in weighed.dropped


LOST = [  # what stands in the place of the mutual term's maps, the reason
    (
        'key: res\n      maps_name: "thrink_maps"',
        "key is res, and a detector in training gives maps",
    ),
    ('key: maps\n      maps_name: ["thrink_maps"]', r"maps_name is a list, \['thrink_maps'\]"),
    ('key: maps\n      maps_name: "binary_maps"', "maps_name is binary_maps, and networks learn"),
]


@pytest.mark.parametrize(("maps", "reason"), LOST)
def test_a_lost_term_is_one_note_with_its_reason(convert, maps, reason):
    text = paddle_files.cml()
    start = text.index("DistillationDMLLoss")
    term = text[start : text.index("- Distillation", start)]
    new = term.replace("      key: maps\n", "").replace('maps_name: "thrink_maps"', maps)
    conversion = convert(text.replace(term, new))
    assert conversion.config.loss.mutual == () and conversion.config.loss.total == "mean"
    [note] = [note for note in conversion.notes if "DistillationDMLLoss" in note]
    assert re.search(reason, note) and "no such term in loss.mutual" in note
    assert not any("DMLLoss" in path for path in (*conversion.dropped, *conversion.carried))
    paths = [path for path in scalars(conversion.tree) if "DMLLoss" in path]
    listed = [path for path in paths if path in conversion.lost or path[:-3] in conversion.lost]
    assert len(paths) > 3 and len(listed) >= len(paths) - 2  # a list of names is one leaf


BOMBS = {
    "lists": "a0: &a0 [x]\n"
    + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 60)),
    "keys": "a0: &a0 [x]\n"
    + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 60))
    + "? *a59\n: 1\n",
    "depth": "a: " + "[" * 5_000,
}


@pytest.mark.parametrize("kind", BOMBS)
def test_a_file_cannot_grow_while_it_is_read(tmp_path, kind):
    (tmp_path / "theirs.yml").write_text(BOMBS[kind])
    with pytest.raises(UserError, match="theirs.yml: is not valid YAML") as caught:
        read_yaml(tmp_path / "theirs.yml")
    assert len(str(caught.value)) < 400


def test_precision_weights_and_cards(convert):
    half = convert("server", "Global.use_amp=True")
    assert half.config.dtype == "bfloat16" and "Global.use_amp" in half.carried
    assert "Global.amp_dtype" in convert("server").meaningless
    eight = convert("dml", "Architecture.Models.Student.pretrained=r", cards=8)
    assert eight.config.batch_size == 64 and eight.config.init_from.student == "r.pdparams"
    assert any("norm_scope=device" in note for note in eight.notes)
    assert convert("dml", "Global.use_sync_bn=False", cards=2).config.norm_scope == "device"
    assert convert("dml", "Global.use_sync_bn=True", cards=2).config.norm_scope == "global"
    reason = eight.dropped["Global.pretrained_model"][1]
    assert "--config.init_from.student=./pretrain_models/ResNet50_vd_ssld_pretrained" in reason
    both = convert("cml", "Global.pretrained_model=all", "Architecture.Models.Teacher.pretrained=t")
    assert both.config.init_from.teacher == "" and both.config.init_from["all"] == "all.pdparams"
    assert "Architecture.Models.Teacher.pretrained" in both.dropped
    far = convert("mobile", "Global.pretrained_model=https://host/my_best.pdparams?")
    assert any("is not fetched" in note for note in far.notes)
    assert weights_path("https://host/x/ch_PP-OCRv3_det_distill_train.tar") == (
        "ch_PP-OCRv3_det_distill_train"
    )
    assert not convert("mobile").notes


def test_missing_sections_are_said(convert):
    text = paddle_files.mobile()
    plain = convert(text[: text.index("Eval:")])
    assert any("Eval is missing" in note for note in plain.notes)
    no_rate = convert("mobile", "Optimizer.lr={learning_rate: 0.01}")
    assert any("the learning rate is constant in PaddleOCR" in note for note in no_rate.notes)
    bare = text[: text.index("Optimizer:")] + text[text.index("Train:") :]
    assert convert(bare.replace("EastRandomCropData", "Crop")).config.optimizer.l2 == 5e-5


MISTAKES = [  # text in the place of the mobile config, `-o` items, the error
    ("a: [1\n", (), "theirs.yml: is not valid YAML: .*line 2"),
    ("a: &x [*x]\n", (), "is not valid YAML"),
    ("a: !!python/name:os.system\n", (), "is not valid YAML"),
    ("[1, 2]", (), "holds no mapping"),
    ("", (), "holds no mapping"),
    ("a: 0x" + "f" * 9000, (), "theirs.yml: is not valid YAML: a whole number of more than 300"),
    ("<!DOCTYPE html>", (), "theirs.yml: not a YAML file but a web page"),
    (None, (f"Architecture.Backbone.scale={'9' * 400}",), "not valid YAML: a whole number"),
    ("Global: {epoch_num: 1}", (), "Architecture: is missing: not a PaddleOCR training config"),
    (None, ("Architecture.model_type=rec",), "model_type: rec: only text detectors"),
    (None, ("Architecture.algorithm=SVTR_LCNet",), "algorithm: SVTR_LCNet: only text detectors"),
    (None, ("Architecture.Backbone.name=PPLCNetV3",), "Backbone.name: PPLCNetV3: no such backbone"),
    (None, ("Architecture.Backbone=5",), "Backbone.name: null: no such backbone"),
    (None, ("Architecture.Backbone.model_name=small",), "small: MobileNetV3-large"),
    (None, ("Architecture.Backbone.scale=wide",), "scale: wide: should be a number"),
    (None, ("Architecture.Backbone={name: ResNet, dcn_stage: 5}",), "5: deformable convolutions"),
    (None, ("Architecture.Neck.name=FPN",), "RSEFPN, LKPAN or DBFPN"),
    (None, ("Architecture.Neck.out_channels=30",), "out_channels: 30: should be a multiple of 4"),
    (None, ("Architecture.Head.name=PFHeadLocal",), "no such head here: DBHead"),
    (None, ("Architecture.Head.kernel_list=[3,3,2]",), "an odd size and twice 2"),
    (None, ("Architecture.Transform={name: TPS}",), "Transform"),
    (None, ("Loss.name=CTCLoss",), "Loss.name: CTCLoss: no loss for these networks"),
    (None, ("Train=null",), "Train.dataset: is missing"),
    (None, ("Foo.bar=1",), "-o Foo.bar=1: the file has no Foo"),
    (None, ("Gobal.seed=1",), "did you mean Global"),
    (None, ("Global.a.b=1",), "Global has no a"),
    (None, ("Global.epoch_num.b=1",), "Global.epoch_num is not a section"),
    (None, ("Train.dataset.transforms.0=1",), "Train.dataset.transforms is a list"),
    (None, ("Global.epoch_num",), "should be KEY=VALUE"),
    (None, ("Global.epoch_num=[1",), "the value is not valid YAML"),
]


@pytest.mark.parametrize(("text", "items", "message"), MISTAKES)
def test_mistakes(convert, text, items, message):
    with pytest.raises(UserError, match=message) as caught:
        convert("mobile" if text is None else text or "\n", *items)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("items", "message"),
    [
        (["Architecture.Models=5"], "Models: 5: should map names to networks"),
        (["Loss.loss_config_list=[{Other: {a: 1}}]"], "has none of DistillationDBLoss"),
        (["Loss.loss_config_list=[{DistillationDBLoss: {model_name_list: [Pupil]}}]"],
         "Pupil is none of the networks Student, Student2, Teacher"),
        (["Loss.loss_config_list=[{DistillationDMLLoss: {model_name_pairs: [Student]}}]"],
         "should name two networks"),
        (["Loss.loss_config_list=[{DistillationDBLoss: {model_name_list: [Student, Student]}}]"],
         "has such a term already"),
        (["Architecture.Models.Student.freeze_params=True",
          "Architecture.Models.Student2.freeze_params=True"], "every network is frozen"),
        (["Architecture.Models.Student.Backbone.name=Swin"], "Models.Student.Backbone.name: Swin"),
        (["Architecture.Models.Student.algorithm=CRNN"], "Student.algorithm: CRNN: only text"),
        (["Architecture.Models={All: {Backbone: {name: MobileNetV3}, Neck: {name: RSEFPN, "
          "out_channels: 96}, Head: {name: DBHead}}}"], "'all' cannot be the name of a role"),
    ],
)  # fmt: skip
def test_mistakes_among_networks(convert, items, message):
    with pytest.raises(UserError, match=message):
        convert("cml", *items)


def test_override_as_in_paddleocr():
    tree = {"Global": {"a": 1, "b": {"c": 2}}, "x": 5}
    override(tree, ["Global.b.c=a=b", " Global.new=1e-3 ", "Global={a: 3}", "x={y: 1}", "z=[0, 1]"])
    assert tree == {
        "Global": {"a": 3, "b": {"c": "a=b"}, "new": "1e-3"}, "x": {"y": 1}, "z": [0, 1],
    }  # fmt: skip
    override(tree, ["Global.a=", "Global.b=false", "x.y={1: 2}"])
    assert tree["Global"]["a"] is None and tree["Global"]["b"] is False
    assert tree["x"]["y"] == {"1": 2}


def test_reading(tmp_path):
    path = tmp_path / "a.yml"
    path.write_text("\ufeffa: 1\nb: &b {c: 1}\na: 2\nd:\n  <<: *b\n  c: 3\n", encoding="utf-8")
    tree, repeated = read_yaml(path)
    assert tree == {"a": 2, "b": {"c": 1}, "d": {"c": 3}}
    assert repeated == ["a stands twice, in lines 1 and 3: the last one counts"]
    path.write_bytes(b"\xff\xfe\x00")
    for wrong, message in ((path, "not UTF-8"), (tmp_path / "no.yml", "No such file"),
                           (tmp_path, "Is a directory")):  # fmt: skip
        with pytest.raises(UserError, match=message):
            read_yaml(wrong)


def test_the_written_file(convert, tmp_path, capsys):
    path, output = tmp_path / "theirs.yml", tmp_path / "a b" / "mine.py"
    path.write_text(paddle_files.dml())
    hostile = 'C:\\new\\"""\' dir'
    argv = [str(path), "--output", str(output), "--cards", "2", "-o", f"Global.odd='{hostile}''",
            f"Train.dataset.data_dir={hostile}", "-o", "Global.save_model_dir=out dir"]  # fmt: skip
    argv[6] = "Global.odd=" + hostile
    assert convert_config.main(argv) == 0
    out = capsys.readouterr().out
    assert "student, student2 learn\n2 x 8 images: global batch 16, learning rate 0.001" in out
    for line in (f"  Global.odd = {hostile}: has no counterpart here",
                 "  Global.epoch_num = 1200: epochs",
                 "  Global.use_gpu = true: a run uses the devices that JAX sees",
                 "is not a folder seen from here"):  # fmt: skip
        assert line in out
    assert out.index("carried (") < out.index("without meaning here (") < out.index("not carried (")
    c = tiny.load_config(output)
    assert c.data.root == hostile and c.batch_size == 16
    namespace = {}
    exec(compile(output.read_text(), str(output), "exec"), namespace)
    text = namespace["__doc__"]
    assert f"Global.odd = {hostile}: has no" in " ".join(text.split())
    assert f"--config '{output}' --workdir 'out dir'" in text
    assert "3000: evaluations are counted" in text

    assert convert_config.main(argv) == 0  # its own file may be written again
    output.write_text("import this\n")
    for wrong, message in (
        (output, "was not written by this"),
        (tmp_path / "mine.yml", "is Python"),
    ):
        argv[2] = str(wrong)
        with pytest.raises(UserError, match=message):
            convert_config.main(argv)
    assert output.read_text() == "import this\n"
    with pytest.raises(UserError, match="--cards 0"):
        convert_config.main([str(path), "--output", "x.py", "--cards", "0"])


def test_a_network_written_out(convert, tmp_path):
    conversion = convert("mobile", "Architecture.Backbone.scale=0.35")
    output = tmp_path / "configs" / "narrow.py"
    text = write(conversion, None, output)
    assert "parts.small" not in text and "--workdir runs/narrow" in text
    convert_config.save(text, output, conversion.config)
    student = parts.small()
    student["backbone"]["scale"] = 0.35
    assert tiny.load_config(output).roles.student.to_dict() == student
    with pytest.raises(UserError, match="loads as a different config"):
        convert_config.save(text.replace("0.35", "0.5"), output, conversion.config)


def test_the_command_and_its_data(tmp_path):
    root = tiny.draw_data(tmp_path / "set", train=9, val=3)
    path, output = tmp_path / "theirs.yml", tmp_path / "configs" / "mine.py"
    path.write_text(paddle_files.mobile())
    status, out, err = tiny.run(
        "convert_config", path, "--output", output, "-o", f"Train.dataset.data_dir={root}",
        f"Train.dataset.label_file_list=[{root}/train.txt]", f"Eval.dataset.data_dir={root}/",
        f"Eval.dataset.label_file_list=[{root}/val.txt]", "Train.loader.batch_size_per_card=4",
    )  # fmt: skip
    assert (status, err) == (0, "") and out.endswith(f"{path} -> {output}\n")
    c = tiny.load_config(output)
    assert (c.data.train, c.data.val) == ("train.txt", "val.txt")
    training = Training(c)
    assert (training.epoch_steps, training.total_steps) == (3, 1500)
    assert len(read_validation(c)) == 3
    status, out, err = tiny.run("convert_config", tmp_path / "none.yml", "--output", output)
    assert (status, out) == (2, "") and err.endswith("none.yml: No such file or directory\n")
    with pytest.raises(SystemExit):
        cli.run(convert_config.main, ["--help"])
