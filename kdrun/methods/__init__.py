"""One module per method: its config, its class, its paper. Methods never import each other."""
