"""One file per published data format; each offers `read(root, split, **options)`."""
