"""`python -m router`: the same as the command `dicom-router`."""

from router.cli.main import entry

if __name__ == "__main__":
    entry()
