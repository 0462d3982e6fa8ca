"""`python -m ex2.cli`: the same as `ex2`."""

from ex2.cli.main import main

raise SystemExit(main())
