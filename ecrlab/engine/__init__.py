"""A Docker Engine API without a daemon: images are pulled, tagged, pushed, saved and loaded in one plain process."""
