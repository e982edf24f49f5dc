"""Suggests the right name for an unknown key or option, also for names from other trainers."""

import difflib
from collections.abc import Sequence

# What to say where other trainers have a setting and this one needs none.
ADVICE = {
    "resume": "nothing to set: the same command with the same --workdir continues by itself",
    "device": "JAX uses every GPU it sees: CUDA_VISIBLE_DEVICES or JAX_PLATFORMS=cpu restrict "
    "that, --config.mesh.devices=N uses the first N of them",
    "output": "the folder of a run is --workdir",
    "momentum": "the optimiser is Adam: optimizer.b1 is the nearest",
    "clip": "gradients are not clipped",
    "scheduler": "the learning rate follows a cosine after a linear warm-up: set learning_rate, "
    "warmup_epochs and steps",
    "classes": "a text detector has no classes",
}
# A key of ours, or an entry of `ADVICE`: the names that other trainers use for it.
USUAL = {
    "learning_rate": "lr lr0 base_lr initial_lr max_lr",
    "warmup_epochs": "warmup warmup_epoch warmup_ratio",
    "warmup_steps": "warmup_iters warmup_updates num_warmup_steps",
    "optimizer.l2": "weight_decay wd decay regularizer l2_decay factor",
    "optimizer.name": "optim opt solver",
    "optimizer.b1": "beta1 betas",
    "optimizer.b2": "beta2",
    "epochs": "epoch epoch_num epochs_num num_epochs n_epochs max_epochs max_epoch",
    "steps": "iters iterations max_steps max_iters num_steps total_steps num_train_steps",
    "batch_size": "bs batch batchsize batch_size_per_card train_batch_size samples_per_gpu "
    "per_device_train_batch_size",
    "eval.batch_size": "eval_batch_size val_batch_size test_batch_size",
    "crop": "img_size imgsz image_size input_size image_shape resolution size crop_size",
    "dtype": "amp use_amp fp16 bf16 half mixed_precision use_fp16",
    "precision": "tf32 allow_tf32 matmul_precision float32_matmul_precision",
    "remat": "gradient_checkpointing checkpointing use_recompute",
    "accumulate": "accum accum_steps grad_accum gradient_accumulation_steps accumulation_steps "
    "update_freq",
    "data.workers": "workers num_workers n_workers loader_workers",
    "data.root": "root data_root data_dir dataset data_path image_dir images img_dir datadir",
    "data.train": "train train_data train_path label_file label_file_list train_label ann_file",
    "data.val": "val val_data val_path valid validation test eval_data",
    "data.augment.flip": "fliplr horizontal_flip hflip",
    "data.augment.rotate": "degrees rotation max_rotation",
    "data.augment.scale": "zoom scale_range",
    "data.augment.paste": "copy_paste copypaste mosaic mixup",
    "postprocess.thresh": "det_db_thresh bin_thresh threshold",
    "postprocess.box_thresh": "det_db_box_thresh conf conf_thres score_thresh confidence",
    "postprocess.unclip_ratio": "det_db_unclip_ratio unclip",
    "eval.limit_side": "det_limit_side_len limit_side_len",
    "eval.limit_type": "det_limit_type",
    "eval.every_steps": "eval_batch_step eval_interval val_interval eval_steps eval_every "
    "val_freq cal_metric_during_train",
    "eval.every_epochs": "eval_epochs val_epochs",
    "eval.patience": "patience early_stop early_stopping es_patience",
    "save.every_steps": "save_epoch_step save_period save_interval save_steps save_every "
    "checkpoint_interval",
    "log.every_steps": "print_batch_step log_interval log_steps print_freq log_every logging_steps",
    "log.writers": "use_visualdl visualdl tensorboard wandb mlflow logger report_to use_wandb",
    "init_from.student": "pretrained pretrained_model weights checkpoint checkpoints ckpt model "
    "load_from init finetune backbone_weights pretrain",
    "time_limit_minutes": "time_limit max_time time max_minutes max_hours time_limit_hours",
    "average.decay": "average ema ema_decay use_ema polyak swa model_ema",
    "freeze": "frozen freeze_backbone frozen_stages freeze_layers",
    "mesh.devices": "gpus num_gpus n_gpus ngpu world_size num_devices",
    "seed": "random_seed manual_seed random_state",
    "resume": "resume_from last_checkpoint continue auto_resume",
    "device": "cuda use_gpu gpu cpu accelerator",
    "output": "save_dir save_model_dir output_dir out_dir project work_dir workdir log_dir exp "
    "save_path logdir",
    "momentum": "",
    "clip": "grad_clip clip_grad max_norm clip_norm gradient_clip",
    "scheduler": "lr_scheduler cos_lr lrf lr_policy decay_epochs schedule step_size gamma",
    "classes": "nc num_classes single_cls class_num",
}
NAMES = {name: meant for meant, names in USUAL.items() for name in (*names.split(), meant)}


def hint_for(key: str, known: Sequence[str]) -> str:
    """The hint for an unknown key: `; did you mean ...?`, a sentence of `ADVICE`, or "".

    Args:
        key: dotted, as given. A name from another trainer is recognised by its last part.
        known: the dotted keys of the config.
    """
    last = key.lower().replace("-", "_").rpartition(".")[2]
    meant = NAMES.get(last)
    if meant in ADVICE:
        return f"; {ADVICE[meant]}"
    section = meant.partition(".")[0] if meant else ""
    found = [meant] if meant and meant in known else []
    if not found and section == "init_from":  # the network has another name
        found = [name for name in known if name.startswith("init_from.")][:1]
    if meant and not found:
        return ""
    if not found:
        found = [name for name in known if name.rpartition(".")[2] == last]
    if not found:
        found = difflib.get_close_matches(key, known, 1, 0.5)
    return f"; did you mean {' or '.join(found[:3])}?" if found else ""
