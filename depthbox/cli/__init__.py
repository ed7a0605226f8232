"""The command ``depthbox``: one module per subcommand, which parses its options and calls the other packages."""
