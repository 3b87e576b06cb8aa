"""One module per subcommand of `kdrun`."""
