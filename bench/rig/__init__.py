"""The benchmark's parts. Standard library only."""
