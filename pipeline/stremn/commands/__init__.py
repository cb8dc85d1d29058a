"""What the subcommands of ``stremn`` do; ``stremn.cli`` declares their options."""
