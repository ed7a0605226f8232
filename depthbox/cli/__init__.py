"""The command ``depthbox``: one module a command, which parses its options and calls the other rooms."""
