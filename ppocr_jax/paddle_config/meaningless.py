"""Keys of PaddleOCR's configs on which no run depends here, with the reason for each.

A key is matched by its path without list positions; `*` stands for anything. Keys that only some
values make meaningless are handled where these values are read.
"""

import fnmatch

REASONS = {
    "a run uses the devices that JAX sees; mesh.devices narrows that": (
        "Global.use_gpu", "Global.use_xpu", "Global.use_npu", "Global.use_mlu", "Global.use_gcu",
        "Global.use_metax_gpu", "Global.device", "Global.distributed",
        "Global.find_unused_parameters",
    ),
    "belongs to the text recogniser": (
        "Global.character_dict_path", "Global.character_type", "Global.max_text_length",
        "Global.infer_mode", "Global.use_space_char", "Global.rec_*", "Global.cls_*",
    ),
    "belongs to prediction or export, which have options of their own": (
        "Global.infer_img", "Global.infer_list", "Global.save_res_path",
        "Global.save_inference_dir", "Global.d2s_train_image_shape", "Global.to_static",
        "Global.export_with_pir", "Global.uniform_output_enabled", "Export.*",
    ),
    "a name or a switch that changes no number": (
        "Global.model_name", "Global.debug", "Global.print_mem_info", "Global.log_ranks",
        "Global.profiler_options", "profiler_options",
    ),
    "TensorBoard events are written by every run": ("Global.use_visualdl",),
    "belongs to float16 and its loss scaling": (
        "Global.scale_loss", "Global.use_dynamic_loss_scaling", "Global.amp_level",
        "Global.amp_custom_*_list",
    ),
    "training batches are not scored": ("Global.calc_epoch_interval",),
    "networks are built without it": (
        "Architecture.Transform", "Architecture.Models.*.Transform",
        "Architecture.in_channels", "Architecture.*.in_channels",
    ),
    "a name in PaddleOCR's log; here losses are named after roles": (
        "Loss.loss_config_list.Distillation*.name",
    ),
    "arrays and maps go by name here": (
        "PostProcess.key", "Loss.loss_config_list.DistillationDBLoss.key",
        "*.transforms.ToCHWImage", "*.transforms.KeepKeys", "*.transforms.KeepKeys.keep_keys",
    ),
    "every network that learns is evaluated": ("PostProcess.model_name",),
    "how batches travel between processes is settled here": (
        "*.loader.use_shared_memory", "*.loader.collate_fn",
    ),
    "validation images are read in threads, eval.batch_size of equal size share a forward pass; "
    "neither changes a result": ("Eval.loader.num_workers", "Eval.loader.batch_size_per_card"),
    "validation images are scored alike in any order": ("Eval.loader.shuffle",),
}  # fmt: skip


def why_meaningless(names: str) -> str | None:
    """The reason why a key means nothing here; None when it may mean something.

    Args:
        names: the key's path without list positions, such as `Train.loader.collate_fn`.
    """
    for reason, patterns in REASONS.items():
        if any(fnmatch.fnmatchcase(names, pattern) for pattern in patterns):
            return reason
    return None
