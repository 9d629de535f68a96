"""`python -m headrace` is the command `headrace`."""

from headrace.cli import main

if __name__ == "__main__":  # a worker process of the API imports this module and must not run it
    main()
