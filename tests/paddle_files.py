"""PaddleOCR's detector configs as text: the values of the published files, in a form of our own."""

import textwrap

SMALL = """
Transform: null
Backbone: {name: MobileNetV3, scale: 0.5, model_name: large, disable_se: true}
Neck: {name: RSEFPN, out_channels: 96, shortcut: True}
Head: {name: DBHead, k: 50}
"""
LARGE = """
Transform:
Backbone: {name: ResNet_vd, in_channels: 3, layers: 50}
Neck: {name: LKPAN, out_channels: 256}
Head: {name: DBHead, kernel_list: [7, 2, 2], k: 50}
"""
OPTIONS = """
balance_loss: true
main_loss_type: DiceLoss
alpha: 5
beta: 10
ohem_ratio: 3
"""
DML_TERM = """
- DistillationDMLLoss:
    model_name_pairs:
    - ["Student", "Student2"]
    maps_name: "thrink_maps"
    weight: 1.0
    model_name_pairs: ["Student", "Student2"]
    key: maps
"""
DILA_TERM = """
- DistillationDilaDBLoss:
    weight: 1.0
    model_name_pairs:
    - ["Student", "Teacher"]
    - ["Student2", "Teacher"]
    key: maps
"""
DB_TERM = """
- DistillationDBLoss:
    weight: 1.0
    model_name_list: ["Student", "Student2"]
"""
GLOBAL = """
  use_gpu: true
  epoch_num: {epochs}
  log_smooth_window: 20
  print_batch_step: {log}
  save_model_dir: {workdir}
  save_epoch_step: {save}
  eval_batch_step: {evaluate}
  cal_metric_during_train: False
  pretrained_model: {weights}
  checkpoints:
  save_inference_dir: null
  use_visualdl: false
  infer_img: doc/imgs_en/img_10.jpg
  save_res_path: ./checkpoints/det_db/predicts_db.txt
"""
OPTIMIZER = """
Optimizer:
  name: Adam
  beta1: 0.9
  beta2: 0.999
  lr: {{name: Cosine, learning_rate: 0.001, warmup_epoch: 2}}
  regularizer: {{name: L2, factor: {l2}}}
"""
POSTPROCESS = "thresh: 0.3, box_thresh: 0.6, max_candidates: 1000, unclip_ratio: 1.5"
DATA = """
Train:
  dataset:
    name: SimpleDataSet
    data_dir: ./train_data/icdar2015/text_localization/
    label_file_list:
      - ./train_data/icdar2015/text_localization/train_icdar2015_label.txt
    ratio_list: [1.0]
    transforms:
      - DecodeImage: {{img_mode: BGR, channel_first: False}}
      - DetLabelEncode:{paste}
      - IaaAugment:
          augmenter_args:
            - {{type: Fliplr, args: {{p: 0.5}}}}
            - {{type: Affine, args: {{rotate: [-10, 10]}}}}
            - {{type: Resize, args: {{size: [0.5, 3]}}}}
      - EastRandomCropData: {{size: [960, 960], max_tries: 50, keep_ratio: true}}
      - MakeBorderMap: {{shrink_ratio: 0.4, thresh_min: 0.3, thresh_max: 0.7}}
      - MakeShrinkMap: {{shrink_ratio: 0.4, min_text_size: 8}}
      - NormalizeImage:
          scale: 1./255.
          mean: [0.485, 0.456, 0.406]
          std: [0.229, 0.224, 0.225]
          order: hwc
      - ToCHWImage: null
      - KeepKeys: {{keep_keys: [image, threshold_map, threshold_mask, shrink_map, shrink_mask]}}
  loader: {{shuffle: True, drop_last: False, batch_size_per_card: 8, num_workers: 4}}
Eval:
  dataset:
    name: SimpleDataSet
    data_dir: ./train_data/icdar2015/text_localization/
    label_file_list:
      - ./train_data/icdar2015/text_localization/test_icdar2015_label.txt
    transforms:
      - DecodeImage: {{img_mode: BGR, channel_first: False}}
      - DetLabelEncode: null
      - DetResizeForTest: null
      - NormalizeImage:
          scale: 1./255.
          mean: [0.485, 0.456, 0.406]
          std: [0.229, 0.224, 0.225]
          order: hwc
      - ToCHWImage: null
      - KeepKeys: {{keep_keys: [image, shape, polys, ignore_tags]}}
  loader: {{shuffle: False, drop_last: False, batch_size_per_card: 1, num_workers: 2}}
"""


