"""The papers' numbers, and tables that put ours beside them."""
