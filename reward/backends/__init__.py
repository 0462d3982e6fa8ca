"""Vision-language models behind the one protocol of `reward.vlm`."""
