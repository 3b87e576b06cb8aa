"""Generated text: masks, Gumbel-softmax, sampling from T5, generator losses."""
