"""The training loop, optimizers, checkpoints and the teacher."""