def _under(indent, *texts):
    return textwrap.indent("".join(text.lstrip("\n") for text in texts), " " * indent)


def _rest(l2, paste):
    return OPTIMIZER.format(l2=l2) + DATA.format(paste="\n      - CopyPaste:" if paste else "")


def _distilled(models, terms, listed, l2):
    return (
        "Architecture:\n  name: DistillationModel\n  algorithm: Distillation\n  model_type: det\n"
        f"  Models:\n{models}"
        f"Loss:\n  name: CombinedLoss\n  loss_config_list:\n{terms}"
        f"PostProcess: {{name: DistillationDBPostProcess, model_name: {listed}, key: head_out, "
        f"{POSTPROCESS}}}\n"
        "Metric: {name: DistillationMetric, base_metric_name: DetMetric, main_indicator: hmean, "
        "key: Student}\n" + _rest(l2, True)
    )


def _single(network, l2, paste):
    return (
        "Architecture:\n  model_type: det\n  algorithm: DB\n" + _under(2, network)
        + "Loss:\n  name: DBLoss\n" + _under(2, OPTIONS)
        + f"PostProcess: {{name: DBPostProcess, {POSTPROCESS}}}\n"
        + "Metric: {name: DetMetric, main_indicator: hmean}\n" + _rest(l2, paste)
    )  # fmt: skip


def dml():
    """Two teacher networks; the pair of the mutual term stands twice, as in the published file."""
    options = dict(epochs=1200, log=2, save=1200, evaluate=[3000, 2000],
                   workdir="./output/ch_db_mv3/",
                   weights="./pretrain_models/ResNet50_vd_ssld_pretrained")  # fmt: skip
    free = "return_all_feats: false\nmodel_type: det\nalgorithm: DB\n"
    models = "".join(f"    {name}:\n" + _under(6, free, LARGE) for name in ("Student", "Student2"))
    terms = _under(2, DML_TERM, DB_TERM) + _under(6, "name: DBLoss\n", OPTIONS)
    return "Global:" + GLOBAL.format(**options) + _distilled(
        models, terms, '["Student", "Student2"]', 0)  # fmt: skip


def cml():
    """Two students, and a frozen teacher."""
    options = dict(epochs=500, log=10, save=100, evaluate=[0, 400], weights="null",
                   workdir="./output/ch_PP-OCR_v3_det/")  # fmt: skip
    models = "".join(f"    {name}:\n" + _under(6, SMALL) for name in ("Student", "Student2"))
    frozen = "freeze_params: true\nreturn_all_feats: false\n"
    models += "    Teacher:\n" + _under(6, frozen, LARGE)
    terms = _under(2, DILA_TERM) + _under(6, OPTIONS)
    terms += _under(2, DML_TERM, DB_TERM) + _under(6, OPTIONS)
    return "Global:\n  debug: false\n  distributed: true" + GLOBAL.format(**options) + _distilled(
        models, terms, '["Student"]', 5.0e-05)  # fmt: skip


def mobile():
    """The student alone."""
    options = dict(epochs=500, log=10, save=100, evaluate=[0, 400],
                   workdir="./output/PP-OCRv3_mobile_det/",
                   weights="https://paddleocr.bj.bcebos.com/pretrained/"
                           "MobileNetV3_large_x0_5_pretrained.pdparams")  # fmt: skip
    extra = "Global:\n  model_name: PP-OCRv3_mobile_det\n  d2s_train_image_shape: [3, -1, -1]"
    return extra + GLOBAL.format(**options) + _single(SMALL, 5.0e-05, False)


def server():
    """The teacher network alone; bfloat16 is named and mixed precision is off."""
    options = dict(epochs=500, log=10, save=100, evaluate=[0, 400],
                   workdir="./output/ch_PP-OCR_v3_det/",
                   weights="https://paddleocr.bj.bcebos.com/pretrained/"
                           "ResNet50_vd_ssld_pretrained.pdparams")  # fmt: skip
    text = "Global:\n  amp_dtype: bfloat16" + GLOBAL.format(**options) + _single(LARGE, 5e-5, True)
    return text.replace("    ratio_list: [1.0]\n", "") + "profiler_options: null\n"


FILES = {"dml": dml, "cml": cml, "mobile": mobile, "server": server}
