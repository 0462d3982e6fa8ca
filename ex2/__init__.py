"""EX2: which words does a vision-language model reward, and are they about what it sees?"""

import os

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # before transformers is imported: its hub client reads it once

__version__ = "0.1.0"
